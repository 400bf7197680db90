"""Which of some placements is fastest, within a stated time: all are measured once, then the better half again, …"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from q4engine.bench.placements import Placement
from q4engine.bench.statistics import median

PROMPT, GENERATED = 256, 128
"""Tokens of the run that the two speeds are weighed by."""
MOST = 9
"""Measurements of one placement: more tell nothing new."""
WORTH = 1.03
"""Another placement than the default is told where it is so many times as fast: less is noise."""


@dataclass(frozen=True)
class Rates:
    """Tokens a second."""

    prefill: float
    decode: float


Measure = Callable[[Placement], Rates]


@dataclass
class Tried:
    """A placement and what was measured of it."""

    placement: Placement
    rates: list[Rates] = field(default_factory=list)

    @property
    def prefill(self) -> float:
        return median([rates.prefill for rates in self.rates])

    @property
    def decode(self) -> float:
        return median([rates.decode for rates in self.rates])


@dataclass(frozen=True)
class Best:
    """``decode`` and ``prefill``: the placements of the two phases, of one order of CPUs. ``complete``: all were
    measured; ``gain``: how many times as fast as the default the weighed run is."""

    decode: Tried
    prefill: Tried
    complete: bool
    gain: float


def tune(
    candidates: Sequence[Placement],
    measure: Measure,
    seconds: float,
    clock: Callable[[], float],
    tell: Callable[[Tried], None] = lambda tried: None,
) -> tuple[Best, list[Tried]]:
    """The best of the candidates, of which the first is the default, and all that were measured.

    No measurement begins that is not expected to end within ``seconds`` of ``clock``, but the default's first one.
    """
    start, longest = clock(), 0.0
    tried = [Tried(candidate) for candidate in candidates]
    left = tried
    while len(left[0].rates) < MOST:
        for each in left:
            begun = clock()
            if longest and begun - start + longest > seconds:
                return _best(tried), [each for each in tried if each.rates]
            each.rates.append(measure(each.placement))
            longest = max(longest, clock() - begun)
            tell(each)
        left = _better_half(left, tried[0])
    return _best(tried), tried


def _better_half(measured: Sequence[Tried], default: Tried) -> list[Tried]:
    """Those that are among the better half in one of the phases, and the default; three and fewer stay."""
    half = max(1, len(measured) // 2)
    kept = [default]
    for phase in (lambda each: each.decode, lambda each: each.prefill):
        kept += sorted(measured, key=phase, reverse=True)[:half]
    return [each for each in measured if any(each is one for one in kept)] if len(measured) > 3 else list(measured)


def _cost(decode: Tried, prefill: Tried) -> float:
    return PROMPT / prefill.prefill + GENERATED / decode.decode


def _best(tried: Sequence[Tried]) -> Best:
    """Of each order of CPUs the best placements of the two phases; of these the fastest, if it is worth it."""
    default = tried[0]
    best, lowest = Best(default, default, all(each.rates for each in tried), 1.0), math.inf
    own = _cost(default, default)
    for order in dict.fromkeys(each.placement.cpus for each in tried if each.rates):
        of_order = [each for each in tried if each.rates and each.placement.cpus == order]
        decode, prefill = max(of_order, key=lambda each: each.decode), max(of_order, key=lambda each: each.prefill)
        cost = _cost(decode, prefill)
        if cost < lowest and own / cost >= WORTH:
            best, lowest = Best(decode, prefill, best.complete, own / cost), cost
    return best
