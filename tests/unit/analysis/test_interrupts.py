"""A Ctrl-C in the middle of an import, and while an object is cleared away."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from analysis.interrupts import importing, interrupted

# The signal comes while importlib drops a module's lock, where an exception would be printed and lost.
IN_A_CALLBACK = """
import os, signal, sys
{set_up}
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "json.tool":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
try:
    import json.tool
except KeyboardInterrupt:
    print("caught")
print("went on")
"""


@pytest.mark.parametrize(
    ("set_up", "code", "out"),
    [
        ("from analysis.interrupts import interrupted; signal.signal(signal.SIGINT, interrupted)", -signal.SIGINT, ""),
        ("signal.signal(signal.SIGINT, signal.default_int_handler)", 0, "caught\nwent on\n"),
    ],
)
def test_during_an_import_it_ends_the_process(set_up: str, code: int, out: str) -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CALLBACK.format(set_up=set_up)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, "")


def test_else_it_is_pythons_own() -> None:
    assert not importing(None) and not importing(sys._getframe())
    with pytest.raises(KeyboardInterrupt):
        interrupted(signal.SIGINT, sys._getframe())


class Dying:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class Left:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        signal.raise_signal(signal.SIGINT)


def lines() -> Iterator[int]:
    with Left():
        yield 1


@pytest.mark.parametrize("die", [Dying, lambda: next(lines())], ids=["__del__", "a generator"])
def test_where_it_would_be_dropped_it_comes_a_moment_later(die: Callable[[], object]) -> None:
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            die()  # which would be an error of pytest's where it were dropped
            time.sleep(60)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
