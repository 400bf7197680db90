"""Our own captures and markers files, as docs/capture-format.md has them. All numbers are synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from capture_tables import parsed, readings, written

from analysis.cutting import cut
from analysis.errors import AnalysisError
from analysis.phase import Marker
from analysis.readers import read
from analysis.readers.markers_file import read_markers

HEADER = (
    "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: available\n# bytes_per_token: 76000000\n"
    "# model: synthetic, with: colons\n# group.g0: pmu=armv8_pmuv3_0 events=CPU_CYCLES,STALL_BACKEND\n"
    "# group.sw: pmu=software events=task-clock\n"
)
COLUMNS = (
    "call,phase,n_past,n_eval,op,layer,thread,start_ns,duration_ns,time_enabled_ns@g0,time_running_ns@g0,"
    "CPU_CYCLES@g0,STALL_BACKEND@g0,task-clock@sw\n"
)
ROWS = (
    "0,prefill,0,512,,,,1000000000,900000000,900000000,900000000,2520000000,504000000,900000000\n"
    "0,prefill,0,512,gemm,3,0,1000000100,800000000,800000000,800000000,2500000000,500000000,\n"
    "0,prefill,0,512,barrier,3,0,1800000100,90000000,,,,,\n"
    "1,decode,512,1,,,,1900500000,20000000,20000000,5000000,14000000,8400000,20000000\n"
    "2,decode,513,1,,,,1920500000,20000000,,,,,20000000\n"
)


def test_documented_example(tmp_path: Path, repo_root: Path) -> None:
    page = (repo_root / "docs/capture-format.md").read_text(encoding="utf-8")
    example = page[page.index("```\n# q4engine capture") + 4 :].split("```")[0]
    prefill, decode = cut(parsed(tmp_path, example))
    assert prefill.counts["STALL_BACKEND_MEM"].value == 50400000
    assert decode.counts["STALL_BACKEND_MEM"].value / decode.counts["STALL_BACKEND"].value == 0.5
    assert (decode.n_tokens, decode.duration_s, decode.start_s) == (1, 0.02, 1.9005)
    markers = page[page.index("time_ns,n_past,n_eval,phase\n1") :].split("```")[0]
    assert read_markers(written(tmp_path, markers)) == [
        Marker(1.0, 0, 512, "prefill"),
        Marker(1.9005, 512, 1, "decode"),
    ]


def test_call_rows_are_the_table(tmp_path: Path) -> None:
    table = parsed(tmp_path, HEADER + COLUMNS + ROWS)
    assert readings(table) == [
        ("", "CPU_CYCLES", 2520000000.0, "ok", 100.0),
        ("", "CPU_CYCLES", 56000000.0, "ok", 25.0),
        ("", "CPU_CYCLES", None, "not counted", 0.0),
        ("", "STALL_BACKEND", 504000000.0, "ok", 100.0),
        ("", "STALL_BACKEND", 33600000.0, "ok", 25.0),
        ("", "STALL_BACKEND", None, "not counted", 0.0),
        ("", "task-clock", 900000000.0, "ok", 100.0),
        ("", "task-clock", 20000000.0, "ok", 100.0),
        ("", "task-clock", 20000000.0, "ok", 100.0),
    ]
    assert table.meta["header"]["bytes_per_token"] == 76000000.0
    assert table.meta["header"]["model"] == "synthetic, with: colons"
    assert table.meta["emulated"] is False
    assert table.notes == ["multiplexed within calls and scaled to the whole call: CPU_CYCLES, STALL_BACKEND"]


def test_operations_keep_raw_counts(tmp_path: Path) -> None:
    calls = parsed(tmp_path, HEADER + COLUMNS + ROWS).calls
    assert calls is not None
    assert list(calls.rows["op"]) == ["", "gemm", "barrier", "", ""]
    assert list(calls.rows["CPU_CYCLES@g0"].iloc[:2]) == [2520000000.0, 2500000000.0]
    assert calls.rows["CPU_CYCLES@g0"].iloc[3] == 14000000.0
    assert calls.parts["layer"].iloc[0] == 3


def test_unknown_columns_and_keys(tmp_path: Path) -> None:
    text = (
        (HEADER + "# future: thing\n" + COLUMNS + ROWS).replace("\n", ",9\n").replace("duration_ns,", "duration_ns,", 1)
    )
    lines = [line.removesuffix(",9") if line.startswith("#") else line for line in text.splitlines()]
    lines = [line.removesuffix(",9") + ",zeta" if line.startswith("call,") else line for line in lines]
    table = parsed(tmp_path, "\n".join(lines) + "\n")
    assert "unknown columns ignored: zeta" in table.notes
    assert table.meta["header"]["future"] == "thing"


def test_no_counters(tmp_path: Path) -> None:
    text = (
        "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: perf_event_paranoid is 3\n"
        "call,n_past,n_eval,op,start_ns,duration_ns\n0,0,4,,5,1000\n"
    )
    table = parsed(tmp_path, text)
    assert table.notes == ["no counters: perf_event_paranoid is 3"]
    (phase,) = cut(table)
    assert (phase.label, phase.n_tokens, phase.duration_s, phase.counts) == ("prefill", 4, 1e-6, {})


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("1,decode,512,1,,,,1900500000", "1,decode,x,1,,,,1900500000", 13, "n_past should be a number, found 'x'"),
        ("1,decode,512,1,,,,1900500000", "1,decode,1.5,1,,,,1900500000", 13, "n_past should be a number"),
        ("1,decode,512,1,,,,1900500000", "1,decode,512,1,,,,", 13, "start_ns should be a number, found ''"),
        ("1,decode,512,1,,,,1900500000", "1,decode,512,1,,,,1900500000,7", 13, "15 fields, expected 14"),
        ("1,decode,512,1,,,,1900500000", "0,decode,512,1,,,,1900500000", 13, "call goes from 0 to 0"),
        ("1,decode,512,1,,,,1900500000", "1,decode,512,1,,,,900500000", 13, "start_ns goes from 1000000000"),
        ("1,decode,512,1,,,,1900500000", '1,"dec,512,1,,,,1900500000', 13, "not comma-separated"),
        ("call,phase,n_past", "call,phase,n_pest", 9, "column(s) missing: n_past"),
        ("call,phase,n_past", "call,call,n_past", 9, "column 'call' stands twice"),
        ("# emulated: no", "# format_version: 1", 3, "header key 'format_version' stands twice"),
        ("76000000", "lots", None, "header key bytes_per_token should be a number, found 'lots'"),
        ("STALL_BACKEND@g0,", "r24@g0,", None, ""),
        ("CPU_CYCLES@g0,STALL_BACKEND@g0", "cycles@g0,CPU_CYCLES@g0", None, "both are CPU_CYCLES@g0"),
    ],
)
def test_malformed_captures(tmp_path: Path, old: str, new: str, line: int | None, reason: str) -> None:
    path = written(tmp_path, (HEADER + COLUMNS + ROWS).replace(old, new, 1))
    if not reason:  # a raw code names the same event
        assert read(path).events == ["CPU_CYCLES", "STALL_BACKEND", "task-clock"]
        return
    with pytest.raises(AnalysisError) as caught:
        read(path)
    assert caught.value.row == line
    assert reason in caught.value.reason


def test_rotated_groups_are_scaled_by_time_and_said(tmp_path: Path) -> None:
    columns = (
        "call,phase,n_past,n_eval,op,start_ns,duration_ns,"
        "CPU_CYCLES@a,STALL_BACKEND@a,CPU_CYCLES@b,L3D_CACHE_REFILL@b\n"
    )
    rows = "0,x,0,1,,0,1000,100,50,,\n1,x,1,1,,1000,3000,,,300,30\n2,x,2,1,,4000,1000,110,55,,\n"
    (phase,) = cut(parsed(tmp_path, HEADER + columns + rows))
    assert phase.groups["a"]["STALL_BACKEND"].value == pytest.approx(105 * 5 / 2)
    assert phase.groups["a"]["STALL_BACKEND"].measured == 105
    assert phase.groups["b"]["L3D_CACHE_REFILL"].value == pytest.approx(30 * 5 / 3)
    assert phase.counts["CPU_CYCLES"].group == "b"  # counted for the larger share of the time
    together = phase.together("CPU_CYCLES", "STALL_BACKEND")
    assert together is not None
    assert {c.group for c in together.values()} == {"a"}
    assert together["STALL_BACKEND"].value / together["CPU_CYCLES"].value == pytest.approx(0.5)
    assert phase.together("CPU_CYCLES", "INST_RETIRED") is None
    assert phase.notes == [
        "counted in some of the 3 calls and scaled to all by time: CPU_CYCLES, L3D_CACHE_REFILL, STALL_BACKEND"
    ]


def test_big_little_groups_are_apart(tmp_path: Path) -> None:
    header = (
        "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: available\n"
        "# group.big: pmu=armv8_cortex_a76 events=CPU_CYCLES\n# group.little: pmu=armv8_cortex_a55 events=CPU_CYCLES\n"
        "# group.sw: pmu=software events=task-clock\n"
    )
    rows = (
        "call,n_past,n_eval,op,start_ns,duration_ns,CPU_CYCLES@big,CPU_CYCLES@little,task-clock@sw\n0,0,4,,0,10,7,9,5\n"
    )
    phases = cut(parsed(tmp_path, header + rows))
    found = [(p.pmu, p.counts["CPU_CYCLES"].value, p.counts["task-clock"].value) for p in phases]
    assert found == [("armv8_cortex_a76", 7.0, 5.0), ("armv8_cortex_a55", 9.0, 5.0)]
    assert all("counted apart, never added" in p.notes[-1] for p in phases)


def test_columns_of_numbers_are_read_at_once_or_with_care(tmp_path: Path) -> None:
    """A column of digits alone, one with empty cells, one with a number of another spelling, one of too many digits."""
    columns = "call,n_past,n_eval,op,start_ns,duration_ns,layer,cpu,weight_bytes,page_faults\n"
    rows = (f"{n},{n:04},1,,{n}0,9,,{n if n % 2 else ''},{n}e1,{n:020}\n" for n in range(9000))
    found = parsed(tmp_path, HEADER + columns + "".join(rows)).calls.rows
    assert found["n_past"].tolist() == list(range(9000)) and found["n_past"].dtype == np.int64
    assert found["layer"].isna().all() and found["weight_bytes"].tolist() == [10.0 * n for n in range(9000)]
    assert found["cpu"].isna().sum() == 4500 and found["cpu"].sum() == sum(range(1, 9000, 2))
    assert found["page_faults"].tolist() == list(range(9000))
