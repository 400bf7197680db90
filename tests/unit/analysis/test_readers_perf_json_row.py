"""Single records of `perf stat -j`. All input is synthetic."""

from __future__ import annotations

import math
from typing import Any

import pytest

from analysis.readers.perf_json_row import parse, text_of
from analysis.readers.perf_rows import Malformed

COUNT = {"counter-value": "5,50", "unit": "msec", "event": "task-clock", "pcnt-running": "40,00", "cpu": "3"}


def test_a_count() -> None:
    line = parse({**COUNT, "metric-value": "70.1", "metric-unit": "%  tma_backend_bound", "interval": 1.5})
    assert line.row and line.row[:5] == (1.5, "cpu:3", 5.5, "ok", "msec")
    assert line.running == line.row.running == 0.4
    assert [(metric.event, metric.value) for metric in line.metrics] == [("metric:backend_bound", 70.1)]


def test_heads_of_groups_ratios_in_words_and_keys_of_their_own() -> None:
    head = parse({"metricgroup": "TopdownL1", "pcnt-running": 40.0})
    assert (head.row, head.metrics, head.group, head.running) == (None, [], "TopdownL1", 0.4)
    words = parse({"metric-value": "1.2", "metric-unit": "CPUs utilized"})
    assert (words.row, words.metrics, words.group, words.running) == (None, [], "", None)
    keys = parse({"interval": 1.0, "GHz": "1.2", "branch-misses": "none"})
    assert [(metric.event, metric.value) for metric in keys.metrics] == [("metric:ghz", 1.2)]
    assert keys.running is not None and math.isnan(keys.running)


@pytest.mark.parametrize(
    "record",
    [
        {**COUNT, "event": 5},
        {**COUNT, "cpu": "x"},
        {**COUNT, "pcnt-running": 150.0},
        {**COUNT, "counter-value": True},
        {"event": "cycles"},
    ],
)
def test_wrong_records(record: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        parse(record)


def test_numbers_as_text() -> None:
    assert [text_of(value) for value in (5, 0.5, " 5,25 ")] == ["5", "0.5", "5.25"]
    with pytest.raises(Malformed, match="expected a number"):
        text_of([1])
