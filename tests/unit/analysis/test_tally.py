"""Counts of spans from intervals (`tally`), by numbers that can be added up in the head."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.tally import Intervals


def intervals(values: list[float], running: float = 1.0, is_rate: bool = False) -> Intervals:
    """Intervals of a second each from 0; NaN was not counted."""
    n = len(values)
    counted = np.isfinite(values)
    return Intervals(np.arange(float(n)), np.ones(n), np.array(values), counted, np.full(n, running), is_rate)


def test_intervals_that_straddle_are_divided_by_time() -> None:
    tally = intervals([10.0, 20.0, 30.0]).split(np.array([0.0, 0.5]), np.array([1.5, 3.0]))
    assert tally.measured.tolist() == [20.0, 55.0] and tally.covered_s.tolist() == [1.5, 2.5]
    assert tally.samples.tolist() == [2, 3]


def test_whole_intervals_alone() -> None:
    one = intervals([10.0, 20.0, 30.0])
    tally = one.whole(np.array([0.5]), np.array([3.0]))
    assert (tally.measured[0], tally.covered_s[0], tally.samples[0]) == (50.0, 2.0, 2)
    assert one.straddling(np.array([0.5, 2.0])) == 1


def test_time_in_which_nothing_was_counted() -> None:
    tally = intervals([10.0, float("nan")], running=0.5).split(np.array([0.0]), np.array([2.0]))
    assert (tally.covered_s[0], tally.counted_s[0], tally.weighted_s[0]) == (2.0, 1.0, 0.5)


def test_ratios_are_averaged_over_time() -> None:
    tally = intervals([0.2, 0.4], is_rate=True).split(np.array([0.5]), np.array([2.0]))
    assert tally.measured[0] / tally.counted_s[0] == pytest.approx((0.5 * 0.2 + 0.4) / 1.5)


def test_spans_without_intervals_have_nothing() -> None:
    one = intervals([10.0, 20.0])
    for tally in (one.split(np.array([5.0]), np.array([7.0])), one.whole(np.array([0.2]), np.array([0.9]))):
        assert (tally.measured[0], tally.covered_s[0], tally.samples[0]) == (0.0, 0.0, 0)
    assert one.straddling(np.array([])) == 0


def test_gaps_between_intervals_are_covered_by_none() -> None:
    start, duration = np.array([0.0, 4.0]), np.array([1.0, 2.0])
    one = Intervals(start, duration, np.array([8.0, 6.0]), np.array([True, True]), np.array([1.0, 1.0]), False)
    tally = one.split(np.array([0.5, 2.0]), np.array([5.0, 3.0]))
    assert tally.measured.tolist() == [7.0, 0.0] and tally.covered_s.tolist() == [1.5, 0.0]
    assert tally.samples.tolist() == [2, 0]


def test_a_running_share_that_is_not_told_is_not_made_up() -> None:
    tally = intervals([10.0, 20.0], running=float("nan")).split(np.array([0.0]), np.array([2.0]))
    assert (tally.measured[0], tally.counted_s[0]) == (30.0, 2.0) and np.isnan(tally.weighted_s[0])
