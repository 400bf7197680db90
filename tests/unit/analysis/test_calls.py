"""Calls and their operations: told apart, counted, scaled, and the bytes of weights of new and of old captures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from capture_tables import parsed

from analysis import operations
from analysis.calls import Calls, EventColumn, event_column, n_weights, scaled_counts
from analysis.phase import StepFacts

HEADER = "# q4engine capture\n# format_version: 1\n# emulated: no\n# counters: available\n"
COLUMNS = "call,n_past,n_eval,op,layer,tensor,type,shape,weight_bytes,thread,start_ns,duration_ns,migrations,freq_hz\n"
# A token on two threads: an embedding that reads a row, a product, a norm, waiting; then a call without operations.
ROWS = """\
0,0,1,,,,,,,,0,1000,0,2e9
0,0,1,embed,,token_embd.weight,Q5_0,1000x64,44,0,0,100,,
0,0,1,gemv,0,blk.0.ffn_down.weight,Q5_0,64x128,5632,0,100,500,,
0,0,1,gemv,0,blk.0.ffn_down.weight,Q5_0,64x128,5632,1,100,300,,
0,0,1,barrier,0,,,,,1,400,200,,
0,0,1,rms_norm,1,blk.1.attn_norm.weight,F32,1x64,256,0,600,400,,
1,1,1,,,,,,,,1000,800,2,
"""
OLD = COLUMNS.replace("weight_bytes,", "")


def _without_bytes(text: str) -> str:
    return "".join(",".join(c for i, c in enumerate(line.split(",")) if i != 8) + "\n" for line in text.splitlines())


def _read(folder: Path, text: str) -> Calls:
    calls = parsed(folder, HEADER + text).calls
    assert calls is not None
    return calls


def test_rows_by_kind(tmp_path: Path) -> None:
    calls = _read(tmp_path, COLUMNS + ROWS)
    assert list(calls.whole["call"]) == [0, 1]
    assert list(calls.parts["op"]) == ["embed", "gemv", "gemv", "barrier", "rms_norm"]
    assert calls.parts_of([1]).empty and len(calls.parts_of([0, 1])) == len(calls.parts_of(None)) == 5
    assert calls.n_threads == 2
    assert calls.facts[0] == StepFacts(2e9, 0.0)
    assert math.isnan(calls.facts[1].frequency)
    assert calls.facts[1].migrations == 2.0


def test_waiting_is_that_of_threads_that_walked_the_call(tmp_path: Path) -> None:
    alone = "1,1,1,barrier,0,,,,,0,1000,300,,\n"
    calls = _read(tmp_path, COLUMNS + ROWS + alone)
    assert calls.barrier_by_thread([0]) == {0: 0.0, 1: pytest.approx(200e-9)}
    assert calls.barrier_by_thread([1]) == {0: pytest.approx(300e-9)}


def test_a_capture_that_says_nothing_beside_its_calls(tmp_path: Path) -> None:
    calls = _read(tmp_path, "call,n_past,n_eval,op,start_ns,duration_ns\n0,0,4,,5,1000\n")
    assert (calls.facts, calls.n_threads, calls.events, len(calls.parts)) == ({}, 0, [], 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CPU_CYCLES@g0", EventColumn("CPU_CYCLES@g0", "CPU_CYCLES", "g0")),
        ("a@b@g1", EventColumn("a@b@g1", "a@b", "g1")),
        ("time_enabled_ns@g0", None),
        ("time_running_ns@g0", None),
        ("duration_ns", None),
    ],
)
def test_event_columns(name: str, expected: EventColumn | None) -> None:
    assert event_column(name) == expected


@pytest.mark.parametrize(
    ("shape", "weights"), [("576x1536", 884736.0), (" 2 x 3 ", 6.0), ("", 0.0), ("4", 0.0), (None, 0)]
)
def test_weights_of_a_shape(shape: object, weights: float) -> None:
    assert n_weights(shape) == weights


def test_counts_are_scaled_to_the_time_they_were_asked_for() -> None:
    rows = pd.DataFrame(
        {
            "E@g": [100.0, 100.0, np.nan, 100.0],
            "time_enabled_ns@g": [10, 10, 10, 0],
            "time_running_ns@g": [10, 5, 0, 0],
        }
    )
    count, running = scaled_counts(rows, "E@g", "g")
    assert count[:2].tolist() == [100.0, 200.0] and np.isnan(count[2:]).all()
    assert running.tolist()[:3] == [1.0, 0.5, 0.0]
    count, running = scaled_counts(rows[["E@g"]], "E@g", "g")
    assert running.tolist() == [1.0, 1.0, 0.0, 1.0] and count[1] == 100.0


def test_bytes_come_from_the_capture(tmp_path: Path) -> None:
    """Also of a type that this program has never heard of."""
    table = parsed(tmp_path, HEADER + COLUMNS + ROWS)
    found = {part.name: part for part in operations.of_calls(table)}
    assert {name: part.weight_bytes for name, part in found.items()} == {
        "embed": 44.0,
        "gemv": 5632.0,
        "barrier": 0.0,
        "rms_norm": 256.0,
    }
    assert found["gemv"].bytes_read == (5632.0, "weights")
    assert math.isnan(found["barrier"].bytes_read[0])


def test_an_unknown_type_of_an_old_capture_is_no_zero(tmp_path: Path) -> None:
    old = OLD + _without_bytes(ROWS)
    (unknown,) = [part for part in operations.of_calls(parsed(tmp_path, HEADER + old)) if part.name == "gemv"]
    assert math.isnan(unknown.weight_bytes) and unknown.bytes_read[1] == "" and math.isnan(unknown.bytes_read[0])
    table = parsed(tmp_path, HEADER + old.replace("Q5_0", "Q4_0"))
    known = {part.name: part.weight_bytes for part in operations.of_calls(table)}
    assert (known["gemv"], known["rms_norm"], known["barrier"]) == (64 * 128 * 4.5 / 8, 256.0, 0.0)
