"""Comparisons within a sweep and with an older one (`analysis.sweep_pairs`): synthetic results with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from swept import setup, synthetic_plan, write_results

from analysis.errors import AnalysisError
from analysis.sweep_pairs import MOST_PAIRS, against, pairs
from analysis.sweep_results import Setup, SweepResults, Times, read, varied

AXES = {"threads": [1, 2], "prompt": [16, 64]}


def swept(
    path: Path, seconds: dict[tuple[int, int], float] | None = None, noise: float = 0.01, **others: Any
) -> SweepResults:
    """Results in which a token takes so long with those threads and that prompt, else 1 s."""
    generator = np.random.default_rng(others.pop("seed", 1))

    def times(combination: Any, block: int, place: float) -> list[float]:
        base = (seconds or {}).get((combination["threads"], combination["prompt"]), 1.0)
        return [base * (1 + others.get("drift", 0.0) * place) * (1 + noise * generator.normal()) for _ in range(3)]

    return read(write_results(path, synthetic_plan(AXES, blocks=others.get("blocks", 10)), times))


def place(of: Setup) -> tuple[int, int]:
    return of.values["threads"], of.values["prompt"]


def test_medians_and_comparisons_come_out_of_the_file(tmp_path: Path) -> None:
    """20 % of drift over the sweep, 1 % of noise: comparisons are within 1 %, twins are said to be equal."""
    results = swept(tmp_path / "a", {(1, 64): 2.0, (2, 64): 2.2}, noise=0.003, drift=0.2)
    times = results.times["prefill"]
    assert [place(each) for each in times.setups] == [
        (1, 16),
        (1, 64),
        (2, 16),
        (2, 64),
    ]
    found = {(*place(pair.one), *place(pair.other)): pair for pair in pairs(times)}
    assert len(found) == 6 and len(list(pairs(times, only_neighbours=True))) == 4
    for key, ratio in {(1, 16, 2, 16): 1.0, (1, 64, 2, 64): 1.1, (1, 16, 1, 64): 2.0, (1, 16, 2, 64): 2.2}.items():
        assert found[key].ratio == pytest.approx(ratio, rel=0.01)
    assert found[1, 16, 2, 16].verdict == "no difference shown" and not found[1, 16, 2, 16].differs
    assert found[1, 64, 2, 64].verdict == "faster" and found[1, 64, 2, 64].axes == ["threads"]


def test_medians_without_drift_are_within_one_percent(tmp_path: Path) -> None:
    results = swept(tmp_path / "a", {(1, 64): 2.0}, noise=0.01)
    for row, each in enumerate(results.times["prefill"].setups):
        truth = 2.0 if place(each) == (1, 64) else 1.0
        assert np.median(results.times["prefill"].of(row)) == pytest.approx(truth, rel=0.01)


def test_few_blocks_show_nothing(tmp_path: Path) -> None:
    times = swept(tmp_path / "a", {(1, 64): 2.0}, blocks=4).times["prefill"]
    assert {pair.verdict for pair in pairs(times)} == {"too few blocks (4, 6 tell)"}
    assert {change.verdict for change in against(swept(tmp_path / "b", blocks=4), swept(tmp_path / "c"))} == {
        "too few blocks"
    }


def test_blocks_that_one_lacks_are_left_out() -> None:
    setups = [setup(str(n), threads=n) for n in range(3)]
    seconds = np.array([[1.0] * 8, [2.0] * 7 + [np.nan], [np.nan] * 8])
    (pair,) = pairs(Times("prefill", setups, seconds, [[1.0]] * 3, [1] * 3))
    assert (pair.blocks, pair.ratio, pair.interval, pair.verdict) == (7, 2.0, (2.0, 2.0), "faster")


def test_of_many_setups_only_neighbours_are_compared() -> None:
    setups = [setup(str(n), threads=n // 20, prompt=n % 20) for n in range(240)]
    times = Times("prefill", setups, np.ones((240, 6)), [[1.0]] * 240, [1] * 240)
    assert MOST_PAIRS < 240 * 239 // 2 and len(list(pairs(times))) == 12 * 190 + 20 * 66


def test_engines_are_compared_by_what_both_are_told_of() -> None:
    setups = [
        *(setup(f"n{n}", engine="native", build="this", threads=n, features="") for n in (1, 2)),
        *(setup(f"l{n}", engine="llama.cpp", threads=n) for n in (1, 2)),
        setup("mine", engine="mine"),
    ]
    times = Times("decode", setups, np.ones((5, 6)), [[1.0]] * 5, [1] * 5)
    found = {(pair.one.known_by, pair.other.known_by): pair.axes for pair in pairs(times, only_neighbours=True)}
    threads = {("n1", "n2"): ["threads"], ("l1", "l2"): ["threads"]}
    engines = [("n1", "l1"), ("n2", "l2"), *((name, "mine") for name in ("n1", "n2", "l1", "l2"))]
    assert found == threads | {pair: ["engine"] for pair in engines}
    assert varied(setups) == ["engine", "threads"]


def test_a_regression_is_shown_and_equals_are_not(tmp_path: Path) -> None:
    old = swept(tmp_path / "old", seed=1)
    changes = against(swept(tmp_path / "new", {(2, 64): 1.05}, seed=2), old)
    assert [place(change.setup) for change in changes if change.is_regression] == [(2, 64)]
    (slower,) = [change for change in changes if change.is_regression]
    assert slower.ratio == pytest.approx(1 / 1.05, rel=0.01) and slower.verdict == "slower"
    faster = against(swept(tmp_path / "faster", {(2, 64): 0.9}, seed=3), old)
    assert [change.verdict for change in faster] == ["no difference shown"] * 3 + ["faster"]


def test_equal_sweeps_rarely_show_a_regression() -> None:
    """All four setups together, 5 % at most: of 40 sweeps of equals 6 or more would come about once in 70 times."""
    setups = [Setup(str(n), {}) for n in range(4)]
    generator = np.random.default_rng(1)

    def one() -> SweepResults:
        seconds = 1 + 0.02 * generator.normal(size=(4, 10))
        times = {"prefill": Times("prefill", setups, seconds, [[1.0]] * 4, [1] * 4)}
        return SweepResults(Path("a"), "a", {}, times, {}, {}, {}, [], [])

    shown = sum(any(change.is_shown for change in against(one(), one())) for _ in range(40))
    assert shown < 6


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no database, though long enough to be looked at as one" * 20)
    with pytest.raises(AnalysisError, match="a: cannot be read: file is not a database"):
        read(tmp_path / "a")
    with pytest.raises(AnalysisError, match="nowhere: no such file"):
        read(tmp_path / "nowhere")


def test_of_many_engines_the_first_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    setups = [setup(str(n), engine=f"e{n}", prompt=8) for n in range(300)]
    times = Times("decode", setups, np.ones((300, 6)), [[1.0]] * 300, [1] * 300)
    every = list(pairs(times, only_neighbours=True))
    monkeypatch.setattr("analysis.sweep_pairs._MOST_KINDS", 3)
    some = list(pairs(times, only_neighbours=True))
    assert len(every) >= len(some) > 0
