"""Devices against their twins: planted slow ones are found, healthy ones are not accused, over many made-up fleets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import synthetic_fleet
from synthetic_fleet import Plan

from analysis.fleet.twins import LEAST_TWINS, Twin, compared, limit, usable

HEALTHY = Plan(slow=None, regression=None)


def twins(frame: pd.DataFrame) -> list[Twin]:
    return compared(usable(frame))


def slower(frame: pd.DataFrame) -> list[Twin]:
    return [twin for twin in twins(frame) if twin.is_slower]


def test_a_slow_device_is_found_with_what_differs() -> None:
    found = twins(synthetic_fleet.rows(Plan(devices=100, captures=2000, slow=42)))
    assert [twin.device for twin in found if twin.is_slower] == [found[0].device] == ["synthetic-042"]
    worst = found[0]
    assert worst.times == pytest.approx(0.8, abs=0.03) and worst.z < -worst.limit and worst.captures == 20
    assert worst.twins == 100 == len(found)
    assert [each.quantity.column for each in worst.differs] == ["frequency_hz"]
    assert worst.differs[0].text == "clock 1.60 GHz, twins 2.00 GHz"
    assert {twin.verdict for twin in found[1:]} == {"as its twins"}


@pytest.mark.parametrize("devices, captures", [(100, 1000), (20, 100), (50, 200)])
def test_healthy_fleets_accuse_nobody(devices: int, captures: int) -> None:
    """Fleets whose devices and captures lie three times as far apart as usual."""
    accused = 0
    for seed in range(3):
        plan = Plan(devices, captures, slow=None, regression=None, apart=0.03, noise=0.03, seed=seed)
        accused += bool(slower(synthetic_fleet.rows(plan)))
    assert accused == 0


def test_long_tails_accuse_nobody() -> None:
    """Captures that others disturbed: one in ten takes up to twice the time."""
    accused = 0
    for seed in range(3):
        frame = synthetic_fleet.rows(Plan(30, 300, slow=None, regression=None, seed=seed))
        generator = np.random.default_rng(seed)
        disturbed = generator.random(len(frame)) < 0.1
        frame["tokens_per_s"] /= 1 + disturbed * generator.random(len(frame))
        accused += bool(slower(frame))
    assert accused == 0


def test_other_work_and_other_commits_are_no_slowness() -> None:
    frame = synthetic_fleet.rows(Plan(devices=20, captures=400, slow=None, regression=2, faster=0.7))
    assert slower(frame) == []
    late = frame["device"] == "synthetic-003"
    frame = frame[~late | (frame["commit"] >= synthetic_fleet.commit_name(2))]  # it ran the slow commits alone
    assert slower(frame) == []
    deep = frame["device"] == "synthetic-004"
    frame.loc[deep, "depth"], frame.loc[deep, "tokens_per_s"] = 8000.0, 20.0
    assert slower(frame) == [] and "synthetic-004" not in {twin.device for twin in twins(frame)}
    other = frame["device"] == "synthetic-005"
    frame.loc[other, "machine"], frame.loc[other, "tokens_per_s"] = "another", 20.0
    assert slower(frame) == []


def test_few_twins_or_captures_tell_nothing() -> None:
    frame = synthetic_fleet.rows(Plan(devices=LEAST_TWINS - 1, captures=100, slow=1, clock=0.5))
    assert {twin.verdict for twin in twins(frame)} == {"too few to tell"}
    frame = synthetic_fleet.rows(Plan(devices=20, captures=200, slow=1, clock=0.5))
    mine = frame["device"] == "synthetic-001"
    frame = frame[~mine | (mine.cumsum() <= 2)]
    assert slower(frame) == [] and twins(frame)[0].verdict == "too few to tell"
    assert twins(synthetic_fleet.rows(Plan(devices=1, captures=10, slow=None))) == []


def test_a_ratio_that_differs_is_told() -> None:
    frame = synthetic_fleet.rows(Plan(devices=20, captures=200, slow=None, regression=None))
    mine = frame["device"] == "synthetic-009"
    frame.loc[mine, "tokens_per_s"] *= 0.85
    frame.loc[mine, "ipc"] *= 0.85
    frame.loc[mine, "be"] += 0.08
    (found,) = slower(frame)
    assert {each.quantity.column for each in found.differs} == {"ipc", "be"}
    assert "back-end stalls / cycles 68.0 %, twins 60.0 %" in {each.text for each in found.differs}


def test_the_limit_grows_with_what_is_compared() -> None:
    assert limit(1000, 100) > limit(100, 100) > 3.7 and limit(100, 6) > 2 * limit(100, 100)


def test_what_has_no_speed_is_left_out() -> None:
    frame = synthetic_fleet.rows(HEALTHY)
    frame.loc[0, "tokens_per_s"], frame.loc[1, "state"], frame.loc[2, "tokens_per_s"] = np.nan, "broken", 0.0
    assert len(usable(frame)) == 197 and usable(frame)["setup"].nunique() == 1
