"""What counts as evidence (`verdicts.evidence`): resolution, drift, throttling, sums over the steps that are kept."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from judged_phases import CYCLES, N2, gbps, phase, stalls

from analysis.phase import NOT_COUNTED, Count
from analysis.verdicts import Outcome, StepFacts, gather, judge, judge_step
from analysis.verdicts.evidence import narrowed


@pytest.mark.parametrize(("bin_s", "outcome"), [(0.05, Outcome.MEMORY), (0.051, Outcome.RESOLUTION)])
def test_bins_of_a_phase(bin_s: float, outcome: Outcome) -> None:
    assert judge(phase(bin_s=bin_s, **stalls(0.6, 0.5)), N2).combined.outcome is outcome


@pytest.mark.parametrize(("bin_s", "outcome"), [(0.0166, Outcome.MEMORY), (0.0168, Outcome.RESOLUTION)])
def test_bins_of_a_step(bin_s: float, outcome: Outcome) -> None:
    whole = phase(bin_s=bin_s, **stalls(0.6, 0.5))
    assert judge_step(whole.steps[0], whole, N2).combined.outcome is outcome


def test_an_uncut_capture_has_no_boundaries_to_blur() -> None:
    whole = replace(phase(bin_s=1.0, **stalls(0.6, 0.5)), steps=[])
    assert judge(whole, N2).combined.outcome is Outcome.MEMORY


@pytest.mark.parametrize(
    ("lowest", "confidence", "kept"),
    [(0.951, "high", 10), (0.949, "medium", 10), (0.901, "medium", 10), (0.899, "medium", 9)],
)
def test_frequency_drift(lowest: float, confidence: str, kept: int) -> None:
    known = {i: StepFacts(2e9 * (lowest if i == 9 else 1.0)) for i in range(10)}
    context = replace(N2, read_peak=1e9)
    evidence = gather(phase(**stalls(0.6, 0.5)), context, known)
    assert len(evidence.steps) == kept
    verdict = judge(phase(L3D_CACHE_REFILL=gbps(0.9), **stalls(0.6, 0.5)), context, known).combined
    assert str(verdict.confidence) == confidence, verdict.reasons


@pytest.mark.parametrize(("slow", "outcome"), [(5, Outcome.MEMORY), (6, Outcome.CANNOT_TELL)])
def test_mostly_throttled(slow: int, outcome: Outcome) -> None:
    known = {i: StepFacts(1e9 if i < slow else 2e9) for i in range(10)}
    assert judge(phase(**stalls(0.6, 0.5)), N2, known).combined.outcome is outcome


def test_narrowing_sums_the_kept_steps() -> None:
    whole = phase(**stalls(0.6, 0.5))
    part = narrowed(whole, whole.steps[:3])
    assert part.n_tokens == 3
    assert part.duration_s == pytest.approx(0.15)
    assert part.counts["CPU_CYCLES"].value == 3 * CYCLES
    assert part.groups["g0"]["STALL_BACKEND"].value == pytest.approx(1.8 * CYCLES)


def test_narrowing_scales_for_steps_without_a_count() -> None:
    whole = phase(4, **stalls(0.6, 0.5))
    missing = {"CPU_CYCLES": Count(math.nan, 0.0, "g0", NOT_COUNTED, 0)}
    whole.steps[0] = replace(whole.steps[0], counts=missing, groups={"g0": missing})
    cycles = narrowed(whole, whole.steps[:2]).counts["CPU_CYCLES"]
    assert cycles.value == pytest.approx(2 * CYCLES)
    assert cycles.running == pytest.approx(0.5)
    assert cycles.samples == 1
