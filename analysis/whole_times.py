"""Two runs of which no token is known, by the time of all of them: elapsed, user, system, or the clock of the CPUs.

perf tells a spread of the elapsed time where it ran the program several times (`-r`): the standard error of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from analysis.bootstrap import Interval
from analysis.phase import Phase
from analysis.table import Table
from analysis.waits import cpu_seconds

ELAPSED, CPU_TIME = "time elapsed", "CPU time"
_OTHERS = (("user_s", "user time"), ("sys_s", "system time"))
# Student's t at 97.5 %, by the runs that are more than one; from 10 on.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
_T_OF_MORE = 2.23


class WholeTime(NamedTuple):
    """Seconds in both captures, and the 95 % interval of right/left - 1 where both tell their spread."""

    name: str
    left: float
    right: float
    interval: Interval | None


def of_phases(left: Phase, left_table: Table, right: Phase, right_table: Table) -> Iterator[WholeTime]:
    """The times that both have, elapsed first, which speaks for the run."""
    metas = left_table.meta, right_table.meta
    seconds = left.duration_s, right.duration_s
    if _are_times(*seconds):
        yield WholeTime(ELAPSED, *seconds, _interval(seconds[1] / seconds[0], metas[0], metas[1]))
    clocks = cpu_seconds(left.counts), cpu_seconds(right.counts)
    if _are_times(*clocks):
        yield WholeTime(CPU_TIME, *clocks, None)
    for key, name in _OTHERS:
        one, other = (meta.get(key, math.nan) for meta in metas)
        if _are_times(one, other):
            yield WholeTime(name, one, other, None)


def _are_times(left: float, right: float) -> bool:
    return 0 < left < math.inf and 0 <= right < math.inf


def _interval(ratio: float, left: dict[str, float], right: dict[str, float]) -> Interval | None:
    errors = [meta.get("elapsed_error", math.nan) for meta in (left, right)]
    further = min(meta.get("repeats", 0) for meta in (left, right)) - 1
    if further < 1 or not all(map(math.isfinite, errors)):
        return None
    reach = (_T[int(further) - 1] if further <= len(_T) else _T_OF_MORE) * math.hypot(*errors) * ratio
    return ratio - 1 - reach, ratio - 1 + reach
