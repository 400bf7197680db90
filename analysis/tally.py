"""Counts of many spans of time from one event's intervals, whole or divided pro rata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Tally:
    """One entry a span. measured: what was counted; covered_s: time with intervals; counted_s: time in which the event
    was counted at all; weighted_s: counted time weighted by the running share (NaN if unknown); samples: intervals;
    weight: what a rate's `measured` is to be divided by."""

    measured: Array
    covered_s: Array
    counted_s: Array
    weighted_s: Array
    samples: Array
    weight: Array


class Intervals:
    """The intervals of one event on one scope, sorted by start, none twice.

    value: NaN where not counted. counted: the interval tells what happened, be it 0. running: share, may be NaN.
    is_rate: values are ratios, to be averaged with `weight`, over time without one.
    """

    def __init__(
        self,
        start: Array,
        duration: Array,
        value: Array,
        counted: Array,
        running: Array,
        is_rate: bool,
        weight: Array | None = None,
    ) -> None:
        self.start = start
        self.end = start + duration
        amount = np.where(counted & (value == value), value, 0.0)
        weights = duration if weight is None else known(weight)
        columns = (
            amount * weights if is_rate else amount,
            duration,
            np.where(counted, duration, 0.0),
            np.where(counted, running * duration, 0.0),
            *([np.where(counted, weights, 0.0)] if is_rate else []),
        )
        self._sums = [_sums(column) for column in columns]

    def split(self, begin: Array, end: Array) -> Tally:
        """Intervals that straddle a span's boundary are divided in proportion to time."""
        edges = _in_turn(self.start, self.end)
        first, last = self._touching(begin, end)
        sums = []
        for total in self._sums:
            at_edges = _in_turn(total[:-1], total[1:])
            sums.append(np.interp(end, edges, at_edges) - np.interp(begin, edges, at_edges))
        return _tally(sums, np.maximum(last - first, 0))

    def whole(self, begin: Array, end: Array) -> Tally:
        """Only intervals that lie wholly in the span."""
        first = np.searchsorted(self.start, begin, side="left")
        last = np.maximum(np.searchsorted(self.end, end, side="right"), first)
        sums = [total[last] - total[first] for total in self._sums]
        return _tally(sums, last - first)

    def straddling(self, boundaries: Array) -> int:
        """How many intervals have one of the boundaries inside."""
        inside = np.searchsorted(boundaries, self.end, "left") > np.searchsorted(boundaries, self.start, "right")
        return int(inside.sum())

    def _touching(self, begin: Array, end: Array) -> tuple[Array, Array]:
        """Index range of the intervals that share some time with the span."""
        return np.searchsorted(self.end, begin, side="right"), np.searchsorted(self.start, end, side="left")


def known(values: Array) -> Array:
    """The values, 0 for those that are NaN."""
    found: Array = np.where(values == values, values, 0.0)
    return found


def _sums(values: Array) -> Array:
    """Of none, of the first, of the first two, …"""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _in_turn(first: Array, second: Array) -> Array:
    """An entry of one, an entry of the other. Of small arrays, and there are thousands, much faster than a stack's."""
    both = np.empty(2 * len(first), dtype=np.float64)
    both[0::2], both[1::2] = first, second
    return both


def _tally(sums: list[Array], samples: Array) -> Tally:
    measured, covered, counted, weighted = sums[:4]
    return Tally(measured, covered, counted, weighted, samples, sums[4] if len(sums) > 4 else counted)
