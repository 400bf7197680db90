"""The recordings of tests/data and what a person reads off them: the figures were typed from the files."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from annotate_decode import decode_capture
from capture_runs import read_capture
from capture_tables import readings
from trace_rules import checked_events

import analysis.stalls
from analysis.readers import read

DATA = Path(__file__).resolve().parents[1] / "data"
OK, NOT_SUPPORTED = "ok", "not supported"

# file -> values of task-clock, page-faults, context-switches, cpu-migrations; cycles and instructions have none
PERF_STAT = {
    "perf_stat.txt": (466.19, 5978.0, 473.0, 37.0),
    "perf_stat.csv": (460.78, 5976.0, 448.0, 42.0),
    "perf_stat.json": (491.477549, 5975.0, 294.0, 0.0),
}
CALLS = [("prefill", 0, 7), ("decode", 7, 1), ("decode", 8, 1), ("decode", 9, 1)]
DURATIONS = [10997395, 613033, 5023857, 663317]  # of capture.csv, ns
MARKER_TIMES = [4680361283974, 4680378867839, 4680392143362, 4680394849177, 4680396056107]


@pytest.mark.parametrize("name", PERF_STAT)
def test_a_run_that_perf_counted(name: str) -> None:
    events = ("task-clock", "page-faults", "context-switches", "cpu-migrations")
    counted = [("", event, value, OK, 100.0) for event, value in zip(events, PERF_STAT[name], strict=True)]
    not_counted = [("", event, None, NOT_SUPPORTED, 0.0) for event in ("CPU_CYCLES", "INST_RETIRED")]
    assert readings(read(DATA / name)) == counted + not_counted


def test_intervals_that_markers_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = read(DATA / "perf_stat_interval.csv")
    assert readings(table)[:3] == [
        ("", "task-clock", 27.4, OK, 100.0),
        ("", "page-faults", 1216.0, OK, 100.0),
        ("", "task-clock", 22.17, OK, 100.0),
    ]
    start = (DATA / "perf_stat_interval_start.txt").read_text().strip()
    assert start == "4676.302"
    options = ["--markers", str(DATA / "perf_stat_interval_markers.csv"), "--offset", start, "--json"]
    assert analysis.stalls.main([str(DATA / "perf_stat_interval.csv"), *options]) == 0
    phases = json.loads(capsys.readouterr().out)["captures"][0]["phases"]
    # 4677.347449494 - 4677.339210152, and 4677.955087042 - 4677.347449494
    assert [(phase["label"], phase["tokens"]) for phase in phases] == [("prefill", 7), ("decode", 199)]
    assert [phase["duration_s"] for phase in phases] == [pytest.approx(0.008239342), pytest.approx(0.607637548)]


def test_calls_of_a_capture(capsys: pytest.CaptureFixture[str]) -> None:
    header, rows = read_capture(DATA / "capture.csv")
    assert header["model"] == "synthetic tiny random Q4_0" and "hardware counters" in header["counters"]
    assert [(row["phase"], int(row["n_past"]), int(row["n_eval"])) for row in rows] == CALLS
    assert [int(row["duration_ns"]) for row in rows] == DURATIONS
    options = [str(DATA / "capture.csv"), "--json"]
    assert analysis.stalls.main(options) == 0
    phases = json.loads(capsys.readouterr().out)["captures"][0]["phases"]
    assert [(phase["label"], phase["tokens"]) for phase in phases] == [("prefill", 7), ("decode", 3)]
    assert [phase["verdict"]["outcome"] for phase in phases] == ["not measured"] * 2


def test_operations_markers_and_trace_of_one_run() -> None:
    _, rows = read_capture(DATA / "capture_per_op.csv")
    calls = [row for row in rows if row["op"] == ""]
    assert [(row["phase"], int(row["n_past"]), int(row["n_eval"])) for row in calls] == CALLS
    operations = Counter((row["call"], row["op"]) for row in rows if row["op"])
    assert operations["0", "gemm"] == 2 * 5 and operations["1", "gemv"] == 2 * 9  # of two threads each
    markers = read(DATA / "markers.csv").markers
    assert [(marker.n_past, marker.n_eval) for marker in markers] == [*(call[1:] for call in CALLS), (10, 0)]
    assert [round(marker.time_s * 1e9) for marker in markers] == MARKER_TIMES
    assert [int(row["start_ns"]) for row in calls] == MARKER_TIMES[:-1]
    events = checked_events(DATA / "trace.json")
    traced = [event for event in events if event["ph"] == "X" and event["cat"] == "call"]
    assert [(event["name"], event["args"]["n_past"], event["args"]["n_eval"]) for event in traced] == CALLS
    assert [round(event["ts"] * 1000) for event in traced] == MARKER_TIMES[:-1]
    named = Counter(event["name"] for event in events if event["ph"] == "X" and event["cat"] == "operation")
    assert named["gemm"] + named["gemv"] == sum(n for (_, op), n in operations.items() if op in ("gemm", "gemv"))


def test_what_a_run_said_to_a_daemon() -> None:
    (stream,) = decode_capture((DATA / "annotate_frames.apc").read_bytes()).streams
    assert stream.markers == [f"past {n_past}, n_eval {n_eval}" for _, n_past, n_eval in CALLS]
    kinds = Counter(message.kind for message in stream.messages)
    assert kinds == {"string": 438, "channel": 10, "value": 8, "marker": 4, "counter": 3, "group": 1}
    channels = [message.text for message in stream.messages if message.kind == "channel"]
    assert channels[:3] == ["embedding", "barrier", "rms_norm"] and len(set(channels)) == 10
    assert stream.rest == b""


def test_the_folder_is_small_and_its_readme_names_every_file() -> None:
    files = [path for path in DATA.iterdir() if path.is_file() and path.suffix not in (".md", ".py")]
    readme = (DATA / "README.md").read_text()
    assert sum(path.stat().st_size for path in files) <= 300 * 1024
    assert [path.name for path in files if path.name not in readme and not path.name.startswith("perf_stat.")] == []
    with (DATA / "markers.csv").open() as file:
        assert next(csv.reader(file)) == ["time_ns", "n_past", "n_eval", "phase"]
