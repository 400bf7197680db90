"""What a signal that asks a command to end becomes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from heard_signals import heard

from q4engine.cli.signals import Terminated, ended_by_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_becomes_an_exception_with_the_shells_exit_code(number: signal.Signals) -> None:
    with heard(signal.SIGTERM, signal.SIGHUP):
        with pytest.raises(Terminated) as caught, ended_by_signals():
            os.kill(os.getpid(), number)
        assert caught.value.code == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL


def test_a_second_one_does_not_disturb_what_the_first_set_going() -> None:
    done = []
    with heard(signal.SIGTERM, signal.SIGHUP), pytest.raises(Terminated), ended_by_signals():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            done.append("tidied up")
    assert done == ["tidied up"]


def test_an_ignored_one_stays_ignored() -> None:
    with heard(signal.SIGHUP):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_another_thread_may_enter_the_block() -> None:
    seen = []

    def work() -> None:
        with ended_by_signals():
            seen.append(threading.current_thread() is threading.main_thread())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_while_a_module_is_imported_it_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('imported')\n")
    code = "from q4engine.cli.signals import ended_by_signals\nwith ended_by_signals():\n    import slow\n"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with heard(signal.SIGTERM):
        done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, b"", b"")
