"""Exports of Streamline, simpleperf and topdown-tool. All input is synthetic: no real Streamline CSV is public."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.model import Marker
from analysis.readers import read

PREAMBLE = "Streamline report,synthetic\nHost,somewhere\n\nCapture,1\n"
TIMELINE = (
    "Index (s),Cycles:CPU Cycles [0],Cycles:CPU Cycles [1],"
    "Stalls:Backend (Memory Stall Cycles) [0],CPU Activity:User [0]\n"
    "0.000,1000,2000,300,55.0\n"
    "0.001,1100,,310,54.0\n"
    "0.002,1200,2200,320\n"
)
LOG = (
    "synthetic log\n\nWhen (s),Message,Channel,Core\n"
    '0.0005,"past 0, n_eval 512",Markers,0\n'
    "0.0008,something else,Markers,0\n"
    '1:02.500,"past 512, n_eval 1",Markers,0\n'
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


def test_log_beside_the_timeline_and_folder(tmp_path: Path) -> None:
    written(tmp_path, TIMELINE, "timeline.csv")
    written(tmp_path, LOG, "log.csv")
    table = read(tmp_path)
    assert table.markers == [Marker(0.0005, 0, 512), Marker(62.5, 512, 1)]
    assert "1 annotation(s) of 3 in log.csv are no markers of decode calls" in table.notes
    assert read(tmp_path / "log.csv").markers == table.markers


def test_broken_log_names_both_files(tmp_path: Path) -> None:
    written(tmp_path, TIMELINE, "timeline.csv")
    written(tmp_path, LOG + "soon,past\n", "log.csv")
    with pytest.raises(AnalysisError, match=r"timeline\.csv: its log cannot be read: .*log\.csv: line 7: When"):
        read(tmp_path)


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


def test_functions(tmp_path: Path) -> None:
    header = (
        '"Periodic Samples: Periodic Samples","Counters: L1 Data Cache: Refill","Counters: Cycles: CPU Cycles",'
        '"Counters: GPU: Fragments",uid,image,symbol,inlined from\n'
    )
    rows = '120,2.51412e+08,5e9,1,7,libq4.so,q4_gemv,main\n3,1000,2000,1,8,libc.so,"memcpy<a, b>"\n'
    table = parsed(tmp_path, header + rows)
    assert table.functions is not None
    assert table.functions.to_dict("records") == [
        {"image": "libq4.so", "symbol": "q4_gemv", "inlined_from": "main", "samples": 120.0,
         "L1D_CACHE_REFILL": 251412000.0, "CPU_CYCLES": 5e9},
        {"image": "libc.so", "symbol": "memcpy<a, b>", "inlined_from": "", "samples": 3.0,
         "L1D_CACHE_REFILL": 1000.0, "CPU_CYCLES": 2000.0},
    ]  # fmt: skip
    assert readings(table)[1] == ("function:q4_gemv", "L1D_CACHE_REFILL", 251412000.0, "ok", None)
    assert any("Counters: GPU: Fragments" in n for n in table.notes)


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


def test_topdown_metrics(tmp_path: Path) -> None:
    text = (
        "time,group,stage,level,metric,value,units\n"
        "0.10,Topdown_L1,1,1,Retiring,17.02,%\n"
        "0.10,Topdown_L1,1,1,Backend Bound,,%\n"
        "0.25,Topdown_L1,1,1,Retiring,20.5,%\n"
    )
    table = parsed(tmp_path, text)
    assert readings(table) == [
        ("", "metric:Retiring", 17.02, "ok", None),
        ("", "metric:Backend Bound", None, "not counted", 0.0),
        ("", "metric:Retiring", 20.5, "ok", None),
    ]
    assert spans(table) == [(0.0, 0.1), (0.0, 0.1), (0.1, 0.25)]
    assert set(table.frame["unit"]) == {"%"}


def test_topdown_events(tmp_path: Path) -> None:
    table = parsed(tmp_path, "run,time,event,value\n1,,instructions,800440\n1,,stall_backend,\n")
    assert readings(table) == [
        ("", "INST_RETIRED", 800440.0, "ok", None),
        ("", "STALL_BACKEND", None, "not counted", 0.0),
    ]


def test_topdown_runs_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="line 3: holds several runs"):
        parsed(tmp_path, "run,time,event,value\n1,,instructions,800440\n2,,instructions,5\n")


@pytest.mark.parametrize("row", ["1,,instructions", "1,,instructions,x", "1,-1,instructions,5", "1,,instructions,-5"])
def test_malformed_topdown(tmp_path: Path, row: str) -> None:
    with pytest.raises(AnalysisError, match="line 3: "):
        parsed(tmp_path, f"run,time,event,value\n1,,cycles,5\n{row}\n")
