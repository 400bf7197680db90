"""Trace files, held against the rules of Chrome's JSON trace format, and the way they come into being."""

import gc
import gzip
import json
import os
import re
import threading
from decimal import Decimal

import pytest

from annotate import TraceWriter

# What each phase must carry, by the format's description: key to accepted types.
NUMBER = (int, Decimal)
COMMON = {"ph": str, "name": str, "pid": int}
REQUIRED = {
    "X": {**COMMON, "tid": int, "ts": NUMBER, "dur": NUMBER},
    "C": {**COMMON, "ts": NUMBER, "args": dict},
    "i": {**COMMON, "tid": int, "ts": NUMBER, "s": str},
    "M": {**COMMON, "args": dict},
}
METADATA_ARGS = {"process_name": {"name"}, "thread_name": {"name"}, "thread_sort_index": {"sort_index"}}


def check_trace(text):
    """Events of a trace that keeps the rules; AssertionError for one that does not."""
    trace = json.loads(text, parse_float=Decimal, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert trace["displayTimeUnit"] in ("ms", "ns")
    events = trace["traceEvents"]
    for event in events:
        for key, kind in REQUIRED[event["ph"]].items():
            assert isinstance(event.get(key), kind), f"{key} in {event}"
        if event["ph"] == "X":
            assert event["dur"] >= 0
        if event["ph"] == "C":
            assert event["args"] and all(isinstance(value, NUMBER) for value in event["args"].values())
        if event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
        if event["ph"] == "M":
            assert set(event["args"]) == METADATA_ARGS[event["name"]]
    for track in {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"}:
        check_nesting([event for event in events if event["ph"] == "X" and (event["pid"], event["tid"]) == track])
    return events


def check_nesting(slices):
    """Slices of one thread lie within each other or apart."""
    ends = []
    for event in sorted(slices, key=lambda event: (event["ts"], -event["dur"])):
        end = event["ts"] + event["dur"]
        while ends and ends[-1] <= event["ts"]:
            ends.pop()
        assert not ends or end <= ends[-1], f"{event} overlaps a slice that it does not lie in"
        ends.append(end)


def test_a_trace_with_every_kind_of_event(tmp_path):
    path = tmp_path / "run.json"
    with TraceWriter(path, pid=7, metadata={"model": "synthetic", "threads": 2}) as trace:
        trace.process_name("engine")
        trace.thread_name(1, "main", sort_index=0)
        trace.thread_name(2, 'worker "2"\n模型')
        trace.slice("decode", 5_000_000_001, 2_000, 1, category="call", args={"n_past": 0, "n_eval": 1})
        trace.slice("gemv", 5_000_000_101, 900, 1)
        trace.slice("gemv", 5_000_001_001, 1_000, 1)
        trace.slice("gemv", 5_000_000_101, 0, 2)
        trace.counter("tokens/s", 5_000_000_001, 12.5)
        trace.counter("memory", 5_000_000_001, {"weights": 1 << 40, "KV": 0})
        trace.instant("past 0, n_eval 1", 999, 1, scope="process")
        trace.instant("note", -1, 1, args={"why": None})
    events = check_trace(path.read_text(encoding="utf-8"))
    assert len(events) == 12
    assert json.loads(path.read_text(encoding="utf-8"))["otherData"] == {"model": "synthetic", "threads": 2}
    decode, first = [event for event in events if event["ph"] == "X"][:2]
    assert decode == {
        "ph": "X",
        "name": "decode",
        "pid": 7,
        "tid": 1,
        "cat": "call",
        "args": {"n_past": 0, "n_eval": 1},
        "ts": Decimal("5000000.001"),
        "dur": Decimal("2.000"),
    }
    assert (first["ts"], first["dur"]) == (Decimal("5000000.101"), Decimal("0.900"))
    assert [event["args"] for event in events if event["ph"] == "C"] == [
        {"value": Decimal("12.5")},
        {"weights": 1 << 40, "KV": 0},
    ]
    assert [(event["ts"], event["s"]) for event in events if event["ph"] == "i"] == [
        (Decimal("0.999"), "p"),
        (Decimal("-0.001"), "t"),
    ]
    assert events[3]["args"]["name"] == 'worker "2"\n模型'


def test_an_empty_trace_is_a_trace(tmp_path):
    with TraceWriter(tmp_path / "empty.json"):
        pass
    assert check_trace((tmp_path / "empty.json").read_text()) == []


def test_no_nanosecond_is_lost_after_years_of_uptime(tmp_path):
    start = (1 << 60) + 1
    with TraceWriter(tmp_path / "t.json") as trace:
        trace.slice("late", start, 1, 1)
    (event,) = check_trace((tmp_path / "t.json").read_text())
    assert event["ts"] * 1000 == start
    assert event["dur"] * 1000 == 1


def test_the_check_itself_finds_overlaps():
    with pytest.raises(AssertionError, match="overlaps"):
        check_nesting([{"ts": 0, "dur": 10}, {"ts": 5, "dur": 10}])


def test_the_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "t.json"
    path.write_text("from before")
    trace = TraceWriter(path)
    trace.instant("one", 1, 1)
    assert path.read_text() == "from before"
    assert len(list(tmp_path.iterdir())) == 2
    trace.close()
    trace.close()
    trace.abort()
    assert list(tmp_path.iterdir()) == [path]
    check_trace(path.read_text())

    with pytest.raises(KeyError), TraceWriter(path) as trace:
        trace.instant("two", 2, 2)
        raise KeyError
    assert list(tmp_path.iterdir()) == [path]
    assert "one" in path.read_text()


def test_a_link_is_followed_and_a_pipe_is_written(tmp_path):
    (tmp_path / "link.json").symlink_to("real.json")
    with TraceWriter(tmp_path / "link.json"):
        pass
    assert (tmp_path / "link.json").is_symlink()
    check_trace((tmp_path / "real.json").read_text())

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    with TraceWriter(pipe) as trace:
        trace.instant("through", 1, 1)
    reader.join()
    assert [event["name"] for event in check_trace(heard[0])] == ["through"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("place", [".", "absent/t.json"])
def test_what_cannot_be_written_is_an_os_error(tmp_path, place):
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        TraceWriter(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_half_done(tmp_path):
    trace = TraceWriter("/dev/full")
    trace.instant("lost", 1, 1)
    with pytest.raises(OSError, match="No space left"):
        trace.close()


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    path = tmp_path / "t.json"
    with TraceWriter(path) as trace:
        with pytest.raises(ValueError, match="not JSON compliant"):
            trace.counter("c", 1, float("nan"))
        with pytest.raises(ValueError, match="'s': duration -1 ns"):
            trace.slice("s", 1, -1, 1)
        trace.instant("still fine", 1, 1)
    assert [event["name"] for event in check_trace(path.read_text())] == ["still fine"]


def test_a_packed_trace_is_the_same(tmp_path):
    for name in ("run.json", "run.json.gz"):
        with TraceWriter(tmp_path / name, pid=7) as trace:
            for i in range(3000):
                trace.slice("gemv", 1000 * i, 900, tid=1)
    packed = (tmp_path / "run.json.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "run.json").read_bytes()
    assert len(packed) < len((tmp_path / "run.json").read_bytes()) / 5
    check_trace(gzip.decompress(packed).decode())


def test_a_packed_trace_is_whole_or_not_there(tmp_path):
    path = tmp_path / "run.json.gz"
    path.write_bytes(b"from before")
    with pytest.raises(ZeroDivisionError), TraceWriter(path) as trace:
        trace.slice("gemv", 0, 1, tid=1)
        raise ZeroDivisionError
    del trace
    gc.collect()
    assert [file.name for file in tmp_path.iterdir()] == ["run.json.gz"] and path.read_bytes() == b"from before"
