"""Engines and sessions in every order of life: threads, forks, deletion before use ends, many of them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny

from q4engine import _native
from q4engine.engine import Backend, Engine, Session
from q4engine.errors import Q4Error

TOKENS = [1, 2, 3, 4, 5]
NO_THREADS_BEHIND_A_FORK = pytest.mark.skipif(
    "libtsan" in os.environ.get("LD_PRELOAD", ""), reason="ThreadSanitizer starts none in a process that was forked"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "synthetic-tiny.gguf")


def resident_kilobytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_a_session_outlives_its_engine_and_file(path: Path) -> None:
    engine = Engine.load(path, n_threads=2)
    expected = engine.session().decode(TOKENS)
    native = _native.Session(engine.native, 64, 8)
    engine.gguf.close()
    del engine
    gc.collect()
    logits = np.empty(TINY_LLAMA.vocab_size, np.float32)
    native.decode(np.array(TOKENS, np.int32), 0, False, logits)
    assert logits.tobytes() == expected.tobytes()


def test_two_engines_take_turns(path: Path, tmp_path: Path) -> None:
    other = write_tiny(tmp_path / "qwen2.gguf", TINY_QWEN2)
    first, second = Engine.load(path, n_threads=2), Engine.load(other, n_threads=3)
    one, two = first.session(), second.session()
    alone = [first.session().decode(TOKENS), second.session().decode(TOKENS)]
    for token in TOKENS:
        got = [one.decode([token]), two.decode([token])]
    assert [x.tobytes() for x in got] == [x.tobytes() for x in alone]


def test_sessions_of_one_engine_in_threads_of_their_own(path: Path) -> None:
    """Calls queue for the engine's threads; each session stays its own."""
    engine = Engine.load(path, n_threads=2)
    expected = engine.session().decode(TOKENS * 8).tobytes()
    got: list[bytes] = []

    def work() -> None:
        session = engine.session(n_batch=7)
        got.append(session.decode(TOKENS * 8).tobytes())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [expected] * 8


def test_one_session_serves_one_call_at_a_time(path: Path) -> None:
    """A second thread in the same session is refused, or comes before or after; never both at once."""
    engine = Engine.load(path, n_threads=2)
    native = _native.Session(engine.native, 512, 512)
    refused: list[str] = []

    def work() -> None:
        logits = np.empty(TINY_LLAMA.vocab_size, np.float32)
        for _ in range(30):
            try:
                native.decode(np.ones(200, np.int32), 0, False, logits)
            except ValueError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) <= {"another thread is in a decode call of this session"}


FORKED = """
import hashlib, os, sys
from q4engine.engine import Engine
engine = Engine.load(sys.argv[1], n_threads=3)
session = engine.session()
before = session.decode([1, 2, 3])
child = os.fork()
again = session.decode([4]), engine.session().decode([5, 6])
digest = hashlib.sha256(b"".join(logits.tobytes() for logits in (before, *again))).hexdigest()
os.write(1, f"{digest}\\n".encode())  # whole lines: both processes write to one pipe
if child:
    sys.exit(os.waitpid(child, 0)[1])
del session, engine
"""


@NO_THREADS_BEHIND_A_FORK
def test_a_forked_process_goes_on(path: Path) -> None:
    """The team's threads are the parent's alone: a child that waited for them would wait for ever."""
    done = subprocess.run([sys.executable, "-c", FORKED, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    parent, child = done.stdout.splitlines()
    assert parent == child


FORKED_IN_A_CALL = """
import os, sys, threading
import numpy as np
from q4engine.engine import Engine
engine = Engine.load(sys.argv[1], n_threads=2)
session = engine.session(n_ctx=4096, n_batch=4096)
thread = threading.Thread(target=lambda: session.decode(np.ones(4000, np.int32)))
thread.start()
while True:  # until the call is under way
    try:
        session.recorder.record(0, [])
    except ValueError:
        break
pid = os.fork()
if pid == 0:
    try:
        session.decode([1])
    except Exception as error:
        os.write(1, f"{error}\\n".encode())
    fresh = engine.session().decode([1, 2])
    os.write(1, f"{np.isfinite(fresh).all()}\\n".encode())
    os._exit(0)
os.waitpid(pid, 0)
thread.join()
"""


@NO_THREADS_BEHIND_A_FORK
def test_a_fork_while_another_thread_decodes(path: Path) -> None:
    """The child cannot go on with a cache that is half written; it says so, and all else works."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED_IN_A_CALL, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    error, works = done.stdout.splitlines()
    assert error.endswith("when the process was forked; its cache is half written: make a new session")
    assert works == "True"


FORKED_BY_A_HANDLER = """
import os, signal, sys
import numpy as np
from q4engine.engine import Engine
path, n = sys.argv[1], 20_000  # so many tokens that the call asks for signals
engine = Engine.load(path, n_threads=3)
session, other = engine.session(n_ctx=n, n_batch=n), engine.session(n_ctx=8)
before = session.decode([1, 2, 3]).tobytes()
session.truncate(0)
children = []
def handler(number, frame):
    try:
        other.truncate(0)
        other.decode([1])
    except Exception:  # in the middle of the call
        children.append(os.fork())
        if children[0]:
            raise KeyboardInterrupt
    else:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    session.decode(np.ones(n, np.int32))
except (Exception, KeyboardInterrupt) as error:
    says = f"{type(error).__name__} {error}"
same = session.decode([1, 2, 3]).tobytes() == before and session.n_past == 3
if children[0]:
    os.waitpid(children[0], 0)
os.write(1, f"{says} {same}\\n".encode())
os._exit(0)
"""


@NO_THREADS_BEHIND_A_FORK
def test_a_fork_by_a_signals_handler_in_a_call(path: Path) -> None:
    """The handler runs in the middle of the call, whose other threads the child has not: it says so, and goes on."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED_BY_A_HANDLER, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    child, parent = done.stdout.splitlines()
    assert parent == "KeyboardInterrupt  True"
    forked = "a signal's handler forked the process in the middle of this call, whose threads stayed behind"
    assert child == f"Q4Error {path}: {forked} True"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_engines_let_go_without_the_collector(path: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        before = descriptors()
        for _ in range(5):
            engine = Engine.load(path, n_threads=2)
            session = engine.session()
            session.decode(TOKENS)
            assert engine.tokenizer is not None
        del engine, session
        assert descriptors() == before
        for _ in range(5):
            with Engine.load(path, n_threads=2) as engine:
                session = engine.session()
            session.decode(TOKENS)
            del engine, session
            assert descriptors() == before
    finally:
        gc.enable()


def test_a_closed_engine(path: Path) -> None:
    with Engine.load(path, n_threads=1) as engine:
        session = engine.session()
        before = session.decode(TOKENS).tobytes()
    engine.close()
    with pytest.raises(Q4Error, match="the engine was closed"):
        engine.session()
    session.truncate(0)
    assert session.decode(TOKENS).tobytes() == before  # sessions end when they please


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("size", ["same", "longer"])
def test_a_model_that_is_written_over_while_it_is_used(tmp_path: Path, backend: Backend, size: str) -> None:
    path = write_tiny(tmp_path / "synthetic-tiny.gguf")
    engine = Engine.load(path, n_threads=1, backend=backend)
    session = engine.session()
    session.decode(TOKENS)
    time.sleep(0.02)  # file systems count in ticks
    with path.open("r+b") as file:
        file.seek(-64 if size == "same" else 0, os.SEEK_END)
        file.write(bytes(64))
    with pytest.raises(Q4Error, match=r"synthetic-tiny\.gguf: the file was changed while it was in use"):
        session.decode([6])
    assert session.n_past == len(TOKENS)


def test_a_model_that_is_replaced_while_it_is_used_stays_what_it_was(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "synthetic-tiny.gguf")
    session = Engine.load(path, n_threads=1).session()
    session.decode(TOKENS)
    other = write_tiny(tmp_path / "other.gguf", TINY_QWEN2)
    other.replace(path)
    assert np.isfinite(session.decode([6])).all()


IMPORTED_TWICE = """
import sys
from q4engine.engine import Engine
import q4engine
engine = Engine.load(sys.argv[1], n_threads=1)
session = engine.session()
before = session.decode([1, 2, 3]).tobytes()
old = sys.modules.pop("q4engine._native")
del q4engine._native
import q4engine._native as new
assert new is not old and new.Model is not old.Model
again = old.Session(engine.native, 64, 8)  # of the module that the model is of
try:
    new.Session(engine.native, 64, 8)
except TypeError as error:
    print(error)
del old
session.truncate(0)
assert session.decode([1, 2, 3]).tobytes() == before
assert Engine.load(sys.argv[1], n_threads=1).session().decode([1, 2, 3]).tobytes() == before
"""


def test_the_native_module_imported_twice(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED_TWICE, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "argument 1 must be q4engine._native.Model, not q4engine._native.Model\n"


def test_a_thousand_sessions_leave_no_memory_behind(path: Path) -> None:
    engine = Engine.load(path, n_threads=2)

    def use(n: int) -> None:
        for _ in range(n):
            session: Session = engine.session(n_ctx=256, n_batch=16)
            session.decode(TOKENS)

    use(50)
    gc.collect()
    before = resident_kilobytes()
    use(1000)
    gc.collect()
    assert resident_kilobytes() - before < 4000, "a session of this model takes 60 kB and more"


def test_a_hundred_engines_leave_no_memory_behind(path: Path) -> None:
    def use(n: int) -> None:
        for _ in range(n):
            with Engine.load(path, n_threads=2):
                pass

    use(20)
    gc.collect()
    before = resident_kilobytes()
    use(100)
    gc.collect()
    assert resident_kilobytes() - before < 6000, "an engine of this model takes 200 kB and more"


IN_INTERPRETERS = """
import importlib.util, sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
run = getattr(interpreters, "exec", None) or interpreters.run_string
code = f'''
import importlib.util
spec = importlib.util.spec_from_file_location("q4engine._native", {sys.argv[1]!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert module.tensor_types() and isinstance(module.Model, type)
'''
exec(code)
for _ in range(3):
    interpreter = interpreters.create()
    failed = run(interpreter, code)
    assert failed is None, failed
    interpreters.destroy(interpreter)
exec(code)
"""


def test_the_native_module_in_several_interpreters() -> None:
    command = [sys.executable, "-W", "ignore", "-c", IN_INTERPRETERS, _native.__file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
