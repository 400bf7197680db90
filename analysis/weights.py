"""How much each CPU, thread or interval weighs in a ratio that a tool printed: a mean of percentages is none itself.

A share of cycles or slots is weighted by cycles, misses per instruction by instructions, a share of the back-end's
stalls by those. Where the events were not counted, other ratios beside them may tell as much (GHz times time).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.phase import METRIC_PREFIX
from analysis.series import Series

SECONDS = "SECONDS"
CPU_SECONDS = "CPU_SECONDS"
"""The interval's length, for scopes that are CPUs: of a thread it says nothing."""

Factors = tuple[tuple[str, int], ...]
_M = METRIC_PREFIX
_CYCLES: tuple[Factors, ...] = (
    (("CPU_CYCLES", 1),),
    (("slots", 1),),
    (("topdown-total-slots", 1),),
    (("INST_RETIRED", 1), (_M + "ipc", -1)),
    ((_M + "ghz", 1), ("task-clock", 1)),
    ((_M + "ghz", 1), ("cpu-clock", 1)),
    ((_M + "ghz", 1), (_M + "cpus_utilized", 1), (SECONDS, 1)),
    ((_M + "ghz", 1), (CPU_SECONDS, 1)),
)
_INSTRUCTIONS: tuple[Factors, ...] = (
    (("INST_RETIRED", 1),),
    (("INST_SPEC", 1),),
    *(((_M + "ipc", 1), *factors) for factors in _CYCLES),
)
_STALLS: tuple[Factors, ...] = (
    (("STALL_BACKEND", 1),),
    *(((_M + share, 1), *factors) for share in ("backend_stalled_cycles", "backend_bound") for factors in _CYCLES),
)
_OF_STALLS = ("backend_mem_bound", "backend_core_bound")
_CPUS = ("", "cpu:", "core:", "cluster:", "cache:", "die:", "socket:", "node:")


def _alternatives(event: str) -> tuple[Factors, ...]:
    name = event.removeprefix(METRIC_PREFIX)
    if name in _OF_STALLS:
        return _STALLS
    return _INSTRUCTIONS if name.endswith(("_mpki", "_percentage")) else _CYCLES


class Weights:
    """Looks up what else was counted on a ratio's scope in the same intervals."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._known: dict[tuple[str, str], Series] = {}
        for one in series:
            if not one.contradicts and (not one.level or (one.event, one.scope) not in self._known):
                self._known[one.event, one.scope] = one

    def of(self, ratio: Series) -> np.ndarray | None:
        """A weight for each row of the ratio, None where no events tell it for all of them."""
        for factors in _alternatives(ratio.event):
            weight = np.ones(len(ratio.rows))
            for event, power in factors:
                found = self._factor(event, ratio)
                if found is None:
                    break
                with np.errstate(divide="ignore", invalid="ignore"):
                    weight = weight * found**power
            else:
                if np.isfinite(weight).all() and (weight >= 0).all():
                    return weight
        return None

    def _factor(self, event: str, ratio: Series) -> np.ndarray | None:
        if event in (SECONDS, CPU_SECONDS):
            is_cpu = ratio.scope == "" or ratio.scope.startswith(_CPUS[1:])
            lengths = ratio.lengths()
            if event == CPU_SECONDS and not is_cpu:
                return None
            return lengths if np.isfinite(lengths).all() else np.ones(len(ratio.rows))
        other = self._known.get((event, ratio.scope))
        if other is None or not other.has_values:
            return None
        return _aligned(other, ratio)


def _aligned(other: Series, ratio: Series) -> np.ndarray:
    """The other's value in each of the ratio's intervals, NaN where it has none."""
    values, starts, wanted = other.values(), other.starts(), ratio.starts()
    if len(values) == len(wanted) == 1:
        return values
    at = np.minimum(np.searchsorted(starts, wanted), len(starts) - 1)
    return np.where(starts[at] == wanted, values[at], np.nan)
