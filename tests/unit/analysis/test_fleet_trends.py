"""Speed over commits and time: a planted regression is found where it is, and nothing where there is none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import synthetic_fleet
from synthetic_fleet import Plan, commit_name

from analysis.fleet.trends import over_commits, over_time, with_periods
from analysis.fleet.twins import usable


def test_a_regression_is_found_with_what_changed() -> None:
    steps = over_commits(usable(synthetic_fleet.rows(Plan(devices=30, captures=600, commits=6))))
    assert [(step.before, step.after) for step in steps] == [(commit_name(n), commit_name(n + 1)) for n in range(5)]
    (found,) = [step for step in steps if step.is_shown]
    assert found.is_regression and found.after == commit_name(3) and found.times == pytest.approx(0.92, abs=0.01)
    assert found.interval is not None and found.interval[0] < 0.92 < found.interval[1] < 1
    assert (found.by, found.n, found.verdict) == ("devices", 30, "slower")
    ((quantity, before, after),) = found.differs
    assert quantity.column == "ipc" and after / before == pytest.approx(0.92, abs=0.01)
    assert found.why == f"IPC {before:.3g} to {after:.3g}"
    assert {step.verdict for step in steps if step is not found} == {"no change shown"}


def test_a_commit_that_is_faster_is_no_regression() -> None:
    steps = over_commits(usable(synthetic_fleet.rows(Plan(faster=1.2))))
    assert [step.verdict for step in steps] == ["no change shown", "no change shown", "faster"]
    assert not any(step.is_regression for step in steps)


def test_nothing_is_shown_where_nothing_changed() -> None:
    """At 95 % for all steps of a fleet together, so at most about one fleet in twenty, and less for changes of 2 %."""
    shown = 0
    for seed in range(4):
        plan = Plan(devices=20, captures=400, commits=5, regression=None, apart=0.05, noise=0.05, seed=seed)
        frame = usable(synthetic_fleet.rows(plan))
        shown += any(step.is_shown for step in (*over_commits(frame), *over_time(with_periods(frame)[0])))
    assert shown <= 1


def test_one_device_is_compared_by_its_captures() -> None:
    frame = usable(synthetic_fleet.rows(Plan(devices=1, captures=80, commits=2, regression=1, slow=None)))
    (step,) = over_commits(frame)
    assert (step.by, step.n, step.verdict) == ("captures", 40, "slower") and step.times == pytest.approx(0.92, abs=0.02)
    few = usable(synthetic_fleet.rows(Plan(devices=1, captures=8, commits=2, regression=1, slow=None)))
    assert [step.verdict for step in over_commits(few)] == ["too few to tell"]


def test_devices_that_have_one_commit_each_tell_nothing() -> None:
    """A fast device before and a slow one behind it are no regression."""
    frame = synthetic_fleet.rows(Plan(devices=2, captures=80, commits=2, regression=None, slow=1, clock=0.5))
    first = frame["commit"] == commit_name(0)
    frame = frame[first == (frame["device"] == "synthetic-000")]
    assert over_commits(usable(frame)) == []


def test_time_shows_what_commits_do_not_explain() -> None:
    frame = synthetic_fleet.rows(Plan(devices=20, captures=800, commits=1, regression=None, days=28))
    frame["tokens_per_s"] *= np.where(frame["started"] >= frame["started"].iloc[0] + pd.Timedelta(days=14), 0.9, 1.0)
    timed, unit = with_periods(usable(frame))
    assert unit == "day" and over_commits(usable(frame)) == []
    (found,) = [step for step in over_time(timed) if step.is_shown]
    assert (found.before, found.after) == ("2026-03-14", "2026-03-15") and found.times == pytest.approx(0.9, abs=0.02)
    regression, _ = with_periods(usable(synthetic_fleet.rows(Plan(devices=20, captures=800, days=28))))
    assert not any(step.is_shown for step in over_time(regression))


@pytest.mark.parametrize("days, unit, first", [(10, "day", "2026-03-01"), (200, "week", "2026-02-23")])
def test_periods_are_as_long_as_the_span_wants(days: float, unit: str, first: str) -> None:
    timed, found = with_periods(usable(synthetic_fleet.rows(Plan(days=days))))
    assert found == unit and min(timed["period"]) == first
    none = usable(synthetic_fleet.rows(Plan())).assign(started=pd.NaT)
    assert with_periods(none)[0].empty and over_time(with_periods(none)[0]) == []
    assert over_commits(none) == []


def test_intervals_are_for_all_steps_together() -> None:
    steps = over_commits(usable(synthetic_fleet.rows(Plan(devices=20, captures=400, commits=5))))
    assert {step.level for step in steps} == {1 - 0.05 / 4} and all(math.isfinite(step.times) for step in steps)
