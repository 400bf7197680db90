"""Intervals and the spans that cut them (`spans`, `tally`, `series`), by numbers that can be added up in the head."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.phase import METRIC_PREFIX, Marker
from analysis.series import series_of
from analysis.spans import extent, spans_of_markers
from analysis.table import TableBuilder
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


def test_markers_make_spans_and_the_last_is_cut_to_its_like() -> None:
    decode = [Marker(1.0 + i, 8 + i, 1, "decode") for i in range(4)]
    first, second = spans_of_markers([Marker(0.0, 0, 8, "prefill"), *decode], 0.0, 20.0)
    assert (first.label, first.start_s, first.end_s) == ("prefill", 0.0, 1.0)
    assert [step.duration_s for step in second.steps] == [1.0, 1.0, 1.0, 1.0]
    assert "not marked" in second.notes[0]
    with pytest.raises(AnalysisError, match="check --offset"):
        spans_of_markers([Marker(30.0, 0, 8, "prefill")], 0.0, 20.0)


def test_series_are_one_for_each_event_and_scope() -> None:
    builder = TableBuilder()
    for start in (0.0, 1.0):
        for cpu in (0, 1):
            builder.add("CPU_CYCLES", 10.0 * cpu, start_s=start, duration_s=1.0, scope=f"cpu:{cpu}")
    builder.add(METRIC_PREFIX + "ipc", 1.5, start_s=0.0, duration_s=1.0)
    frame = builder.frame()
    found, notes = series_of(frame)
    assert [(one.event, one.scope) for one in found] == [
        ("CPU_CYCLES", "cpu:0"),
        ("CPU_CYCLES", "cpu:1"),
        (METRIC_PREFIX + "ipc", ""),
    ]
    assert not notes and found[1].intervals().split(np.array([0.0]), np.array([2.0])).measured[0] == 20.0
    assert extent(frame) == (0.0, 2.0)
