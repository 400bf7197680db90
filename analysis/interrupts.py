"""A Ctrl-C at moments at which Python's own answer to it would be lost or a traceback.

Nothing but the standard library, so that the engine and `analysis` share it.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

# What weak dictionaries and sets do with a key that is gone.
_REMOVING, _OF_WEAK_REFERENCES = ("remove", "_remove"), ("weakref.py", "_weakrefset.py")


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: libraries turn an exception that comes then into one of their own, and
    importlib's clean-up of its locks prints and drops it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def dropping(frame: FrameType | None) -> bool:
    """Whether an object is being cleared away, or a generator closed, as one that nobody holds any more is: Python
    prints and drops an exception that comes then."""
    if isinstance(sys.exc_info()[1], GeneratorExit):
        return True
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or (code.co_name in _REMOVING and code.co_filename.endswith(_OF_WEAK_REFERENCES)):
            return True
        frame = frame.f_back
    return False


def interrupted(number: int, frame: FrameType | None) -> None:
    """A handler: KeyboardInterrupt, or, during an import, the end that a process without a handler has. Where an
    exception would be dropped it comes a moment later."""
    if importing(frame):
        end_by(number)
    if dropping(frame) and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda _, later: interrupted(number, later))
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        return
    raise KeyboardInterrupt


def end_by(number: int) -> None:
    """Ends this process as if it had no handler for the signal."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
