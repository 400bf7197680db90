"""`perf stat -j` in the forms of old and new versions. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read

NEW_JSON = (
    '{"interval" : 0.5, "cpu" : "CPU1", "counter-value" : "12.000000", "unit" : "(null)", "event" : "r4005", '
    '"event-runtime" : 5, "pcnt-running" : "40.00", "metric-value" : "0.5", "metric-unit" : "x", '
    '"metric-threshold" : "bad"}'
)


def test_new_json(tmp_path: Path) -> None:
    table = parsed(tmp_path, NEW_JSON + "\n" + NEW_JSON.replace("0.5, ", "1.0, ", 1) + "\n")
    assert readings(table) == [("cpu:1", "STALL_BACKEND_MEM", 12.0, "ok", 40.0)] * 2
    assert spans(table) == [(0.0, 0.5), (0.5, 1.0)]


def test_json_trailing_commas_and_metric_records(tmp_path: Path) -> None:
    text = (
        '{"counter-value" : "7", "unit" : "", "event" : "cycles", "event-runtime" : 5, "pcnt-running" : 100.00, },\n'
        '{"metric-value" : "0.16", "metric-unit" : "stalled cycles per insn", }\n'
        '{"die" : "S0-D1", "aggregate-number" : 4, "counter-value" : "<not counted>", "event" : "instructions", '
        '"event-runtime" : 0, "pcnt-running" : 0.00}\n'
    )
    table = parsed(tmp_path, text)
    assert readings(table) == [
        ("", "CPU_CYCLES", 7.0, "ok", 100.0),
        ("die:S0-D1", "INST_RETIRED", None, "not counted", 0.0),
    ]
    assert table.notes == ["1 record(s) that hold only a derived metric are not read"]


def test_json_metric_only(tmp_path: Path) -> None:
    table = parsed(
        tmp_path, '{"interval" : 1.0, "GHz" : "2.9", "insn  per cycle" : "1.2", "branch-misses %" : "3.5"}\n'
    )
    assert readings(table) == [
        ("", "metric:ghz", 2.9, "ok", None),
        ("", "metric:ipc", 1.2, "ok", None),
        ("", "metric:branch_misses", 3.5, "ok", None),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"counter-value" : "x", "event" : "cycles"}', "the count should be a number"),
        ('{"counter-value" : 5}', "a counter without an event name"),
        ('{"counter-value" : NaN, "event" : "cycles"}', "not a JSON object"),
        ('{"counter-value" : [1], "event" : "cycles"}', "expected a number"),
        ('{"counter-value" : true, "event" : "cycles"}', "expected a number"),
        ('{"counter-value" : -5, "event" : "cycles"}', "the count should be a number"),
        ('{"counter-value" : 1e999, "event" : "cycles"}', "the count"),
        ('{"counter-value" : "5", "event" : "<script>"}', "is no event name"),
        ('{"core" : "oops", "counter-value" : "5", "event" : "cycles"}', "core should read like"),
        ('{"a" : {"b" : {"c" : "1x"}}}', "metric c should be a number"),
        ('{"unit" : "msec"}', "no counter and no metric"),
        ('{"counter-value" : "5", ', "not a JSON object"),
    ],
)
def test_malformed_json(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"counter-value" : "7", "unit" : "", "event" : "cycles", "event-runtime" : 5, "pcnt-running" : 100.00}\n'
    path = written(tmp_path, good + line + "\n")
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert caught.value.row == 2
    assert reason in caught.value.reason
    assert len(read(path, lenient=True).frame) == 1
