"""What a ratio is worth (`verdicts.weigh`): multiplexing, impossible shares, intervals, margins."""

from __future__ import annotations

import pytest
from judged_phases import CYCLES, N2, phase, stalls

from analysis.phase import Count, Phase, Step
from analysis.verdicts import Outcome, judge
from analysis.verdicts.verdict import Check


@pytest.mark.parametrize(("n", "interval"), [(7, False), (8, True)])
def test_steps_for_an_interval(n: int, interval: bool) -> None:
    verdict = judge(phase(n, **stalls(0.6, 0.5)), N2).stalls
    assert all((check.interval is not None) is interval for check in verdict.checks)
    assert any("no interval" in reason for reason in verdict.reasons) is not interval


def _apart(windows: int, running: float) -> Phase:
    """Cycles and stalls in groups that never counted together, each in `windows` calls."""
    cycles = Count(10 * CYCLES, running, "g0", samples=windows)
    stalled = Count(6 * CYCLES, running, "g1", samples=windows)
    counts = {"CPU_CYCLES": cycles, "STALL_BACKEND": stalled, "STALL_FRONTEND": stalled}
    return Phase("any", 0, 10, 0.0, 0.5, [Step(0, 10, 0.0, 0.5, counts, call=0)], counts)


@pytest.mark.parametrize(
    ("windows", "running", "outcome"),
    [
        (10, 0.5, Outcome.BACKEND),
        (9, 0.5, Outcome.CANNOT_TELL),
        (10, 0.30, Outcome.BACKEND),
        (10, 0.29, Outcome.CANNOT_TELL),
    ],
)
def test_events_counted_apart(windows: int, running: float, outcome: Outcome) -> None:
    # with usable back-end stalls, the rule goes on to the memory stalls, which were not measured
    assert judge(_apart(windows, running), N2).stalls.outcome is outcome


@pytest.mark.parametrize(("running", "outcome"), [(0.10, Outcome.MEMORY), (0.09, Outcome.CANNOT_TELL)])
def test_events_counted_together(running: float, outcome: Outcome) -> None:
    assert judge(phase(running=running, **stalls(0.6, 0.5)), N2).stalls.outcome is outcome


@pytest.mark.parametrize(("share", "outcome"), [(1.04, Outcome.BACKEND), (1.06, Outcome.CANNOT_TELL)])
def test_impossible_shares(share: float, outcome: Outcome) -> None:
    assert judge(phase(STALL_BACKEND=share), N2).stalls.outcome is outcome


def test_margins() -> None:
    above, below = Check("m", "m", 0.5, 0.4, True), Check("m", "m", 0.1, 0.2, False)
    assert above.holds and below.holds
    assert above.margin == pytest.approx(0.1)
    assert below.margin == pytest.approx(0.1)
    assert not Check("m", "m", 0.39, 0.4, True).holds
    assert Check("m", "m", 0.5, 0.4, True, interval=(0.39, 0.6)).is_crossed
    assert not Check("m", "m", 0.5, 0.4, True, interval=(0.41, 0.6)).is_crossed
