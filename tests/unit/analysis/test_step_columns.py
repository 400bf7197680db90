"""Counts in columns give what the same counts give step by step, to the last bit."""

from dataclasses import replace

import numpy as np
import pytest

from analysis import bootstrap, cores
from analysis.phase import FOREIGN, IMPOSSIBLE, OK, Phase, Step, columns_of, summed
from analysis.plausible import screened
from analysis.step_columns import Column, Columns

EVENTS = ("CPU_CYCLES", "STALL_BACKEND", "INST_RETIRED", "r11")


def _column(generator: np.random.Generator, n: int) -> Column:
    measured = generator.integers(1, 1 << 40, n).astype(float)
    running = np.where(generator.random(n) < 0.2, 0.0, generator.random(n))
    with np.errstate(divide="ignore"):
        return Column(np.where(running > 0, measured / running, np.nan), running, measured)


def _steps(seed: int, groups: int, n: int = 60) -> list[Step]:
    """Groups of some of the events each, some counted in a part of the steps, some steps without a length."""
    generator = np.random.default_rng(seed)
    found = {}
    for group in range(groups):
        events = generator.permutation(EVENTS)[: generator.integers(1, len(EVENTS) + 1)]
        found[f"g{group}"] = {str(event): _column(generator, n) for event in events}
    columns = Columns(found)
    lengths = np.where(generator.random(n) < 0.05, 0.0, generator.random(n)).tolist()
    return [Step(at, 1 + at % 3, float(at), lengths[at], call=at).counted_in(columns, at) for at in range(n)]


def _plain(steps: list[Step]) -> list[Step]:
    plain = [replace(step) for step in steps]
    assert columns_of(steps) is not None and columns_of(plain) is None
    return plain


def _same_sums(steps: list[Step]) -> None:
    assert repr(summed(steps)) == repr(summed(_plain(steps)))  # NaN is no number that equals itself
    for chosen in (steps[::3], steps[5:6], list(reversed(steps))):
        assert repr(summed(chosen)) == repr(summed(_plain(chosen)))
    for events in (EVENTS[:2], EVENTS[1:3], EVENTS[:1], (EVENTS[2], EVENTS[0], EVENTS[1]), ("NONE", EVENTS[0])):
        rows = bootstrap.rows_of(steps, events)
        assert rows.tolist() == bootstrap.rows_of(_plain(steps), events).tolist(), events


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_columns_equal_steps(groups: int) -> None:
    for seed in range(8):
        _same_sums(_steps(seed, groups))


def test_what_is_set_aside_and_renamed_is_so_in_every_step() -> None:
    seen = set()
    for seed in range(12):
        steps = _steps(seed, 2)
        counts, groups = summed(steps)
        phase = Phase("any", 0, len(steps), 0.0, 30.0, steps, counts, groups)
        core = cores.load("cortex-a76")
        core = replace(core, absent=frozenset({"INST_RETIRED"})) if seed % 2 else core
        by_columns, reasons = screened(phase, core)
        by_steps, same_reasons = screened(replace(phase, steps=_plain(steps)), core)
        assert repr(by_columns) == repr(by_steps) and reasons == same_reasons
        _same_sums(by_columns.steps) if columns_of(by_columns.steps) else None
        seen |= {count.status for step in by_columns.steps for count in step.counts.values()}
        assert "r11" not in by_columns.counts or "CPU_CYCLES" in counts
    assert {OK, FOREIGN, IMPOSSIBLE} <= seen


def test_steps_of_several_columns_have_none_in_common() -> None:
    assert columns_of([*_steps(1, 1), *_steps(2, 1)]) is None
    assert columns_of([]) is None
    assert columns_of([_steps(1, 1)[0], Step(0, 1, 0.0, 1.0)]) is None


def test_a_step_makes_its_counts_once() -> None:
    step = _steps(3, 2)[0]
    assert step.counts is step.counts and step.groups is step.groups
    with pytest.raises(AttributeError, match="a step has no anything"):
        step.anything  # noqa: B018
