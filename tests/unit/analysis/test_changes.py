"""Two captures side by side (`changes`): which quantities there are, and when one has changed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PARTS, PROMPT, TOKEN, write_tokens
from synthetic_captures import decode, prefill, relabelled

from analysis.changes import REST, Change, compare, operation_rows
from analysis.judging import Capture, load


def change(left: float, right: float, interval: tuple[float, float] | None = None, kind: str = "operation") -> Change:
    return Change("decode", kind, "gemm", "s per token", left, right, interval)


@pytest.mark.parametrize(
    ("interval", "has_changed"),
    [((0.01, 0.2), True), ((-0.2, -0.01), True), ((-0.1, 0.1), False), ((0.0, 0.1), False), (None, None)],
)
def test_changed_where_the_interval_leaves_nothing_out(
    interval: tuple[float, float] | None, has_changed: bool | None
) -> None:
    assert change(1.0, 1.1, interval).has_changed is has_changed


def test_relative_and_only_in() -> None:
    assert (change(2.0, 3.0).relative, change(2.0, 3.0).difference, change(2.0, 3.0).only_in) == (0.5, 1.0, "")
    assert math.isnan(change(0.0, 3.0).relative)
    assert (change(0.0, 3.0).only_in, change(3.0, 0.0).only_in, change(0.0, 0.0).only_in) == ("B", "A", "")
    assert change(0.0, 3.0, kind="event").only_in == ""  # it was counted: nothing happened


def test_events_a_token_and_ratios(tmp_path: Path) -> None:
    one = load(write_tokens(tmp_path / "synthetic-a.csv", 0.020, 0.5))
    other = load(write_tokens(tmp_path / "synthetic-b.csv", 0.024, 0.75))
    found = compare(one, other)
    by_name = {(c.kind, c.name): c for c in found.changes}
    assert by_name["speed", "time per token"].difference == pytest.approx(0.004, rel=1e-3)
    stalls = by_name["event", "STALL_BACKEND_MEM"]
    assert stalls.unit == "per token" and stalls.relative == pytest.approx(1.2 * 1.5 - 1, rel=1e-3)
    assert by_name["metric", "memory stalls / back-end stalls"].right == pytest.approx(0.75, rel=1e-3)
    assert found.unmatched == [] and found.alone == []
    ((title, left, right),) = found.verdicts
    assert (title, left, right) == ("decode", "memory-bound", "memory-bound")


def test_few_steps_leave_it_open(tmp_path: Path) -> None:
    paths = [tmp_path / "synthetic-a.csv", tmp_path / "synthetic-b.csv"]
    for path, seconds in zip(paths, (0.02, 0.04), strict=True):
        captures.write_capture(path, decode(3, seconds, TOKEN), HEADER)
    (speed,) = [c for c in compare(*map(load, paths)).changes if c.kind == "speed"]
    assert speed.relative == pytest.approx(1.0) and speed.has_changed is None


def both(folder: Path, *titles: dict[str, str]) -> list[Capture]:
    calls = [*prefill(512, 0.9, PROMPT), *decode(20, 0.02, TOKEN)]
    named = [relabelled(calls, names) for names in titles]
    return [load(captures.write_capture(folder / f"synthetic-{n}.csv", one, HEADER)) for n, one in enumerate(named)]


def test_phases_by_their_titles_else_in_order(tmp_path: Path) -> None:
    found = compare(*both(tmp_path, {}, {"prefill": "prompt"}))
    assert [title for title, _, _ in found.verdicts] == ["decode"] and found.unmatched == ["prefill", "prompt"]
    found = compare(*both(tmp_path, {}, {"prefill": "prompt", "decode": "answer"}))
    assert [title for title, _, _ in found.verdicts] == ["prefill / prompt", "decode / answer"]
    assert found.unmatched == []


def test_phases_in_order_when_one_has_more(tmp_path: Path) -> None:
    short = load(captures.write_capture(tmp_path / "synthetic-x.csv", decode(20, 0.02, TOKEN, past=0), HEADER))
    one = relabelled(decode(20, 0.02, TOKEN, past=0), {"decode": "x"})
    other = load(captures.write_capture(tmp_path / "synthetic-y.csv", [*one, *prefill(512, 0.9, PROMPT)], HEADER))
    assert compare(short, other).unmatched == ["prefill #2"] == compare(other, short).unmatched


def test_settings_that_differ(tmp_path: Path) -> None:
    calls = decode(20, 0.02, TOKEN)
    one = captures.write_capture(tmp_path / "synthetic-a.csv", calls, HEADER | {"n_threads": 2, "governor": "a\tb"})
    other = captures.write_capture(tmp_path / "synthetic-b.csv", calls, HEADER | {"n_threads": 4})
    assert compare(load(one), load(other)).settings == [("n_threads", "2", "4"), ("governor", r"a\tb", "-")]
    assert compare(load(one), load(one)).settings == []


def test_an_emulators_clock_compares_with_nothing(tmp_path: Path) -> None:
    calls = decode(20, 0.02, TOKEN)
    one = load(captures.write_capture(tmp_path / "synthetic-a.csv", calls, HEADER))
    other = load(captures.write_capture(tmp_path / "synthetic-b.csv", calls, HEADER | {"emulated": "yes"}))
    found = compare(one, other)
    assert found.settings[0] == ("emulated", "False", "True")
    assert {c.kind for c in found.changes} <= {"event"}


def test_operations_and_the_rest_make_the_calls(tmp_path: Path) -> None:
    path = captures.write_per_op(tmp_path / "synthetic.csv", PARTS, threads=2, prompt=16, n_decode=8, header=HEADER)
    capture = load(path)
    tokens = capture.judged()[1]
    rows = operation_rows(tokens, capture.table)
    assert set(rows) == {"gemm", "attention", "rms_norm"}
    assert all(one.shape == (8, 2) and (one[:, 1] == 1).all() for one in rows.values())
    whole = sum(step.duration_s for step in tokens.evidence.steps)
    assert sum(float(one[:, 0].sum()) for one in rows.values()) == pytest.approx(whole, rel=1e-9)
    assert REST not in {c.name for c in compare(capture, capture).changes}  # nothing is left of these calls


def test_times_by_operation_that_one_alone_has(tmp_path: Path) -> None:
    path = captures.write_per_op(tmp_path / "synthetic.csv", PARTS, threads=2, prompt=16, n_decode=8, header=HEADER)
    counted = load(captures.write_capture(tmp_path / "synthetic-b.csv", decode(8, 0.02, {}), HEADER))
    assert ("decode", "A", "times by operation (--per-op)") in compare(load(path), counted).alone
    assert ("decode", "B", "times by operation (--per-op)") in compare(counted, load(path)).alone
