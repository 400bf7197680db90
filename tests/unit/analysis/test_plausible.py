"""Counts that cannot be are set aside with the reason: events that the core lacks, zeros, more stalls than cycles."""

from __future__ import annotations

import math

import pytest
from judged_phases import phase

from analysis.cores import load
from analysis.phase import FOREIGN, IMPOSSIBLE, OK, Count, Phase
from analysis.plausible import ABOVE, ZEROS, screened

N2, A76, A55, GENERIC = (load(name) for name in ("neoverse-n2-r0p3", "cortex-a76", "cortex-a55", "generic"))


def whole(**counts: float) -> Phase:
    return Phase("any", 0, 0, 0.0, 1.0, [], {event: Count(value) for event, value in counts.items()})


def test_good_counts_stay_what_they_are() -> None:
    given = phase(STALL_BACKEND=0.6, STALL_BACKEND_MEM=0.3)
    kept, reasons = screened(given, N2)
    assert kept is given and reasons == []


@pytest.mark.parametrize("value", [0.0, 3e9])
def test_an_event_that_the_core_lacks_is_no_evidence_whatever_it_counted(value: float) -> None:
    kept, reasons = screened(whole(CPU_CYCLES=1e10, STALL_BACKEND=5e9, STALL_BACKEND_MEM=value), A76)
    count = kept.counts["STALL_BACKEND_MEM"]
    assert count.status == FOREIGN and math.isnan(count.value) and "Cortex-A76 does not have it" in count.why
    assert kept.counts["STALL_BACKEND"].status == OK
    assert len(reasons) == 1 and "STALL_BACKEND_MEM" in reasons[0]


def test_an_event_outside_the_table_is_unknown_and_kept() -> None:
    kept, reasons = screened(whole(CPU_CYCLES=1e10, L2D_TLB_REFILL=0.0), A76)
    assert kept.counts["L2D_TLB_REFILL"].status == OK and not reasons


@pytest.mark.parametrize("zero", ZEROS, ids=lambda zero: f"{zero.event} beside {zero.beside}")
def test_zeros_beside_much(zero: tuple[str, str, float]) -> None:
    event, beside, least = zero
    kept, reasons = screened(whole(**{event: 0.0, beside: least}), GENERIC)
    assert kept.counts[event].status == IMPOSSIBLE and len(reasons) == 1 and "returned 0" in reasons[0]
    few, _ = screened(whole(**{event: 0.0, beside: least - 1}), GENERIC)
    assert few.counts[event].status == OK


def test_one_dead_counter_takes_the_other_zeros_along() -> None:
    kept, reasons = screened(whole(CPU_CYCLES=1e10, INST_RETIRED=0.0, STALL_BACKEND_MEM=0.0, ASE_SPEC=0.0), GENERIC)
    assert {event for event, count in kept.counts.items() if count.status == IMPOSSIBLE} == {
        "INST_RETIRED",
        "STALL_BACKEND_MEM",
        "ASE_SPEC",
    }
    assert len(reasons) == 1


@pytest.mark.parametrize(("event", "beside", "factor"), ABOVE)
def test_more_than_can_be(event: str, beside: str, factor: float) -> None:
    kept, _ = screened(whole(**{event: 1.06e9 * factor, beside: 1e9}), GENERIC)
    assert kept.counts[event].status == IMPOSSIBLE and "cannot be" in kept.counts[event].why
    noise, _ = screened(whole(**{event: 1.04e9 * factor, beside: 1e9}), GENERIC)
    assert noise.counts[event].status == OK


def test_steps_and_groups_are_screened_as_the_phase_is() -> None:
    kept, _ = screened(phase(STALL_BACKEND=0.6, STALL_BACKEND_MEM=0.3), A76)
    counts = [kept.groups["g0"], *(step.counts for step in kept.steps), *(step.groups["g0"] for step in kept.steps)]
    assert {of_span["STALL_BACKEND_MEM"].status for of_span in counts} == {FOREIGN}


@pytest.mark.parametrize("spelling", ["re7", "stall_backend_ld", "stall-backend-ld"])
def test_a_raw_code_has_the_cores_own_name(spelling: str) -> None:
    kept, reasons = screened(whole(CPU_CYCLES=1e9, **{spelling: 3e8}), A55)
    assert kept.counts["STALL_BACKEND_LD"].value == 3e8 and spelling not in kept.counts and not reasons
    other, _ = screened(whole(CPU_CYCLES=1e9, **{spelling: 3e8}), A76)
    assert spelling in other.counts
