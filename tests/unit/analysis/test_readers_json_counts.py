"""Counts in the JSON of scripts. All input is synthetic."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from capture_tables import parsed, readings, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.readers.json_counts import holds_counts, may_be

COUNTS = {"cycles": 1000, "stall_backend": 500}
WANTED = [("", "CPU_CYCLES", 1000.0, "ok", None), ("", "STALL_BACKEND", 500.0, "ok", None)]


@pytest.mark.parametrize(
    "document",
    [
        COUNTS,
        {"run": "decode", "ipc": 1.5, "events": COUNTS},
        {"results": [{"perf": COUNTS}]},
        {name: {"value": value, "unit": ""} for name, value in COUNTS.items()},
        {name: f"{value:,}" for name, value in COUNTS.items()},
        [{"event": name, "count": value} for name, value in COUNTS.items()],
        {"counters": [{"name": name, "value": str(value)} for name, value in COUNTS.items()]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_where_they_stand(tmp_path: Path, document: object, indent: int | None) -> None:
    assert readings(parsed(tmp_path, json.dumps(document, indent=indent))) == WANTED


def test_each_object_is_a_run(tmp_path: Path) -> None:
    table = parsed(tmp_path, json.dumps({"before": COUNTS, "after": COUNTS | {"stall_backend": 100}}))
    assert [one.meta["target"] for one in (table, *table.runs)] == ["before", "after"]
    assert readings(table.runs[0])[1] == ("", "STALL_BACKEND", 100.0, "ok", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"cycles": 1000, "instructions": 2000', "not JSON"),
        ('{"cycles": 1000, "r24": 5, "instructions": -1}', "instructions: the count should be a number, found '-1'"),
        ('{"cycles": 1000, "instructions": 1e300}', "instructions"),
        ('{"cycles": 1000, "instructions": NaN}', "NaN is no number"),
        ('{"cycles": 1000, "instructions": 1, "cycles": 5}', "stands twice"),
        ('{"cycles": 1000, "instructions": 2, "x": ' + "[" * 100_000, "not JSON"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(AnalysisError) as caught:
        read(written(tmp_path, text))
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_one_name_is_no_sign(tmp_path: Path) -> None:
    assert may_be(["", '  {"cycles": 1}']) and not may_be(["cycles: 1"])
    assert not holds_counts('{"cycles": 1, "name": 2}') and holds_counts('{"cycles": 1, "instructions": "2"}')
    with pytest.raises(AnalysisError, match="another tool"):
        read(written(tmp_path, '{"cycles": 5, "wheels": {"left": 1}}'))


@pytest.mark.parametrize(
    "text",
    [
        '{"CPU_CYCLES": 17, "STALL_BACKEND": 36}',
        '{"CPU_CYCLES": "0x11", "STALL_BACKEND": "0x24"}',
        '{"events": ["CPU_CYCLES", "STALL_BACKEND"]}',
        '[{"name": "cycles", "about": "of the core"}, {"name": "instructions", "about": "that retired"}]',
        '{"r10": 5, "r11": 7}',
    ],
)
def test_lists_of_events_are_no_counts(tmp_path: Path, text: str) -> None:
    assert not holds_counts(text)
    with pytest.raises(AnalysisError):
        read(written(tmp_path, text))
