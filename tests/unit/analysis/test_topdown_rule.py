"""The top-down rule (`verdicts.topdown_rule`) at its thresholds."""

from __future__ import annotations

import pytest
from judged_phases import N2, phase

from analysis.cores import load
from analysis.verdicts import Context, Outcome, judge


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
