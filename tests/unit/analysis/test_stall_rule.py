"""The stall rule (`verdicts.stall_rule`) at its thresholds."""

from __future__ import annotations

import pytest
from judged_phases import N2, phase, stalls

from analysis.verdicts import Outcome, judge


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
