"""Statistics of a few repeated measurements. Small samples on machines that others use too: medians where it counts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import combinations


def mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation (n - 1); 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def drift_percent(values: Sequence[float]) -> float:
    """How far the values moved from the first to the last, in percent of their median.

    The line is Theil and Sen's, whose slope is the median of the slopes of all pairs, so that one disturbed value does
    not look like a trend. 0 for fewer than three values.
    """
    if len(values) < 3:
        return 0.0
    slope = median([(b - a) / (j - i) for (i, a), (j, b) in combinations(enumerate(values), 2)])
    middle = median(values)
    return 100.0 * slope * (len(values) - 1) / middle if middle else math.nan
