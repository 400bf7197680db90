"""Android's simpleperf. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans

from analysis.errors import AnalysisError
from analysis.readers import perf_builder, simpleperf_counts
from analysis.readers.simpleperf import _row, _usual_row


def simpleperf(rows: str, seconds: float) -> str:
    return f"Performance counter statistics,\n{rows}Total test time,{seconds:.6f},seconds,\n"


def test_simpleperf_scopes_and_raw_events(tmp_path: Path) -> None:
    rows = (
        "ggml,100,101,5000,raw-stall-backend-mem,0.5,,(33%),\n"
        "3,6000,cpu-cycles,1.0,GHz,\n"
        "1234.500000(ms),task-clock,0.9,cpus used,(100%),\n"
    )
    assert readings(parsed(tmp_path, simpleperf(rows, 2.0))) == [
        ("thread:ggml-101", "STALL_BACKEND_MEM", 5000.0, "ok", 33.0),
        ("cpu:3", "CPU_CYCLES", 6000.0, "ok", 100.0),
        ("", "task-clock", 1234.5, "ok", 100.0),
    ]


def test_simpleperf_intervals(tmp_path: Path) -> None:
    sums = "".join(simpleperf(f"{v},cpu-cycles,,\n", t) for v, t in ((100, 1.0), (250, 2.0), (250, 3.0)))
    table = parsed(tmp_path, sums)
    assert [r[2] for r in readings(table)] == [100.0, 150.0, 0.0]
    assert spans(table) == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]
    assert any("sums since the start" in n for n in table.notes)
    only = "".join(simpleperf(f"{v},cpu-cycles,,\n", t) for v, t in ((100, 1.0), (150, 2.0), (80, 3.0)))
    assert [r[2] for r in readings(parsed(tmp_path, only))] == [100.0, 150.0, 80.0]


@pytest.mark.parametrize("row", ["x,cpu-cycles,,", "5,<b>,,", "a,b,5,cpu-cycles,,", "5"])
def test_malformed_simpleperf(tmp_path: Path, row: str) -> None:
    with pytest.raises(AnalysisError, match="line 2: "):
        parsed(tmp_path, simpleperf(row + "\n", 1.0))


@pytest.mark.parametrize(
    "row",
    [
        "5000,cpu-cycles,1.23,GHz,(100%),",
        "5000,cpu-cycles,1.23,GHz,(33.25%)",
        "3,5000,raw-stall-backend,",
        "a b,100,101,5000,cpu-cycles:u,1.0,GHz,",
        "7,100,101,2,5000,cpu-cycles,(7%),",
    ],
)
def test_usual_rows_are_what_careful_reading_makes_of_them(row: str) -> None:
    usual = _usual_row(row)
    assert usual is not None and repr(usual) == repr(_row([f.strip() for f in row.split(",")]))


@pytest.mark.parametrize(
    "row", ["3,4,5000,cpu-cycles,", "5000,cpu-cycles,(102%),", "5.5(ms),task-clock,", "x,cpu-cycles,"]
)
def test_other_rows_are_read_with_care(row: str) -> None:
    assert _usual_row(row) is None


@pytest.mark.parametrize(
    ("limit", "what"), [("MOST_NAMES", "more than 3 events"), ("MOST_SERIES", "more than 3 counters, of all events")]
)
def test_more_counters_than_any_capture_has(
    tmp_path: Path, limit: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simpleperf_counts, limit, 3)
    rows = "".join(f"{n},5000,event-{'abcd'[n]},\n" for n in range(4))
    with pytest.raises(AnalysisError, match=what):
        parsed(tmp_path, simpleperf(rows, 1.0))


def test_more_series_than_any_capture_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"CPU{n},5000,,r{n:x},100,100.00,,\n" for n in range(9))
    assert len(parsed(tmp_path, rows).frame) == 9
    monkeypatch.setattr(perf_builder, "MOST_SERIES", 8)
    with pytest.raises(AnalysisError, match="more than 8 counters, of all events on all scopes: name fewer"):
        parsed(tmp_path, rows)
