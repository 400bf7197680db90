"""What is counted in a run, and what the readings of the counters say.

Events of one group are counted together, so a ratio of two of them is exact. A call's count is what was counted in that
call, never an estimate.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from q4engine.profiling.events import MIGRATIONS, NativeEvent, NativeGroup
from q4engine.profiling.recording import Record

AVAILABLE = "available"
SOFTWARE = "software"
"""The PMU of events that the kernel itself counts."""

HEAD_WORDS = 3
"""Of a group's reading: number of events, time enabled, time running."""
MOST_GROUPS, MOST_EVENTS = 32, 16
"""That the native module counts together, and in a group."""


@dataclass(frozen=True)
class Group:
    """Events counted together on one PMU. names: those to report; one more may follow them for our own use."""

    name: str
    pmu: str
    names: tuple[str, ...]
    events: tuple[NativeEvent, ...]
    counts_migrations: bool = False

    @property
    def words(self) -> int:
        """Of a reading (native/pmu.h)."""
        return HEAD_WORDS + len(self.events)


@dataclass(frozen=True)
class Counts:
    """by_group: group -> time enabled, time running, counts, only of groups that counted. by_name: event -> count.

    running: event -> nanoseconds in which it was counted.
    """

    by_group: dict[int, list[int]]
    by_name: dict[str, int]
    running: dict[str, int]

    @staticmethod
    def none() -> Counts:
        return Counts({}, {}, {})


@dataclass
class Counters:
    """What is counted in a run. rotation: sets of groups, one set a call. missing: events left out, and why.

    state: "available", or why nothing is counted.
    """

    groups: list[Group] = field(default_factory=list)
    rotation: list[tuple[int, ...]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    state: str = AVAILABLE
    owner: int = field(default_factory=threading.get_native_id)
    """The thread that the first of the engine's counters was opened on."""

    @property
    def native_groups(self) -> list[NativeGroup]:
        return [list(group.events) for group in self.groups]

    def turn(self, n: int) -> tuple[int, ...]:
        """The groups that count in the n-th call."""
        return self.rotation[n % len(self.rotation)] if self.rotation else ()

    def of_call(self, record: Record) -> Counts:
        """Counts of the whole call, all threads together."""
        readings = self._readings(record)
        if readings is None:
            return Counts.none()
        deltas = (readings[:, -1] - readings[:, 0]).sum(axis=0).tolist()
        by_thread: list[list[bool]] = self._complete(record, readings[:, [0, -1]])[:, 0].tolist()
        return self._counts(record.counted, deltas, [all(of) for of in zip(*by_thread, strict=True)])

    def of_marks(self, record: Record) -> list[list[Counts]]:
        """Counts between each mark and the next, by thread; [] where they were not read at every mark."""
        readings = self._readings(record)
        if readings is None or readings.shape[1] * 8 * readings.shape[0] != len(record.stamps):
            return []
        deltas, complete = np.diff(readings, axis=1).tolist(), self._complete(record, readings).tolist()
        return [
            [self._counts(record.counted, *of) for of in zip(*of_thread, strict=True)]
            for of_thread in zip(deltas, complete, strict=True)
        ]

    def _complete(self, record: Record, readings: np.ndarray) -> np.ndarray:
        """Whether both ends of an interval hold a group's events: [threads, readings - 1, counted groups]."""
        groups = [self.groups[index] for index in record.counted]
        heads = np.cumsum([0, *(group.words for group in groups[:-1])])
        whole: np.ndarray = readings[:, :, heads] == [len(group.events) for group in groups]
        both: np.ndarray = whole[:, 1:] & whole[:, :-1]
        return both

    def of_words(self, words: Sequence[int], more: Sequence[int] = ()) -> Counts:
        """Counts of a difference of readings of all groups, threads already added; none of what does not fit. more: of
        another interval, which is added."""
        if not words or len(words) != sum(group.words for group in self.groups):
            return Counts.none()
        complete, at = [], 0
        for group in self.groups:
            complete.append(words[at] == len(group.events) and (not more or more[at] == words[at]))
            at += group.words
        deltas = [one + other for one, other in zip(words, more, strict=True)] if more else list(words)
        return self._counts(range(len(self.groups)), deltas, complete)

    def _readings(self, record: Record) -> np.ndarray | None:
        """None where nothing was counted, or on a thread that the counters are not on."""
        n_words = sum(self.groups[index].words for index in record.counted)
        if not record.counts or not n_words or record.threads()[0].tid != self.owner:
            return None
        return record.readings(n_words)

    def _counts(self, counted: Iterable[int], deltas: list[int], complete: list[bool]) -> Counts:
        """deltas: of a reading's words; complete: by counted group."""
        counts = Counts.none()
        at = 0
        for index, whole in zip(counted, complete, strict=True):
            group = self.groups[index]
            values = deltas[at + 1 : at + group.words]
            at += group.words
            if not whole or values[1] <= 0:  # a group that did not run counted nothing, which is not 0
                continue
            n = len(group.names)
            counts.by_group[index] = values[: 2 + n]
            names = (*group.names, MIGRATIONS) if group.counts_migrations else group.names
            for name, value in zip(names, values[2:], strict=True):
                counts.by_name[name] = counts.by_name.get(name, 0) + value
                counts.running[name] = counts.running.get(name, 0) + values[1]
        return counts
