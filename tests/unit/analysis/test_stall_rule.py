"""The stall rule (`verdicts.stall_rule`) at its thresholds."""

from __future__ import annotations

import pytest
from judged_phases import CYCLES, N2, phase, stalls

from analysis.cores import load
from analysis.verdicts import Confidence, Context, Outcome, judge


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


@pytest.mark.parametrize(
    ("memory", "front", "outcome", "confidence"),
    [
        (0.40, 0.0, Outcome.MEMORY, Confidence.MEDIUM),  # the back end stalls in no more than all cycles
        (0.3999, 0.0, Outcome.BACKEND, Confidence.LOW),
        (0.15, 0.1499, Outcome.BACKEND, Confidence.LOW),
        (0.1499, 0.0, Outcome.NOT_MEASURED, Confidence.NONE),
        (0.45, 0.46, Outcome.NOT_MEASURED, Confidence.NONE),  # the front end may stall more than the back end does
        (0.45, 0.44, Outcome.MEMORY, Confidence.MEDIUM),
    ],
)
def test_memory_stalls_without_those_that_hold_them(
    memory: float, front: float, outcome: Outcome, confidence: Confidence
) -> None:
    judged = judge(phase(STALL_BACKEND_MEM=memory, STALL_FRONTEND=front), N2).stalls
    assert judged.outcome is outcome and judged.confidence <= confidence
    assert any(
        f"memory stalls alone are {100 * memory:.1f} % of cycles" in text for text in (judged.text, *judged.reasons)
    )


def test_loads_and_stores_that_stall_may_hit_the_l2() -> None:
    a510 = Context(core=load("cortex-a510"))
    found = judge(phase(STALL_BACKEND_LD=0.3, STALL_BACKEND_ST=0.3), a510)
    assert found.stalls.outcome is Outcome.BACKEND and "re7" not in "".join(found.stalls.remarks)


@pytest.mark.parametrize(("stalled", "slots"), [(0.5, 60.0), (0.02, 60.0), (0.5, None)])
def test_x86_counts_stalls_of_its_own(stalled: float, slots: float | None) -> None:
    """Beside perf's slots they decide nothing, not even against them; alone they are worth little."""
    printed = {} if slots is None else {"metric:backend_bound": slots / CYCLES}
    found = judge(phase(1, STALL_BACKEND=stalled, STALL_FRONTEND=0.01, **printed), Context(core=load("x86")))
    assert found.combined.outcome is Outcome.BACKEND
    assert found.stalls.deferred is (slots is not None)
    assert found.combined.confidence is (Confidence.LOW if slots is None else Confidence.MEDIUM)
