"""The command line as a process of its own: signals, pipes, a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from endless import write_endless
from heard_signals import heard

from q4engine.cli import COMMANDS

SECONDS = 60  # until a test that hangs is ended
CANNOT_BE_WRITTEN = b"error: the output cannot be written: No space left on device\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_endless(tmp_path_factory.mktemp("tiny") / "synthetic-tiny.gguf")


def command(tiny: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "q4engine", "run", str(tiny), "--temp", "0", "-t", "1", *arguments]


ENDLESS = ("--no-chat", "-p", "abc", "-c", "100000")


def test_ctrl_c(tiny: Path) -> None:
    with heard(signal.SIGINT):
        process = subprocess.Popen(command(tiny, *ENDLESS), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert b"Traceback" not in err and b"interrupted: " in err and b"eval time" in err


def test_a_reader_that_leaves(tiny: Path) -> None:
    process = subprocess.Popen(command(tiny, *ENDLESS), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(20)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(SECONDS) == 141
    assert err == b""


def test_a_model_that_is_cut_short_while_it_runs(tiny: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cut\nshort.gguf"
    copy.write_bytes(tiny.read_bytes())
    process = subprocess.Popen(command(copy, *ENDLESS), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(20)
    os.truncate(copy, 0)
    _, err = process.communicate(timeout=SECONDS)
    message = f"error: {tmp_path}/cut\\nshort.gguf: the file was cut short while it was in use\n"
    above = err.decode().removesuffix(message)  # a summary where it is noticed between tokens, nothing after a SIGBUS
    assert process.returncode == 1 and above != err.decode(), err.decode()
    assert not above or "eval time" in above.splitlines()[-2], above


def test_a_full_disk(tiny: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command(tiny, "--no-chat", "-p", "abc", "-n", "3"), stdout=full, stderr=subprocess.PIPE, timeout=SECONDS
        )
    assert (done.returncode, done.stderr) == (1, CANNOT_BE_WRITTEN)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), ["inspect"]])
def test_help_that_cannot_be_written(tiny: Path, words: list[str], unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    words = ["inspect", str(tiny)] if words == ["inspect"] else words
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "q4engine", *words],
            stdout=full, stderr=subprocess.PIPE, env=environment, timeout=SECONDS,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, CANNOT_BE_WRITTEN)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream(tiny: Path, closed: int) -> None:
    """Nothing meant for stderr goes to stdout, no file that is opened takes the stream's number."""
    words = command(tiny, "--no-chat", "-n", "3", *(() if closed == 0 else ("-p", "abc")))
    script = f"import os, sys; os.close({closed}); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, timeout=SECONDS)
    if closed == 0:
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.startswith(b"error: the prompt is empty: ") and done.stderr.count(b"\n") == 1
    else:
        assert done.returncode == 0
        assert (b"total time" in done.stderr) == (closed == 1) and b"total time" not in done.stdout
        assert bool(done.stdout) == (closed == 2) and b"Traceback" not in done.stderr


def test_output_that_is_not_utf8(tiny: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        command(tiny, "--no-chat", "-p", "abc", "-n", "40", "--temp", "5", "-s", "1"),
        capture_output=True,
        env=environment,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr


LOOKS = (
    ("inspect", "MODEL"),
    ("inspect", "MODEL", "--kernels"),
    ("doctor",),
    ("bench", "MODEL", "-p", "2", "-n", "1", "-r", "1"),
)


@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
@pytest.mark.parametrize(("width", "encoding"), [(60, "ascii"), (80, "latin-1"), (200, "utf-8")])
def test_tables_are_no_wider_than_the_terminal(tiny: Path, words: tuple[str, ...], width: int, encoding: str) -> None:
    path = str(tiny)
    given = [sys.executable, "-m", "q4engine", *(path if word == "MODEL" else word for word in words)]
    env = os.environ | {"COLUMNS": str(width), "PYTHONIOENCODING": encoding}
    done = subprocess.run(given, capture_output=True, env=env, timeout=SECONDS)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert max(map(len, done.stdout.decode(encoding).splitlines())) <= width


@pytest.mark.parametrize("words", [("inspect", "MODEL", "--json"), ("tokenize", "MODEL", "-p", "né→", "--json")])
def test_json_in_ascii_loses_nothing(tiny: Path, words: tuple[str, ...]) -> None:
    given = [sys.executable, "-m", "q4engine", *(str(tiny) if word == "MODEL" else word for word in words)]
    found = []
    for encoding in ("ascii", "utf-8"):
        env = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run(given, capture_output=True, env=env, timeout=SECONDS, check=True)
        found.append(json.loads(done.stdout.decode(encoding)))
    assert found[0] == found[1]


def read_until(terminal: int, mark: bytes, key: bytes = b"") -> bytes:
    """What is shown up to the mark. A key is pressed again while nothing comes.

    Python's readline waits for the next key where a signal comes just before it begins to wait.
    """
    seen = b""
    end = time.monotonic() + SECONDS
    while mark not in seen:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        if not ready:
            assert time.monotonic() < end, f"waited for {mark!r}, saw {seen!r}"
            os.write(terminal, key)
            continue
        try:
            seen += os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
    return seen


# Takes the terminal on stdin as the controlling one, so that a Ctrl-C typed there becomes a signal.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize(("last", "code"), [(b"\x04", 0), (b"\x03", 130)])
def test_chat_in_a_terminal(tiny: Path, last: bytes, code: int) -> None:
    ours, theirs = pty.openpty()
    with heard(signal.SIGINT):
        process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *command(tiny, "-n", "3")],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
    os.close(theirs)
    try:
        read_until(ours, b"> ")
        os.write(ours, b"hello\n")
        read_until(ours, b"> ")
        os.write(ours, last)
        summary = read_until(ours, b"total time", last if last == b"\x03" else b"")
        assert b"Traceback" not in summary
        assert process.wait(SECONDS) == code
    finally:
        os.close(ours)


WHILE_NUMPY_IS_IMPORTED = """
import importlib.abc, os, signal, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy._core":
            os.kill(os.getpid(), int(sys.argv[1]))
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.meta_path.insert(0, Finder())
from q4engine.cli import main
sys.exit(main(["inspect", sys.argv[2]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_a_library_is_imported_ends_the_command_in_silence(tiny: Path, number: signal.Signals) -> None:
    """Imports turn the exception of a handler into pages of their own."""
    command = [sys.executable, "-c", WHILE_NUMPY_IS_IMPORTED, str(int(number)), str(tiny)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (-number, b"", b"")


def test_a_ctrl_c_before_the_command_line_is_there() -> None:
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "q4engine.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from q4engine.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers reserve all address space")
@pytest.mark.parametrize("megabytes", [60, 100, 150])
def test_too_little_memory_for_the_libraries(tiny: Path, megabytes: int) -> None:
    limited = ["sh", "-c", f'ulimit -v {megabytes << 10}; exec "$@"', "sh", sys.executable, "-m", "q4engine"]
    done = subprocess.run([*limited, "inspect", str(tiny)], capture_output=True, text=True, timeout=SECONDS)
    message = (
        f"error: this process may use {megabytes} MB of memory (ulimit -v), it needs 192 MB and the model's size\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers reserve all address space")
@pytest.mark.parametrize("words", [["analysis.stalls"], ["q4engine", "analyse", "stalls"]])
def test_too_little_memory_for_the_analysis(tmp_path: Path, words: list[str]) -> None:
    limited = ["sh", "-c", f'ulimit -v {250 << 10}; exec "$@"', "sh", sys.executable, "-m", *words]
    done = subprocess.run([*limited, str(tmp_path / "run.csv")], capture_output=True, text=True, timeout=SECONDS)
    start = "error: this process may use 250 MB of memory (ulimit -v), the analysis needs 320 MB"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{start}, and more for large files\n")


def test_a_library_that_cannot_be_loaded_is_one_line(tiny: Path) -> None:
    code = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "numpy._core":
            raise ImportError("libexample.so: cannot be mapped")
sys.meta_path.insert(0, Finder())
from q4engine.cli import main
sys.exit(main(["inspect", sys.argv[1]]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tiny)], capture_output=True, text=True, timeout=SECONDS)
    message = "error: a part cannot be loaded: libexample.so: cannot be mapped\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
