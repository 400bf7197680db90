"""Captures for Firefox Profiler (`timeline --firefox`): every index of the processed format leads somewhere."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import synthetic_engines as engines
from analysis_commands import Run
from source_graph import REPO

from analysis import firefox, palette, timeline
from analysis.judging import load

RECORDED = REPO / "tests" / "data" / "capture_per_op.csv"
# The colours that a category may have.
COLOURS = {
    "transparent", "purple", "green", "orange", "yellow", "lightblue", "blue", "brown", "magenta", "red", "lightred",
    "darkgrey", "grey",
}  # fmt: skip


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(firefox.profile(load(path), packed=False))
    return found


def check(document: dict[str, Any]) -> None:
    """Columns are as long as their tables say, and refer to rows that there are."""
    shared = document["shared"]
    for name, table in shared.items():
        if name != "stringArray":
            assert {len(column) for key, column in table.items() if key != "length"} <= {table["length"]}, name
    stacks, funcs = shared["stackTable"], shared["funcTable"]
    assert all(0 <= frame < shared["frameTable"]["length"] for frame in stacks["frame"])
    assert all(prefix is None or prefix < at for at, prefix in enumerate(stacks["prefix"]))
    assert all(0 <= name < len(shared["stringArray"]) for name in funcs["name"])
    n_categories = len(document["meta"]["categories"])
    assert all(0 <= category < n_categories for category in shared["frameTable"]["category"])
    schemas = {schema["name"] for schema in document["meta"]["markerSchema"]}
    for thread in document["threads"]:
        samples, markers = thread["samples"], thread["markers"]
        assert {len(samples[name]) for name in ("stack", "timeDeltas", "weight")} == {samples["length"]}
        assert {len(column) for name, column in markers.items() if name != "length"} == {markers["length"]}
        assert all(stack < stacks["length"] for stack in samples["stack"])
        assert all(0 <= name < len(shared["stringArray"]) for name in markers["name"])
        assert all(0 <= category < n_categories for category in markers["category"])
        assert {one["type"] for one in markers["data"]} <= schemas
        assert all(start <= end for start, end in zip(markers["startTime"], markers["endTime"], strict=True))
        assert min(samples["timeDeltas"], default=0) >= 0


def test_a_recorded_capture() -> None:
    document = written(RECORDED)
    check(document)
    capture = load(RECORDED)
    calls = capture.table.calls
    assert calls is not None
    first, *threads = document["threads"]
    assert (first["name"], first["isMainThread"], first["markers"]["length"]) == ("calls", True, len(calls.whole))
    assert [thread["name"] for thread in threads] == ["thread 0", "thread 1"]
    for number, thread in enumerate(threads):
        rows = calls.parts[calls.parts["thread"] == number]
        assert thread["samples"]["length"] == len(rows)
        assert sum(thread["samples"]["weight"]) == pytest.approx(1e3 * rows["duration_s"].sum())
    named = document["shared"]["stringArray"]
    assert {"prefill", "decode", "gemv", "barrier", "ffn_gate+ffn_up"} <= set(named)
    assert {category["color"] for category in document["meta"]["categories"]} <= COLOURS
    assert document["meta"]["preprocessedProfileVersion"] == firefox.VERSION


def test_stacks_are_phase_operation_and_tensor(tmp_path: Path) -> None:
    ours, _ = engines.pair(tmp_path)
    document = written(ours)
    check(document)
    shared = document["shared"]
    names = [shared["stringArray"][name] for name in shared["funcTable"]["name"]]

    def stack(number: int | None) -> list[str]:
        found: list[str] = []
        while number is not None:
            found.append(names[shared["stackTable"]["frame"][number]])
            number = shared["stackTable"]["prefix"][number]
        return found[::-1]

    thread = document["threads"][1]
    first = [stack(number) for number in thread["samples"]["stack"][:3]]
    assert first[0] == ["decode", "rms_norm", "attn_norm"] and first[1] == ["decode", "quantize_activations"]
    assert first[2] == ["decode", "gemv", "attn_q+attn_k+attn_v"]
    assert thread["markers"]["data"][2] == {
        "type": "q4engine operation",
        "tensor": "blk.0.attn_q.weight+blk.0.attn_k.weight+blk.0.attn_v.weight",
        "layer": "0",
    }
    assert sum(thread["samples"]["timeDeltas"]) == pytest.approx(thread["markers"]["startTime"][-1])


def test_the_command(tmp_path: Path, command: Run) -> None:
    packed, plain = tmp_path / "profile.json.gz", tmp_path / "profile.json"
    assert command(timeline.main, RECORDED, "--firefox", packed)[0] == 0
    assert command(timeline.main, RECORDED, "--firefox", plain)[0] == 0
    assert json.loads(gzip.decompress(packed.read_bytes())) == json.loads(plain.read_bytes())
    status, _, err = command(timeline.main, RECORDED, "--firefox", RECORDED)
    assert status == 1 and "is the file of the capture" in err
    without = tmp_path / "calls.csv"
    rows = RECORDED.read_text().splitlines()
    head = next(row for row in rows if not row.startswith("#")).split(",")
    kept = [row for row in rows if row.startswith(("#", "call,")) or not row.split(",")[head.index("op")]]
    without.write_text("\n".join(kept) + "\n")
    document = written(without)
    check(document)
    assert [thread["name"] for thread in document["threads"]] == ["calls"]
    foreign = tmp_path / "perf.csv"
    foreign.write_text("5,,cycles,100,100.00,,\n7,,instructions,100,100.00,,\n")
    status, _, err = command(timeline.main, foreign, "--firefox", plain)
    assert status == 1 and "has no calls, which only captures by q4engine have" in err


def test_every_hue_has_a_colour_of_the_profilers() -> None:
    assert set(palette.PROFILER) == set(palette.HUES) and set(palette.PROFILER.values()) <= COLOURS
    assert len(set(palette.PROFILER.values())) == len(palette.HUES)
