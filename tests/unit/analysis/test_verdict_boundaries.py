"""Each threshold from both sides, and what must not be concluded: on phases built by hand, without any file."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from analysis.cores import load
from analysis.phase import NOT_COUNTED, Count, Phase, Step
from analysis.verdicts import Context, Outcome, StepFacts, gather, judge, judge_step
from analysis.verdicts.evidence import narrowed
from analysis.verdicts.verdict import Check

N2 = Context(load("neoverse-n2-r0p3"))
CYCLES = 1e8


def phase(
    n: int = 10, n_eval: int = 1, seconds: float = 0.05, bin_s: float = math.nan, running: float = 1.0, **shares: float
) -> Phase:
    """`n` equal steps with counts given per cycle, all in one group."""
    step_counts = {"CPU_CYCLES": Count(CYCLES, running, "g0")}
    step_counts |= {event: Count(CYCLES * share, running, "g0") for event, share in shares.items()}
    steps = [Step(512 + i, n_eval, i * seconds, seconds, step_counts, {"g0": step_counts}, i) for i in range(n)]
    total = {event: replace(count, value=n * count.value, samples=n) for event, count in step_counts.items()}
    return Phase("any", 0, n * n_eval, 0.0, n * seconds, steps, total, {"g0": total}, bin_s=bin_s)


def stalls(be: float, m: float, **more: float) -> dict[str, float]:
    return {"STALL_BACKEND": be, "STALL_BACKEND_MEM": be * m, **more}


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        (stalls(0.1499, 0.9, STALL_FRONTEND=0.0), Outcome.RETIRING),
        (stalls(0.15, 0.9, STALL_FRONTEND=0.0), Outcome.MEMORY),
        (stalls(0.6, 0.4), Outcome.MEMORY),
        (stalls(0.6, 0.3999), Outcome.MIXED),
        (stalls(0.2, 0.5), Outcome.MEMORY),
        (stalls(0.199, 0.5), Outcome.MIXED),
        (stalls(0.6, 0.2), Outcome.COMPUTE_BY_STALLS),
        (stalls(0.6, 0.2001), Outcome.MIXED),
        (stalls(0.05, 0.0, STALL_FRONTEND=0.15), Outcome.FRONTEND),
        (stalls(0.05, 0.0, STALL_FRONTEND=0.1499), Outcome.RETIRING),
        (stalls(0.6, 0.1, INST_SPEC=1.0, ASE_SPEC=0.4, VFP_SPEC=0.0, DP_SPEC=0.1), Outcome.COMPUTE),
        (stalls(0.6, 0.1, INST_SPEC=1.0, ASE_SPEC=0.4, VFP_SPEC=0.0, DP_SPEC=0.0999), Outcome.CORE_UNCLEAR),
        (stalls(0.6, 0.1, INST_RETIRED=1.0, L2D_CACHE_REFILL=0.005), Outcome.COMPUTE),
        (stalls(0.6, 0.1, INST_RETIRED=1.0, L2D_CACHE_REFILL=0.0051), Outcome.CORE_UNCLEAR),
    ],
)
def test_stall_thresholds(counts: dict[str, float], outcome: Outcome) -> None:
    assert judge(phase(**counts), N2).stalls.outcome is outcome


# bytes a second are refills x 64 / time: here per cycle, at 2e9 cycles a second, of a peak of 1e9 bytes/s
def _gbps(share: float) -> float:
    return share * 1e9 / 64 / (CYCLES / 0.05)


@pytest.mark.parametrize(
    ("share", "outcome"),
    [
        (0.651, Outcome.MEMORY),
        (0.649, Outcome.MIXED),
        (0.351, Outcome.MIXED),
        (0.349, Outcome.COMPUTE),
        (1.09, Outcome.MEMORY),
        (1.11, Outcome.CANNOT_TELL),
    ],
)
def test_roofline_thresholds(share: float, outcome: Outcome) -> None:
    verdict = judge(phase(L3D_CACHE_REFILL=_gbps(share)), replace(N2, read_peak=1e9)).roofline
    assert verdict.outcome is outcome, verdict.text


@pytest.mark.parametrize(
    ("expected_share", "bound", "outcome"),
    [(0.71, "", Outcome.COMPUTE), (0.69, "a lower bound", Outcome.CANNOT_TELL)],
)
def test_refills_below_the_models_bytes_are_a_lower_bound(expected_share: float, bound: str, outcome: Outcome) -> None:
    counted = 0.3 * 1e9 * 0.05  # bytes a token at 30 % of the peak
    context = replace(N2, read_peak=1e9, model_bytes=counted / expected_share)
    verdict = judge(phase(L3D_CACHE_REFILL=_gbps(0.3)), context).roofline
    assert verdict.outcome is outcome, (bound, verdict.text)


@pytest.mark.parametrize(("model_bytes", "is_used"), [(256e6, True), (255e6, False)])
def test_a_model_that_fits_a_cache_proves_no_traffic(model_bytes: float, is_used: bool) -> None:
    context = replace(N2, read_peak=model_bytes / 0.05 / 0.8, model_bytes=model_bytes)
    verdict = judge(phase(), context).roofline
    assert (verdict.outcome is Outcome.MEMORY) is is_used


def test_kv_cache_counts_as_bytes_of_a_token() -> None:
    context = replace(N2, read_peak=1e12, model_bytes=1e6, kv_bytes=1000.0)
    remarks = judge(phase(L3D_CACHE_REFILL=_gbps(0.9)), context).roofline.remarks
    # ten steps from position 512: 1e6 + 1000 * mean(513..522)
    assert any("1.5 MB" in remark for remark in remarks), remarks


def test_the_models_bytes_say_nothing_of_a_batch() -> None:
    context = replace(N2, read_peak=1e9, model_bytes=1e9)
    assert judge(phase(n_eval=8), context).roofline.outcome is Outcome.NOT_MEASURED
    assert judge(phase(n_eval=1), context).roofline.outcome is not Outcome.NOT_MEASURED


@pytest.mark.parametrize(
    ("backend", "outcome"),
    [(1.99, Outcome.RETIRING), (2.0, Outcome.MEMORY)],
)
def test_slot_threshold(backend: float, outcome: Outcome) -> None:
    context = Context(load("neoverse-v3"))
    rest = {"STALL_SLOT_FRONTEND": 0.5, "STALL_SLOT": backend + 0.5, "OP_RETIRED": 1.0, "OP_SPEC": 1.0}
    flush = {"STALL_FRONTEND_FLUSH": 0.0}
    level2 = {"STALL_BACKEND": 0.5, "STALL_BACKEND_MEMBOUND": 0.4, "STALL_BACKEND_CPUBOUND": 0.1}
    judged = judge(phase(STALL_SLOT_BACKEND=backend, **rest, **flush, **level2), context)
    assert judged.topdown.outcome is outcome, judged.topdown.text


@pytest.mark.parametrize(
    ("memory", "core", "outcome"),
    [
        (0.5501, 0.4499, Outcome.MEMORY),
        (0.5499, 0.4501, Outcome.MIXED),
        (0.4499, 0.5501, Outcome.COMPUTE_BY_STALLS),
    ],
)
def test_level_2_lead(memory: float, core: float, outcome: Outcome) -> None:
    level2 = {"STALL_BACKEND": 0.5, "STALL_BACKEND_MEMBOUND": 0.5 * memory, "STALL_BACKEND_CPUBOUND": 0.5 * core}
    judged = judge(phase(STALL_SLOT_BACKEND=3.0, **level2), Context(load("neoverse-v3")))
    assert judged.topdown.outcome is outcome, judged.topdown.text


def test_unmeasured_classes_could_be_the_largest() -> None:
    few = {"STALL_SLOT_BACKEND": 0.5, "STALL_SLOT_FRONTEND": 1.5, "BR_MIS_PRED": 0.0}
    assert judge(phase(**few), N2).topdown.outcome is Outcome.NOT_BACKEND
    most = few | {"STALL_SLOT_FRONTEND": 2.5}
    assert judge(phase(**most), N2).topdown.outcome is Outcome.FRONTEND


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


@pytest.mark.parametrize(("n", "interval"), [(7, False), (8, True)])
def test_steps_for_an_interval(n: int, interval: bool) -> None:
    verdict = judge(phase(n, **stalls(0.6, 0.5)), N2).stalls
    assert all((check.interval is not None) is interval for check in verdict.checks)
    assert any("no interval" in reason for reason in verdict.reasons) is not interval


@pytest.mark.parametrize(
    ("lowest", "confidence", "kept"),
    [(0.951, "high", 10), (0.949, "medium", 10), (0.901, "medium", 10), (0.899, "medium", 9)],
)
def test_frequency_drift(lowest: float, confidence: str, kept: int) -> None:
    known = {i: StepFacts(2e9 * (lowest if i == 9 else 1.0)) for i in range(10)}
    context = replace(N2, read_peak=1e9)
    evidence = gather(phase(**stalls(0.6, 0.5)), context, known)
    assert len(evidence.steps) == kept
    verdict = judge(phase(L3D_CACHE_REFILL=_gbps(0.9), **stalls(0.6, 0.5)), context, known).combined
    assert str(verdict.confidence) == confidence, verdict.reasons


@pytest.mark.parametrize(("slow", "outcome"), [(5, Outcome.MEMORY), (6, Outcome.CANNOT_TELL)])
def test_mostly_throttled(slow: int, outcome: Outcome) -> None:
    known = {i: StepFacts(1e9 if i < slow else 2e9) for i in range(10)}
    assert judge(phase(**stalls(0.6, 0.5)), N2, known).combined.outcome is outcome


def _apart(windows: int, running: float) -> Phase:
    """Cycles and stalls in groups that never counted together, each in `windows` calls."""
    cycles = Count(10 * CYCLES, running, "g0", samples=windows)
    stalled = Count(6 * CYCLES, running, "g1", samples=windows)
    return Phase(
        "any", 0, 10, 0.0, 0.5, [], {"CPU_CYCLES": cycles, "STALL_BACKEND": stalled, "STALL_FRONTEND": stalled}
    )


@pytest.mark.parametrize(
    ("windows", "running", "outcome"),
    [
        (10, 0.5, Outcome.NOT_MEASURED),
        (9, 0.5, Outcome.CANNOT_TELL),
        (10, 0.30, Outcome.NOT_MEASURED),
        (10, 0.29, Outcome.CANNOT_TELL),
    ],
)
def test_events_counted_apart(windows: int, running: float, outcome: Outcome) -> None:
    # with usable back-end stalls, the rule goes on to the memory stalls, which were not measured
    assert judge(_apart(windows, running), N2).stalls.outcome is outcome


@pytest.mark.parametrize(("running", "outcome"), [(0.10, Outcome.MEMORY), (0.09, Outcome.CANNOT_TELL)])
def test_events_counted_together(running: float, outcome: Outcome) -> None:
    assert judge(phase(running=running, **stalls(0.6, 0.5)), N2).stalls.outcome is outcome


@pytest.mark.parametrize(("share", "outcome"), [(1.04, Outcome.NOT_MEASURED), (1.06, Outcome.CANNOT_TELL)])
def test_impossible_shares(share: float, outcome: Outcome) -> None:
    assert judge(phase(STALL_BACKEND=share), N2).stalls.outcome is outcome


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


def test_margins() -> None:
    above, below = Check("m", "m", 0.5, 0.4, True), Check("m", "m", 0.1, 0.2, False)
    assert above.holds and below.holds
    assert above.margin == pytest.approx(0.1)
    assert below.margin == pytest.approx(0.1)
    assert not Check("m", "m", 0.39, 0.4, True).holds
    assert Check("m", "m", 0.5, 0.4, True, interval=(0.39, 0.6)).is_crossed
    assert not Check("m", "m", 0.5, 0.4, True, interval=(0.41, 0.6)).is_crossed
