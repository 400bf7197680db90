"""What others took of the CPUs while a watched program ran: the keys that our own captures have of that."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from q4engine import cpu_time
from q4engine.watch.records import SUFFIX, process_of

_PROC = Path("/proc")
_LOOK_SECONDS = 0.5
"""Between two looks at the program's threads, whose times go with them: what they waited behind the last look is
missed."""


class Taken:
    """Looks at the processes whose records are in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = self._moment()
        self._threads: dict[int, cpu_time.ThreadTime] = {}
        self._next = 0.0

    def look(self) -> None:
        """Reads how long the threads ran and waited; does nothing where that was read just now."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        for path in self._folder.glob(f"*{SUFFIX}"):
            if (process := process_of(path)) is not None:
                self._threads |= cpu_time.thread_times(_PROC / str(process) / "task")

    @contextmanager
    def meanwhile(self) -> Iterator[Callable[[], None]]:
        yield self.look

    def percents(self) -> dict[str, float]:
        """Of the time since the start; those that can be told."""
        return cpu_time.taken_percents(self._before, replace(self._moment(), threads=self._threads))

    def _moment(self) -> cpu_time.Moment:
        """own: of the program and what it started, once they ended."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return replace(cpu_time.read_moment(), own=usage.ru_utime + usage.ru_stime, threads={})
