"""Streamline's timeline. All input is synthetic: no real Streamline CSV is public."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read

PREAMBLE = "Streamline report,synthetic\nHost,somewhere\n\nCapture,1\n"
TIMELINE = (
    "Index (s),Cycles:CPU Cycles [0],Cycles:CPU Cycles [1],"
    "Stalls:Backend (Memory Stall Cycles) [0],CPU Activity:User [0]\n"
    "0.000,1000,2000,300,55.0\n"
    "0.001,1100,,310,54.0\n"
    "0.002,1200,2200,320\n"
)


@pytest.mark.parametrize("preamble", ["", PREAMBLE, "\ufeff", PREAMBLE * 5])
def test_timeline_per_core(tmp_path: Path, preamble: str) -> None:
    table = parsed(tmp_path, preamble + TIMELINE)
    assert readings(table) == [
        ("cpu:0", "CPU_CYCLES", 1000.0, "ok", None),
        ("cpu:0", "CPU_CYCLES", 1100.0, "ok", None),
        ("cpu:0", "CPU_CYCLES", 1200.0, "ok", None),
        ("cpu:1", "CPU_CYCLES", 2000.0, "ok", None),
        ("cpu:1", "CPU_CYCLES", None, "not counted", 0.0),
        ("cpu:1", "CPU_CYCLES", 2200.0, "ok", None),
        ("cpu:0", "STALL_BACKEND_MEM", 300.0, "ok", None),
        ("cpu:0", "STALL_BACKEND_MEM", 310.0, "ok", None),
        ("cpu:0", "STALL_BACKEND_MEM", 320.0, "ok", None),
    ]
    assert spans(table)[:3] == [(0.0, 0.001), (0.001, 0.002), (0.002, 0.003)]
    assert "columns that are no known event ignored: CPU Activity:User [0]" in table.notes
    assert any("no log.csv" in n for n in table.notes)


@pytest.mark.parametrize(
    ("column", "event", "scope", "pmu"),
    [
        ("Clock:Cycles", "CPU_CYCLES", "", ""),
        ("Stall:Backend Stall", "STALL_BACKEND", "", ""),
        ("Stalls:Backend", "STALL_BACKEND", "", ""),
        ("L3 Data Cache:Refill [7]", "L3D_CACHE_REFILL", "cpu:7", ""),
        ("Last Level Cache:Miss (due to read)", "LL_CACHE_MISS_RD", "", ""),
        ("Instructions (Executed):All", "INST_RETIRED", "", ""),
        ("Instructions (Speculated):Data Processing (Advanced SIMD)", "ASE_SPEC", "", ""),
        ("Cycles:CPU Cycles [Cortex-A76]", "CPU_CYCLES", "", "Cortex-A76"),
    ],
)
def test_series_names_old_and_new(tmp_path: Path, column: str, event: str, scope: str, pmu: str) -> None:
    row = parsed(tmp_path, f"Index (s),{column}\n0,5\n1,6\n").frame.iloc[0]
    assert (row["event"], row["scope"], row["pmu"]) == (event, scope, pmu)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0.003,x,1,1,1", "should be a number"),
        ("0.002,1,1,1,1", "time goes from 0.002 to 0.002"),
        ("0.003,1,1,1,1,1,1", "7 fields, expected 5"),
        ("0.003,-1,1,1,1", "is negative"),
        ("0.003,1e99,1,1,1", "should be a number"),
        ('0.003,"1,1,1,1', "not comma-separated"),
    ],
)
def test_malformed_timeline(tmp_path: Path, row: str, reason: str) -> None:
    path = written(tmp_path, TIMELINE + row + "\n")
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert caught.value.row == 5
    assert reason in caught.value.reason
    assert len(read(path, lenient=True).frame) == 9


def test_timeline_without_known_series(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no column is an event that we know: Index"):
        parsed(tmp_path, "Index (s),CPU Activity:User\n0,1\n")
