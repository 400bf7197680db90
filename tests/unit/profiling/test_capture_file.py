"""Captures: what their rows add up to, and that a file is well-formed whatever happens to the run."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import bits
import numpy as np
import pytest
from capture_runs import calls_of, observed_run, read_capture

import q4engine.profiling.observer
from analysis.readers import read as read_table
from q4engine.engine import Call, Engine
from q4engine.errors import Q4Error
from q4engine.gguf import TensorType
from q4engine.profiling.capture_file import Capture
from q4engine.profiling.counters import Counters, Group
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.recording import (
    Facts,
    Level,
    Operation,
    Record,
    kv_bytes_per_position,
    operations,
    weight_bytes_per_token,
)

CALLS = [(0, 12), (12, 3), (15, 1), (16, 1), (17, 1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


def test_one_row_a_call(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    session, _ = observed_run(model, Observation(capture=path, events="none"))
    header, rows = read_capture(path)
    assert calls_of(rows) == CALLS
    assert [row["phase"] for row in rows] == ["prefill"] * 2 + ["decode"] * 3
    assert [row["call"] for row in rows] == list("01234")
    assert header["format_version"] == "1" and header["emulated"] == "no" and header["counters"] == "not asked for"
    assert header["n_threads"] == "1" and header["model_file"] == model.name
    assert 0 <= float(header["observer_cost_percent"]) < 100
    starts, ends = [int(row["start_ns"]) for row in rows], [int(r["start_ns"]) + int(r["duration_ns"]) for r in rows]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert session.observers == []


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_of_a_thread_fill_the_call_without_a_gap(model: Path, tmp_path: Path, n_threads: int) -> None:
    path = tmp_path / "c.csv"
    session, _ = observed_run(model, Observation(capture=path, per_op=True, events="none"), n_threads=n_threads)
    _, rows = read_capture(path)
    calls = {row["call"]: row for row in rows if not row["op"]}
    threads = defaultdict(list)
    for row in rows:
        if row["op"]:
            threads[row["call"], row["thread"]].append(row)
    assert len(threads) == len(CALLS) * n_threads
    n_ops = len(session.engine.graph.ops)
    for (call, _), parts in threads.items():
        assert int(parts[0]["start_ns"]) == int(calls[call]["start_ns"])
        for before, after in pairwise(parts):
            assert int(before["start_ns"]) + int(before["duration_ns"]) == int(after["start_ns"])
        assert sum(int(part["duration_ns"]) for part in parts) == int(calls[call]["duration_ns"])
        assert [part["op"] for part in (parts[0], parts[-1])] == ["begin", "end"]
        assert sum(part["op"] not in ("begin", "end", "barrier") for part in parts) == n_ops
        if n_threads == 1:
            assert not any(part["op"] == "barrier" for part in parts)


def test_operations_say_what_ran(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    session, _ = observed_run(model, Observation(capture=path, per_op=True, events="none"))
    _, rows = read_capture(path)
    products = [row for row in rows if row["op"] in ("gemm", "gemv")]
    last = str(session.engine.config.n_layers - 1)
    for row in products:
        # the last layer serves a prompt's last token alone, behind keys and values
        single = (
            row["phase"] == "decode" or not row["layer"] or (row["layer"] == last and "attn_q" not in row["tensor"])
        )
        assert row["op"] == ("gemm" if int(row["n_eval"]) > session.engine.native.few_tokens() else "gemv")
        assert row["n_eval"] == ("1" if single else {"0": "12", "1": "3"}[row["call"]])
        assert row["op"] in row["kernel"] and row["type"] == "Q4_0"
    shapes = {row["tensor"]: row["shape"] for row in products}
    for choice in session.engine.kernels:
        assert shapes[choice.tensor] == f"{choice.rows}x{choice.columns}"
    names = {row["op"] for row in rows if row["op"]}
    many = {"gemm"} if session.engine.native.few_tokens() < 12 else set()
    assert names == many | {
        "begin", "embedding", "rms_norm", "quantize_activations", "gemv", "rope", "kv_store", "attention", "swiglu",
        "end",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["llama-mixed", "llama-q6k-tied", "qwen2-q41"])
def test_weight_bytes_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    """Of a matrix the product of its shape and its type's bits, on every thread; all of a call what a token reads."""
    path = tmp_path / "c.csv"
    session = Engine.load(bits.write_model(name, tmp_path), n_threads=2).session(n_ctx=64)
    with observe(session, Observation(capture=path, per_op=True, events="none")):
        session.decode([1, 2, 3])
        session.decode([4])
    _, rows = read_capture(path)
    tensors = session.engine.gguf.tensors
    for row in rows:
        reads = row["op"] in ("gemm", "gemv", "rms_norm", "embedding")
        assert bool(row["weight_bytes"]) == reads
        if row["op"] in ("gemm", "gemv"):
            n_rows, columns = map(int, row["shape"].split("x"))
            kind = TensorType[row["type"]]
            assert int(row["weight_bytes"]) * kind.block_size == n_rows * columns * kind.block_bytes
    embedding = tensors["token_embd.weight"]
    looked_up = {row["call"]: int(row["weight_bytes"]) for row in rows if row["op"] == "embedding"}
    assert looked_up == {"0": 3 * embedding.n_bytes // embedding.shape[0], "1": embedding.n_bytes // embedding.shape[0]}
    biases = sum(tensor.n_bytes for key, tensor in tensors.items() if key.endswith(".bias"))
    for thread in ("0", "1"):
        read = sum(int(row["weight_bytes"] or 0) for row in rows if row["call"] == "1" and row["thread"] == thread)
        assert read + biases == weight_bytes_per_token(Engine.load(session.engine.gguf.path, backend="numpy"))


def test_a_call_has_the_phase_that_its_caller_gave(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with observe(session, Observation(capture=tmp_path / "c.csv", events="none")):
        session.decode([1, 2, 3])
        session.decode([4, 5], phase="verify")
        session.decode([6])
    _, rows = read_capture(tmp_path / "c.csv")
    assert [row["phase"] for row in rows] == ["prefill", "verify", "decode"]


def test_all_logits_makes_every_product_of_a_prompt_a_gemm(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with observe(session, Observation(capture=tmp_path / "c.csv", per_op=True, events="none")):
        session.decode(list(range(session.engine.native.few_tokens() + 1)), all_logits=True)
    _, rows = read_capture(tmp_path / "c.csv")
    assert "gemv" not in {row["op"] for row in rows}


def test_bytes_of_a_token_are_those_of_the_file(model: Path) -> None:
    engine = Engine.load(model, n_threads=1)
    file = engine.gguf
    read = [tensor for name, tensor in file.tensors.items() if name not in ("token_embd.weight", "rope_freqs.weight")]
    embedding = file.tensors["token_embd.weight"]
    expected = sum(tensor.n_bytes for tensor in read) + embedding.n_bytes // embedding.shape[0]
    assert weight_bytes_per_token(Engine.load(model, backend="numpy")) == expected
    assert expected <= weight_bytes_per_token(engine) < 1.2 * expected  # packed panels are padded
    config = engine.config
    assert kv_bytes_per_position(engine) == config.n_layers * config.n_kv_heads * config.head_dim * 4


def test_numpy_has_calls_and_no_operations(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, backend="numpy").session(n_ctx=64, n_batch=12)
    with observe(session, Observation(capture=tmp_path / "c.csv")):
        session.decode([1, 2, 3])
    header, rows = read_capture(tmp_path / "c.csv")
    assert calls_of(rows) == [(0, 3)] and int(rows[0]["duration_ns"]) > 0
    assert header["counters"] == "the NumPy backend has none"
    with (
        pytest.raises(Q4Error, match="native backend"),
        observe(session, Observation(capture=tmp_path / "d.csv", per_op=True)),
    ):
        pass
    assert session.observers == []


def test_analysis_reads_what_was_written(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    what = Observation(capture=path, per_op=True, events="task-clock,page-faults,context-switches")
    observed_run(model, what, n_threads=2)
    table = read_table(path)
    assert table.calls is not None
    assert len(table.calls.whole) == len(CALLS)
    assert not [note for note in table.notes if "ignored" in note]
    state = read_capture(path)[0]["counters"]
    if state != "available":
        pytest.skip(f"no software events here: {state}")
    assert {"task-clock", "page-faults"} <= set(table.frame["event"])


def test_software_counts_of_operations_stay_within_the_calls(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    _, notes = observed_run(model, Observation(capture=path, per_op=True, events="task-clock"), n_threads=2)
    header, rows = read_capture(path)
    if header["counters"] != "available":
        pytest.skip(f"no software events here: {header['counters']}")
    assert not [note for note in notes if "no counters" in note]
    for number in range(len(CALLS)):
        parts = [row for row in rows if row["call"] == str(number) and row["op"] not in ("", "begin", "end")]
        (call,) = [row for row in rows if row["call"] == str(number) and not row["op"]]
        total = int(call["task-clock@sw"])
        assert 0 < sum(int(part["task-clock@sw"] or 0) for part in parts) <= total
        # the clock of two threads runs at most twice as fast as the wall's
        assert total <= 2 * int(call["duration_ns"])
        assert int(call["time_running_ns@sw"]) == int(call["time_enabled_ns@sw"]) > 0


def test_a_run_that_is_cut_off_leaves_a_good_file(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(q4engine.profiling.observer, "_OFTEN_NS", 1)  # hand over after each call
    path = tmp_path / "c.csv"
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with observe(session, Observation(capture=path, events="none")):
        session.decode([1, 2])
        session.decode([3])
        header, rows = read_capture(path)  # as a kill would leave it
        assert header["state"] == "unfinished" and calls_of(rows) == [(0, 2), (2, 1)]
        assert read_table(path).calls is not None
    header, rows = read_capture(path)
    assert "state" not in header and "observer_cost_percent" in header and len(rows) == 2


def test_an_exception_completes_the_files(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    what = Observation(capture=tmp_path / "c.csv", per_op=True, trace=tmp_path / "t.json", events="none")
    with pytest.raises(KeyboardInterrupt), observe(session, what):
        session.decode([1, 2])
        raise KeyboardInterrupt
    assert calls_of(read_capture(tmp_path / "c.csv")[1]) == [(0, 2)]
    assert (tmp_path / "t.json").exists()
    session.decode([1])  # and the session goes on unrecorded
    with pytest.raises(ValueError, match="not recorded"):
        session.recorder.recorded()  # type: ignore[union-attr]


def test_a_place_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    for what in (
        Observation(capture=tmp_path / "absent" / "c.csv"),
        Observation(trace=tmp_path / "absent" / "t.json"),
        Observation(markers=tmp_path / "absent" / "m.csv"),
    ):
        with pytest.raises(Q4Error, match=r"absent.*cannot be written: No such file"), observe(session, what):
            pass
    assert session.observers == []


def test_a_full_disk_is_one_error(model: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    full = pytest.raises(Q4Error, match=r"/dev/full: the capture cannot be written: No space left on device$")
    with full, observe(session, Observation(capture=Path("/dev/full"))):
        session.decode([1, 2, 3])


def synthetic_record(number: int, counted: tuple[int, ...], readings: list[list[int]], tid: int = 7) -> Record:
    """A call of one thread that was read twice."""
    return Record(
        number,
        Call(number, 1, "decode"),
        1000 * number,
        1000 * number + 500,
        counted,
        np.array([1000 * number + 10, 1000 * number + 490], np.uint64).tobytes(),
        np.array(Facts(tid, 1, 1, 2, 3), np.int64).tobytes(),
        np.array(readings, np.int64).tobytes(),
    )


def test_groups_that_did_not_count_have_empty_cells(tmp_path: Path) -> None:
    numbers = ((4, 0x11, True), (4, 0x24, True))
    groups = [
        Group("g0", "pmu", ("CPU_CYCLES", "STALL_BACKEND"), (*numbers, (1, 4, False)), counts_migrations=True),
        Group("g1", "pmu", ("CPU_CYCLES", "INST_SPEC"), numbers),
    ]
    counters = Counters(groups, [(0,), (1,)], owner=7)
    capture = Capture(tmp_path / "c.csv", {}, [], counters, per_op=False)
    capture.write(synthetic_record(0, (0,), [[3, 100, 100, 10, 20, 0], [3, 400, 400, 610, 320, 1]]))
    capture.write(synthetic_record(1, (1,), [[2, 0, 0, 0, 0], [2, 400, 200, 700, 50]]))
    capture.write(synthetic_record(2, (1,), [[2, 400, 200, 700, 50], [2, 800, 200, 700, 50]]))  # never scheduled
    capture.write(synthetic_record(3, (1,), [[0] * 5, [2, 800, 200, 700, 50]]))  # a reading that failed
    capture.write(replace(synthetic_record(4, (1,), [[2, 0, 0, 0, 0], [2, 9, 9, 9, 9]], tid=8)))  # another thread's
    capture.close(0.5)
    header, rows = read_capture(tmp_path / "c.csv")
    assert header["group.g0"] == "pmu=pmu events=CPU_CYCLES,STALL_BACKEND"
    cells = [list(row.values())[-8:] for row in rows]
    assert cells[0] == ["300", "300", "600", "300", "", "", "", ""]
    assert cells[1] == ["", "", "", "", "400", "200", "700", "50"]
    assert cells[2] == cells[3] == cells[4] == [""] * 8
    assert [row["migrations"] for row in rows] == ["1", "", "", "", ""]
    assert [row["freq_hz"] for row in rows] == ["2000000000", "3500000000", "", "", ""]
    assert rows[0]["page_faults"] == "2" and rows[0]["context_switches"] == "3"
    read_table(tmp_path / "c.csv")


def test_names_from_a_hostile_file_stay_in_their_cell(tmp_path: Path) -> None:
    operation = Operation("matmul", 0, 'a,"b"\n# c: d', "Q4_0", "1x2", "gemv", "gemm")
    capture = Capture(tmp_path / "c.csv", {"model": "x\n0,1,2"}, [operation], Counters(owner=7), per_op=True)
    record = synthetic_record(0, (), [])
    stamps = np.array([10, 20, 20], np.uint64).tobytes()
    capture.write(replace(record, stamps=stamps, start_ns=5, end_ns=30))
    capture.close(None)
    header, rows = read_capture(tmp_path / "c.csv")
    assert header["model"] == "x 0,1,2" and header["state"] == "complete"
    assert [row["op"] for row in rows] == ["", "begin", "gemv", "end"]
    assert rows[2]["tensor"] == 'a,"b" # c: d' and rows[2]["duration_ns"] == "10"


def test_a_capture_goes_into_a_pipe(model: Path, tmp_path: Path) -> None:
    import os
    import threading

    os.mkfifo(tmp_path / "pipe")
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append((tmp_path / "pipe").read_text()))
    reader.start()
    observed_run(model, Observation(capture=tmp_path / "pipe", events="none"))
    reader.join()
    assert len(list(csv.reader(heard[0].splitlines()))) > len(CALLS)


def test_nothing_is_recorded_where_nothing_asks_for_it(model: Path) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with observe(session, Observation()) as observer:
        session.decode([1])
        assert observer.level == Level.OFF
        with pytest.raises(ValueError, match="not recorded"):
            session.recorder.recorded()  # type: ignore[union-attr]


def test_a_mark_of_a_thread_that_had_nothing_to_do_is_the_one_before(model: Path) -> None:
    engine = Engine.load(model, n_threads=2)
    session = engine.session(n_ctx=64)
    recorder = session.recorder
    assert recorder is not None
    recorder.record(int(Level.OPERATIONS), [])
    session.decode([1, 2])
    (call,) = recorder.recorded()
    start_ns, end_ns, stamps = call["start_ns"], call["end_ns"], call["stamps"]
    marks = np.frombuffer(stamps, np.uint64).reshape(2, -1).astype(np.int64)
    assert (np.diff(marks) >= 0).all() and marks.min() >= start_ns and marks.max() <= end_ns
    head = len(engine.graph.ops) - 1
    alone = [i for i, op in enumerate(engine.graph.ops) if op.kind == "quantize" and i + 1 == head]
    for i in alone:  # one token's quantisation before the head is the first thread's
        assert marks[1, 2 * i + 1] == marks[1, 2 * i] and marks[0, 2 * i + 1] > marks[0, 2 * i]
    assert alone


def test_operations_are_those_of_the_plan(model: Path) -> None:
    engine = Engine.load(model, n_threads=1)
    plan = operations(engine)
    assert [operation.kind for operation in plan] == [op.kind for op in engine.graph.ops]
    assert {operation.layer for operation in plan} == {None, *range(engine.config.n_layers)}


@pytest.mark.parametrize("cost", [None, 0.4])
@pytest.mark.parametrize("n_phases", [0, 4, 20])
def test_what_is_known_at_the_end_fits_its_room(cost: float | None, n_phases: int, tmp_path: Path) -> None:
    capture = Capture(tmp_path / "c.csv", {}, [], Counters(owner=7), per_op=False)
    capture.write(synthetic_record(0, (), []))
    assert read_capture(tmp_path / "c.csv")[0]["state"] == "unfinished"
    before = (tmp_path / "c.csv").stat().st_size
    taken = {"steal_percent": 12.5, "run_delay_percent": 100.0, "others_percent_of_cpu": 25600.0}
    of_phases = {f"run_delay_percent.phase{n}": 5.0 for n in range(n_phases)}
    capture.close(cost, taken | of_phases)
    header, rows = read_capture(tmp_path / "c.csv")
    assert (tmp_path / "c.csv").stat().st_size == before and len(rows) == 1
    assert header.items() >= {key: f"{value:.3f}" for key, value in taken.items()}.items()
    assert header.get("observer_cost_percent") == ("0.400" if cost == 0.4 else None)
    kept = len(header.keys() & of_phases.keys())
    assert kept == n_phases if n_phases < 20 else 4 < kept < 20
    read_table(tmp_path / "c.csv")
