"""Signals that ask a command to end: files are completed or removed, and what was measured is printed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from analysis.interrupts import end_by, importing


class Terminated(SystemExit):
    """A signal asked the process to end. The exit code is 128 and the signal's number, as shells have it."""

    code: int

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP become an exception in this block, as SIGINT is one. Those that the caller ignores (nohup)
    stay ignored.

    While a module is imported a signal ends the process as if there were no handler: libraries turn an exception that
    comes then into one of their own, or lose it.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    ours = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def leave(number: int, frame: FrameType | None) -> None:
        if importing(frame):
            end_by(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        for each in (signal.SIGTERM, signal.SIGHUP):  # a second one does not disturb what the first one set going
            if each in ours:
                signal.signal(each, signal.SIG_IGN)
        raise Terminated(number)

    try:
        for number in ours:
            signal.signal(number, leave)
    except ValueError:  # not in the main thread, where signals do not arrive
        yield
        return
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
