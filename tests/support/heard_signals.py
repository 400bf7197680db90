"""Signals as a program in the foreground of a terminal has them, however the tests were started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heard(*numbers: signal.Signals) -> Iterator[None]:
    """In this block these signals arrive, here and in processes started here. `nohup` ignores SIGHUP and a shell's `&`
    SIGINT, and both would be inherited. A test that sends a signal, or has one sent, says so with this.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
