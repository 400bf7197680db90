"""Medians of few repeated measurements with their intervals, and those of comparisons.

NumPy's alone, so that a sweep can ask while it runs whether it knows enough.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
COMPARED = 0.96
"""Of comparisons: a little more, so that of equals at least 95 in 100 show no difference whatever the noise is."""
LEAST = 6
"""Values from which on an interval of the median reaches 95 %: from the least to the largest of five it is 93.75 %."""

MOST_OF_A_SIDE = 1000
"""Values of which pairs are made, taken evenly out of more."""
_COUNTED_EXACTLY = 60

Interval = tuple[float, float]
Values = Sequence[float] | np.ndarray


def middle(values: Values) -> float:
    """The median."""
    return float(np.median(values))


def interval(values: Values, level: float = LEVEL) -> Interval | None:
    """The interval of the median that the values are drawn around; None with too few, for 95 % fewer than `LEAST`."""
    if not reaches(len(values), level):
        return None
    low, high = intervals(np.asarray(values, dtype=np.float64), level)
    return float(low), float(high)


def reaches(n: int, level: float = LEVEL) -> bool:
    """Whether the interval from the least to the largest of so many values covers their median that often."""
    return n > 1 and 1.0 - 2 / (1 << n) >= level


def intervals(values: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the interval of the median along the last axis, at least `LEAST` values long.

    Between two order statistics that would be too wide and too narrow, in the proportion of Hettmansperger and Sheather
    (1986): whatever the distribution, the interval covers its median nearly as often as it says.
    """
    n = values.shape[-1]
    k, wide, narrow = _rank(n, level)
    part = (wide - level) / (wide - narrow)
    share = (n - k) * part / (k + (n - 2 * k) * part)
    ordered = np.sort(values, axis=-1)
    low = (1 - share) * ordered[..., k - 1] + share * ordered[..., k]
    high = (1 - share) * ordered[..., n - k] + share * ordered[..., n - k - 1]
    return low, high


@functools.cache
def _rank(n: int, level: float) -> tuple[int, float, float]:
    """The largest rank from either end at which the interval still covers as much; how often that interval, from the
    k-th least of n values to the k-th largest, holds their median, and how often that of the next rank does."""
    outside = ways = 1  # to draw the values with so few, or fewer, of them below the median; of 2 ** n
    k, wide = 0, 1.0
    while (covered := 1 - 2 * outside / (1 << n)) >= level:
        k, wide = k + 1, covered
        ways = ways * (n - k + 1) // k
        outside += ways
    return k, wide, covered


def ratios(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of values in the same blocks along the last axis: how many times the one the other is, as logarithms.

    Within a block, what changed the machine since the block before has changed both: `intervals` of these respect
    blocks. A bootstrap of whole blocks would be the usual thing, but of so few it promises too much: of a median of
    seven blocks its 95 % hold 88 % of the time.
    """
    found: np.ndarray = np.log(other) - np.log(one)
    return found


def interval_of_difference(one: Values, other: Values, level: float = LEVEL) -> Interval | None:
    """The interval of one's median less other's, of values that have no blocks in common; None of too few.

    From both medians' own intervals, as Zou and Donner (2008) put such together.
    """
    first, second = interval(one, level), interval(other, level)
    if first is None or second is None:
        return None
    middles = middle(one), middle(other)
    difference = middles[0] - middles[1]
    below = math.hypot(middles[0] - first[0], second[1] - middles[1])
    above = math.hypot(first[1] - middles[0], middles[1] - second[0])
    return difference - below, difference + above


def times(one: Values, other: Values, most: int = MOST_OF_A_SIDE) -> tuple[float, Interval | None]:
    """How many times ``one`` is ``other``, values above 0 that have no blocks in common, and the 95 % interval of it.

    The median of all pairs' ratios (Hodges and Lehmann 1963) between the order statistics that the rank test of Mann
    and Whitney gives: exact whatever the distribution, and there from four values on each side. most: of a side that
    are taken.
    """
    first, second = (np.log(_thinned(np.asarray(values, dtype=np.float64), most)) for values in (one, other))
    ordered = np.sort((first[:, None] - second[None, :]).ravel())
    k = _pairs_cut_off(len(first), len(second))
    middle_ratio = math.exp(float(np.median(ordered)))
    return middle_ratio, (math.exp(ordered[k - 1]), math.exp(ordered[-k])) if k else None


def _thinned(values: np.ndarray, most: int) -> np.ndarray:
    """So many of them, evenly by size."""
    if len(values) <= most:
        return values
    found: np.ndarray = np.sort(values)[np.linspace(0, len(values) - 1, most).round().astype(int)]
    return found


@functools.cache
def _pairs_cut_off(n: int, m: int) -> int:
    """The rank of the interval's ends among n x m pairs, from either side; 0 where even the outermost are too near."""
    tail = (1 - LEVEL) / 2
    if min(n, m) > _COUNTED_EXACTLY:
        return max(0, math.floor(n * m / 2 - 1.959964 * math.sqrt(n * m * (n + m + 1) / 12)))
    # the numbers of arrangements with 0, 1, ... inversions: the Gaussian binomial, factor by factor
    counts = [1] + [0] * (n * m // 2)
    few, many = min(n, m), max(n, m)
    for i in range(1, few + 1):
        for at in range(len(counts) - 1, many + i - 1, -1):
            counts[at] -= counts[at - many - i]
        for at in range(i, len(counts)):
            counts[at] += counts[at - i]
    most, below, k = tail * math.comb(n + m, n), 0, 0
    for count in counts:
        below += count
        if below > most:
            break
        k += 1
    return k
