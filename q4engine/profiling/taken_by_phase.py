"""What others took of the CPUs in each phase of a run: read where the calls of one phase follow those of another."""

from __future__ import annotations

import time
from collections.abc import Collection

from q4engine.cpu_time import Moment, Taken, read_moment, taken
from q4engine.engine import Phase

_SHORTEST_S = 0.05
"""Of a phase: in less nothing can be told, and guesses that are checked alternate with every call."""


class TakenByPhase:
    """cpus: those that the engine may use.  spent_ns: what reading took between calls."""

    def __init__(self, cpus: Collection[int] | None) -> None:
        self._cpus = cpus
        self._phase: Phase | None = None
        self._since: Moment | None = None
        self._n_short = 0  # phases since that were too short to be told apart
        self._sums: dict[Phase, Taken] = {}
        self.spent_ns = 0

    def begin(self, phase: Phase) -> None:
        """Calls of this phase follow, behind those of another or of none."""
        if self._since is not None and time.monotonic() - self._since.at < _SHORTEST_S:
            self._n_short += 1
            self._phase = phase
            return
        is_first, began_ns = self._since is None, time.perf_counter_ns()
        self._turn(phase)
        self.spent_ns += 0 if is_first else time.perf_counter_ns() - began_ns

    def end(self) -> None:
        """Behind the last call."""
        self._turn(None)

    def percents(self) -> dict[str, float]:
        """Keys of a capture's header, `steal_percent.decode`; of the phases that took long enough to tell."""
        return {f"{key}.{phase}": value for phase, sums in self._sums.items() for key, value in sums.percents().items()}

    def _turn(self, phase: Phase | None) -> None:
        now = read_moment(self._cpus)
        if self._since is not None and self._phase is not None and self._n_short < 2:
            self._sums[self._phase] = self._sums.get(self._phase, Taken()).and_(taken(self._since, now))
        self._since, self._phase, self._n_short = now, phase, 0
