"""Steps that are judged together have the verdicts that each has alone: analysis.verdicts.alike."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic_captures import Call, decode, prefill, write_capture

from analysis.judging import JudgedPhase, load
from analysis.phase import Phase, Step
from analysis.verdicts import Context, Judgement, alike, judge_step
from analysis.verdicts.alike import Quantity, StepVerdict, _Steps, every_step, in_short

GROUPS = {
    "g0": ["CPU_CYCLES", "INST_RETIRED", "STALL_BACKEND", "STALL_FRONTEND", "STALL_BACKEND_MEM"],
    "g1": ["CPU_CYCLES", "STALL_BACKEND", "STALL_SLOT_BACKEND", "STALL_SLOT_FRONTEND", "STALL_SLOT"],
    "g3": ["OP_RETIRED", "OP_SPEC"],
    "g2": ["INST_SPEC", "ASE_SPEC", "DP_SPEC", "VFP_SPEC", "L2D_CACHE_REFILL", "LL_CACHE_MISS_RD"],
}  # fmt: skip


def counts(rng: random.Random, seconds: float) -> dict[str, float]:
    """Of one call, on either side of every threshold; now and then a zero, or more than can be."""
    cycles = 3e9 * seconds
    shares = {
        "INST_RETIRED": 2.0, "STALL_BACKEND": 1.0, "STALL_FRONTEND": 0.5, "STALL_BACKEND_MEM": 0.7, "STALL_SLOT": 6.0,
        "STALL_SLOT_BACKEND": 5.0, "STALL_SLOT_FRONTEND": 3.0, "OP_RETIRED": 2.0, "OP_SPEC": 2.5, "INST_SPEC": 2.0,
        "ASE_SPEC": 0.8, "DP_SPEC": 0.4, "VFP_SPEC": 0.1, "L2D_CACHE_REFILL": 0.02, "LL_CACHE_MISS_RD": 0.01,
    }  # fmt: skip
    found = {event: cycles * most * rng.random() for event, most in shares.items()}
    if rng.random() < 0.1:
        found[rng.choice(list(found))] *= rng.choice([0.0, 40.0])
    return {"CPU_CYCLES": cycles, **found}


def calls(rng: random.Random, n: int) -> list[Call]:
    found: list[Call] = []
    for _ in range(n):
        seconds = 0.02 * rng.uniform(0.5, 1.5)
        n_eval = 1 if rng.random() < 0.8 else 4
        running = {group: rng.choice([0.0, 0.03, 0.4]) if rng.random() < 0.1 else 1.0 for group in GROUPS}
        past = found[-1].n_past + found[-1].n_eval if found else 100
        found.append(Call("decode", past, n_eval, seconds, counts(rng, seconds), running))
    return found


HEADERS: tuple[dict[str, object], ...] = (
    {"midr": "0x410fd4f0", "read_peak_gbps": 5, "bytes_per_token": 9e7, "kv_bytes_per_token": 2e4},
    {"midr": "0x413fd0c1", "read_peak_gbps": 40},
    {"cpu": "some core", "slots": 8},
)


def judged(tmp_path: Path, found: list[Call], header: dict[str, object]) -> JudgedPhase:
    (phase,) = load(write_capture(tmp_path / "synthetic.csv", found, header, GROUPS)).phases
    return phase


def plain(value: dict[str, float]) -> dict[str, float | None]:
    return {key: None if math.isnan(each) else each for key, each in value.items()}


def require_equal(found: list[tuple[Step, StepVerdict]], phase: JudgedPhase) -> None:
    for step, verdict in found:
        alone = in_short(judge_step(step.passing(), phase.phase, phase.context))
        assert (verdict.outcome, verdict.confidence) == (alone.outcome, alone.confidence)
        assert plain(verdict.ratios) == plain(alone.ratios)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_each_has_the_verdict_that_it_has_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: dict[str, object], seed: int
) -> None:
    monkeypatch.setattr(alike, "_FEW", 1)  # none alone
    phase = judged(tmp_path, calls(random.Random(seed), 150), header)
    times: list[Step] = []
    found = list(every_step(phase.phase, phase.context, judging(times)))
    require_equal(found, phase)
    assert len({verdict.outcome for _, verdict in found}) > 3
    assert all(isinstance(step.duration_s, Quantity) for step in times) and len(times) < 150


def judging(times: list[Step]) -> Callable[[Step, Phase, Context], Judgement]:
    def judge(step: Step, phase: Phase, context: Context) -> Judgement:
        times.append(step)
        return judge_step(step, phase, context)

    return judge


def test_steps_that_are_alike_are_judged_once(tmp_path: Path) -> None:
    rates = {
        "CPU_CYCLES": 6e7,
        "INST_RETIRED": 3e7,
        "STALL_BACKEND": 4e7,
        "STALL_FRONTEND": 1e6,
        "STALL_BACKEND_MEM": 3e7,
    }
    phase = judged(
        tmp_path, [*decode(300, 0.02, rates), *decode(100, 0.02, {**rates, "STALL_BACKEND": 2e6}, past=812)], {}
    )
    times: list[Step] = []
    found = list(every_step(phase.phase, phase.context, judging(times)))
    assert [step for step, _ in found] == phase.phase.steps and len(times) < 10
    assert len({verdict.outcome for _, verdict in found}) == 2
    require_equal(found, phase)
    one_by_one: list[Step] = []
    list(
        every_step(judged(tmp_path, prefill(512, 1.0, rates, batches=8), {}).phase, phase.context, judging(one_by_one))
    )
    assert len(one_by_one) == 8


def quantity(*each: float) -> Quantity:
    return Quantity(np.array(each), _Steps(len(each)))


def test_quantities_part_where_an_answer_is_another() -> None:
    some = quantity(3.0, 5.0, 1.0, 0.0)
    assert (some + 1.0) * 2.0 == 8.0 and isinstance(2.0 - some, Quantity)
    assert some.steps.alike.tolist() == [True, False, False, False]
    some = quantity(3.0, 5.0, 1.0, 0.0)
    assert max(2.0, some) == 3.0 and some.steps.alike.tolist() == [True, False, False, False]
    some = quantity(3.0, 5.0, 1.0, 0.0)
    assert 1 / some < 1 and some.steps.alike.tolist() == [True, True, False, False]
    some = quantity(3.0, 5.0, 1.0, 0.0)
    assert (some or 7.0) is some and some.steps.alike.tolist() == [True, True, True, False]
    with pytest.raises(ZeroDivisionError):
        1 / quantity(0.0, 1.0)
    huge = quantity(1e300, 1.0)
    assert math.isinf(huge * 1e300) and huge.steps.alike.tolist() == [True, False]


@pytest.mark.parametrize("loses", [float, int, round, math.floor, lambda some: some**2, lambda some: some // 1])
def test_what_would_lose_the_other_steps_is_refused(loses: Callable[[Quantity], object]) -> None:
    with pytest.raises(TypeError, match="would not be told apart"):
        loses(quantity(1.0, 2.0))


def test_rules_that_cannot_be_followed_judge_each_alone(tmp_path: Path) -> None:
    phase = judged(tmp_path, decode(40, 0.02, {"CPU_CYCLES": 6e7, "STALL_BACKEND": 4e7}), {})
    followed: list[bool] = []

    def judge(step: Step, phase: Phase, context: Context) -> Judgement:
        followed.append(isinstance(step.duration_s, Quantity))
        round(step.duration_s, 3)
        return judge_step(step, phase, context)

    assert len(list(every_step(phase.phase, phase.context, judge))) == 40
    assert followed == [True, *[False] * 40]
