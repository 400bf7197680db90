"""Intervals over steps: repeatable, of the right width, none without enough steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis import bootstrap
from analysis.formula import parse
from analysis.phase import Count, Step


def plain(**counts: float) -> dict[str, Count]:
    return {event: Count(value, 1.0) for event, value in counts.items()}


def _steps(n: int, *, seed: int = 1) -> list[Step]:
    generator = np.random.default_rng(seed)
    steps = []
    for i in range(n):
        cycles = float(generator.uniform(90, 110))
        counts = plain(CPU_CYCLES=cycles, STALL_BACKEND=cycles * float(generator.normal(0.5, 0.05)))
        steps.append(Step(i, 1, float(i), 1.0, counts))
    return steps


def test_bootstrap_is_repeatable_and_holds_the_ratio() -> None:
    steps, formula = _steps(50), parse("STALL_BACKEND / CPU_CYCLES")
    low, high = bootstrap.bootstrap(steps, formula) or (0.0, 0.0)
    assert (low, high) == bootstrap.bootstrap(steps, formula)
    whole = sum(s.counts["STALL_BACKEND"].value for s in steps) / sum(s.counts["CPU_CYCLES"].value for s in steps)
    assert low < whole < high
    # the standard error of 50 draws with a deviation of 0.05 is 0.007, an interval about four of those
    assert 0.5 * 0.028 < high - low < 1.5 * 0.028


def test_bootstrap_covers_about_95_percent() -> None:
    formula = parse("STALL_BACKEND / CPU_CYCLES")
    hits = 0
    for seed in range(60):
        low, high = bootstrap.bootstrap(_steps(40, seed=seed), formula) or (1.0, 0.0)
        hits += low < 0.5 < high
    assert 50 <= hits <= 60


def test_bootstrap_needs_steps_that_counted_all_events() -> None:
    steps, formula = _steps(8), parse("STALL_BACKEND / CPU_CYCLES")
    assert bootstrap.bootstrap(steps, formula) is not None
    del steps[3].counts["STALL_BACKEND"]
    assert bootstrap.bootstrap(steps, formula) is None


def test_equal_steps_give_an_interval_of_one_point() -> None:
    steps = [Step(i, 1, float(i), 1.0, plain(CPU_CYCLES=100, STALL_BACKEND=25)) for i in range(10)]
    low, high = bootstrap.bootstrap(steps, parse("STALL_BACKEND / CPU_CYCLES")) or (0.0, 1.0)
    assert low == high == 0.25


@pytest.mark.parametrize(
    "text",
    [
        "A / B",
        "(A - B) / (A + B) * 100",
        "-A / LINE / SECONDS",
        "1 - A / SLOTS / B",
        "A / (B - B)",
        "3 / 4",
        "TOKENS / C",
    ],
)
@pytest.mark.parametrize("odd", [None, 0.0, 1e308, math.inf])
def test_all_draws_at_once_are_those_one_by_one(text: str, odd: float | None) -> None:
    generator, formula = np.random.default_rng(3), parse(text)
    sums = generator.uniform(-5, 5, size=(40, 5))
    if odd is not None:
        sums[::3, 1] = sums[1::4, 0] = odd
    names, constants = ["A", "B", "C", "SECONDS", "TOKENS"], {"LINE": 64.0, "SLOTS": 8.0}
    each = [formula.evaluate({**dict(zip(names, map(float, row), strict=True)), **constants}) for row in sums]
    expected = [value for value in each if isinstance(value, float)]
    assert bootstrap._values(formula, names, sums, constants).tolist() == expected
    assert bootstrap._values(parse("A / NONE"), names, sums, {"NONE": None}).tolist() == []


def test_neighbours_of_many_steps_are_taken_together() -> None:
    """The interval of many alike steps is that of their sums, in bounded memory."""
    generator = np.random.default_rng(5)
    rows = generator.uniform(1, 3, size=(3 * bootstrap.MOST_ROWS + 7, 2))
    merged = bootstrap._merged(rows)
    assert len(merged) <= bootstrap.MOST_ROWS and np.allclose(merged.sum(axis=0), rows.sum(axis=0))
    assert bootstrap._merged(rows[: bootstrap.MOST_ROWS]) is not merged
    values = bootstrap.resample_ratio(rows)
    assert values is not None
    low, high = bootstrap.ends(values)
    assert low < rows[:, 0].sum() / rows[:, 1].sum() < high and high - low < 0.05


def test_ratios_drawn_together_are_those_drawn_alone() -> None:
    """To the last digit: a ratio that does not change has an interval of no width."""
    chance = np.random.default_rng(5)
    tokens = chance.integers(1, 4, 300).astype(float)
    of_each = [np.column_stack((chance.random(300) * 10**power, tokens)) for power in range(5)]
    of_each += [np.column_stack((chance.random(20), np.ones(20))), np.ones((7, 2)), np.zeros((9, 2))]
    together = bootstrap.resample_ratios(of_each)
    assert [values is None for values in together] == [False] * 6 + [True] * 2
    for rows, values in zip(of_each[:6], together, strict=False):
        picks = np.random.default_rng(bootstrap.SEED).integers(len(rows), size=(bootstrap.RESAMPLES, len(rows)))
        sums = rows[picks].sum(axis=1)
        assert values is not None and np.array_equal(values, sums[:, 0] / sums[:, 1])
        alone = bootstrap.resample_ratio(rows)
        assert alone is not None and np.array_equal(values, alone)
