"""Traces: valid by the format's rules, and the same story as the capture."""

from __future__ import annotations

import json
from pathlib import Path

import bits
import pytest
from capture_runs import observed_run, read_capture
from trace_rules import checked_events

from q4engine.engine import Engine
from q4engine.profiling.observer import Observation, observe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_slices_are_the_rows_of_the_capture(model: Path, tmp_path: Path, n_threads: int) -> None:
    what = Observation(capture=tmp_path / "c.csv", per_op=True, events="none", trace=tmp_path / "t.json")
    observed_run(model, what, n_threads=n_threads)
    events = checked_events(tmp_path / "t.json")
    _, rows = read_capture(tmp_path / "c.csv")
    slices = [event for event in events if event["ph"] == "X"]
    calls = [event for event in slices if event["cat"] == "call"]
    expected_calls = [row for row in rows if not row["op"]]
    assert [(e["name"], e["args"]["n_past"], e["args"]["n_eval"], round(e["ts"] * 1000)) for e in calls] == [
        (row["phase"], int(row["n_past"]), int(row["n_eval"]), int(row["start_ns"])) for row in expected_calls
    ]
    operations = [event for event in slices if event["cat"] == "operation"]
    assert [(e["name"], round(e["ts"] * 1000), round(e["dur"] * 1000)) for e in operations] == [
        (row["op"], int(row["start_ns"]), int(row["duration_ns"])) for row in rows if row["op"]
    ]
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {event["tid"] for event in operations} == set(threads)
    assert sorted(threads.values()) == [f"thread {i}" for i in range(n_threads)]
    gemv = next(event for event in operations if event["name"] == "gemv" and "layer" in event["args"])
    assert gemv["args"]["tensor"].startswith("blk.") and "gemv" in gemv["args"]["kernel"]


def test_markers_and_counters(model: Path, tmp_path: Path) -> None:
    session, _ = observed_run(model, Observation(trace=tmp_path / "t.json", events="none"))
    events = checked_events(tmp_path / "t.json")
    markers = [event["name"] for event in events if event["ph"] == "i"]
    assert markers == [
        "past 0, n_eval 12", "past 12, n_eval 3", "past 15, n_eval 1", "past 16, n_eval 1", "past 17, n_eval 1",
    ]  # fmt: skip
    config = session.engine.config
    position = config.n_layers * config.n_kv_heads * config.head_dim * 4
    cache = [event["args"]["value"] for event in events if event["name"] == "KV cache bytes"]
    assert cache == [tokens * position for tokens in (12, 15, 16, 17, 18)]
    assert all(e["args"]["value"] > 0 for e in events if e["name"] == "decode tokens/s")


def test_what_is_not_known_is_left_out_of_the_head(model: Path, tmp_path: Path) -> None:
    observed_run(model, Observation(trace=tmp_path / "t.json", capture=tmp_path / "c.csv", events="none"))
    head = json.loads((tmp_path / "t.json").read_text())["otherData"]
    header, _ = read_capture(tmp_path / "c.csv")
    assert set(head) <= set(header) and "model" in head and "command" not in head


def test_counts_stand_with_the_call(model: Path, tmp_path: Path) -> None:
    what = Observation(trace=tmp_path / "t.json", capture=tmp_path / "c.csv", events="task-clock")
    observed_run(model, what)
    header, rows = read_capture(tmp_path / "c.csv")
    if header["counters"] != "available":
        pytest.skip(f"no software events here: {header['counters']}")
    calls = [event for event in checked_events(tmp_path / "t.json") if event.get("cat") == "call"]
    assert [event["args"]["task-clock"] for event in calls] == [int(row["task-clock@sw"]) for row in rows]


def test_numpy_has_slices_of_calls(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, backend="numpy").session(n_ctx=64)
    with observe(session, Observation(trace=tmp_path / "t.json")):
        session.decode([1, 2])
    slices = [event for event in checked_events(tmp_path / "t.json") if event["ph"] == "X"]
    assert [event["name"] for event in slices] == ["prefill"]
