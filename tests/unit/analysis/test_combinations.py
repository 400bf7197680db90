"""Captures over thread counts and prompt lengths (`combinations`), one entry for each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PARTS, TOKEN
from synthetic_captures import decode

from analysis import combinations
from analysis.combinations import Combination, gather
from analysis.errors import AnalysisError
from analysis.judging import Capture, load


def entry(threads: int, prompt: int, rate: float, **components: list[float]) -> Combination:
    return Combination("decode", threads, prompt, [rate], [(prompt, 0.1), (prompt + 1, 0.1)], components, [1, 1])


ENTRIES = [
    entry(2, 16, 10.0, gemm=[0.08, 0.08], rope=[0.01, 0.01]),
    entry(4, 16, 18.0, gemm=[0.04, 0.04], rope=[0.01, 0.01]),
    entry(4, 64, 15.0),
]


def test_one_entry_alone() -> None:
    one = Combination("decode", 2, 16, [9.0, 11.0, 30.0], [(0, 0.1), (1, 0.3)], {"gemm": [0.1, 0.2]}, [1, 2])
    assert one.rate == 11.0
    assert (one.per_token("gemm"), one.share("gemm")) == (pytest.approx(0.1), pytest.approx(0.75))
    assert math.isnan(one.per_token("rope")) and one.share("rope") == 0.0
    empty = Combination("decode", 2, 16)
    assert math.isnan(empty.rate) and math.isnan(empty.share("gemm")) and math.isnan(empty.per_token("gemm"))


def test_speed_up_over_the_fewest_threads() -> None:
    assert combinations.speed_up(ENTRIES, 4, 16) == pytest.approx(1.8)
    assert combinations.speed_up(ENTRIES, 4, 16, "gemm") == pytest.approx(2.0)
    assert combinations.speed_up(ENTRIES, 4, 16, "rope") == pytest.approx(1.0)
    assert math.isnan(combinations.speed_up(ENTRIES, 4, 64))  # no 2 threads to compare with
    assert math.isnan(combinations.speed_up(ENTRIES, 8, 16))
    assert math.isnan(combinations.speed_up(ENTRIES, 4, 16, "barrier"))


def test_what_there_is() -> None:
    assert combinations.threads_in(ENTRIES) == [2, 4] and combinations.prompts_in(ENTRIES) == [16, 64]
    assert combinations.of_kind(ENTRIES, "prefill") == [] and combinations.of_kind(ENTRIES, "decode") == ENTRIES
    assert combinations.at(ENTRIES, 4, 64) is ENTRIES[2] and combinations.at(ENTRIES, 2, 64) is None
    assert combinations.leading_components(ENTRIES) == ["gemm", "rope"]
    assert combinations.leading_components(ENTRIES, most=1) == ["gemm"]
    assert combinations.leading_components([]) == []


def per_op_of(path: Path, threads: int, prompt: int) -> Capture:
    header = HEADER | {"n_threads": threads}
    return load(captures.write_per_op(path, PARTS, threads=threads, prompt=prompt, n_decode=8, header=header))


def test_repetitions_share_an_entry_and_entries_are_sorted(tmp_path: Path) -> None:
    many = [(2, 16), (1, 64), (1, 16), (2, 16)]
    found = gather(per_op_of(tmp_path / f"synthetic-{n}.csv", *one) for n, one in enumerate(many))
    keys = [(1, 16), (1, 64), (2, 16)]
    assert [(e.kind, e.threads, e.prompt) for e in found] == [(k, *key) for k in ("prefill", "decode") for key in keys]
    assert [len(e.rates) for e in found] == [1, 1, 2] * 2
    assert [len(e.steps) for e in found] == [1, 1, 2, 8, 8, 16]
    assert found[0].tokens == [16] and found[3].tokens == [1] * 8


def test_a_prompt_that_was_not_captured_is_known_by_the_position(tmp_path: Path) -> None:
    path = captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, TOKEN, past=100), HEADER)
    (found,) = gather([load(path)])
    assert (found.kind, found.prompt, found.components) == ("decode", 100, {})


def test_prompts_with_threads_of_their_own(tmp_path: Path) -> None:
    header = HEADER | {"n_threads": 2, "n_threads_batch": 4, "batch_tokens": 9}
    for prompt, threads in ((16, 4), (8, 2)):
        path = tmp_path / f"synthetic-{prompt}.csv"
        found = gather([load(captures.write_per_op(path, PARTS, threads=4, prompt=prompt, n_decode=8, header=header))])
        assert [(entry.kind, entry.threads) for entry in found] == [("prefill", threads), ("decode", 2)]


def test_threads_of_the_rows_where_the_header_tells_none(tmp_path: Path) -> None:
    per_op_of(tmp_path / "synthetic.csv", 2, 16)
    text = (tmp_path / "synthetic.csv").read_text().replace("# n_threads: 2\n", "")
    (tmp_path / "synthetic.csv").write_text(text)
    assert combinations.threads_of(load(tmp_path / "synthetic.csv")) == 2


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"emulated": "yes"}, "its counts are emulated, and an emulator's clock tells no speed"),
        ({"n_threads": 0}, r"it does not tell how many threads ran \(header key n_threads\)"),
    ],
)
def test_captures_that_do_not_fit(tmp_path: Path, header: dict[str, object], reason: str) -> None:
    path = captures.write_capture(tmp_path / "synthetic.csv", decode(8, 0.02, TOKEN), HEADER | header)
    with pytest.raises(AnalysisError, match=f"synthetic.csv: {reason}"):
        gather([load(path)])


def test_counts_without_calls_are_refused(tmp_path: Path) -> None:
    path = captures.write_perf_total(tmp_path / "synthetic.csv", {"cycles": 1e9}, 1.0)
    with pytest.raises(AnalysisError, match=r"synthetic.csv: it does not tell how many threads ran"):
        gather([load(path)])
