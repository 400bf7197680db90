"""Every metric by hand, and why one is missing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from analysis import metrics
from analysis.cores import load
from analysis.formula import NotMeasured, Undefined, parse
from analysis.phase import NOT_COUNTED, NOT_SUPPORTED, Count, Phase

N1, A76 = load("neoverse-n1"), load("cortex-a76")


def phase(counts: dict[str, Count], tokens: int = 10, seconds: float = 2.0) -> Phase:
    return Phase("any", 0, tokens, 0.0, seconds, [], counts)


def plain(**counts: float) -> dict[str, Count]:
    return {event: Count(value, 1.0) for event, value in counts.items()}


def test_metrics_by_hand() -> None:
    counts = plain(
        CPU_CYCLES=1000,
        INST_RETIRED=1500,
        INST_SPEC=2000,
        STALL_BACKEND=400,
        STALL_FRONTEND=50,
        ASE_SPEC=1000,
        VFP_SPEC=20,
        DP_SPEC=300,
        LD_SPEC=500,
        ST_SPEC=100,
        BR_IMMED_SPEC=60,
        BR_INDIRECT_SPEC=20,
        L1D_CACHE_REFILL=30,
        L2D_CACHE_REFILL=15,
        L3D_CACHE_REFILL=3,
        LL_CACHE_MISS_RD=6,
    )
    table = {key: ratio.value for key, ratio in metrics.table(phase(counts), N1).items()}
    missing = {key for key, value in table.items() if isinstance(value, NotMeasured)}
    assert missing == {"m", "mc", "sve", "l1i_mpki", "branch_mpki"}
    assert {key: value for key, value in table.items() if key not in missing} == pytest.approx(
        {
            "ipc": 1.5,
            "be": 0.4,
            "fe": 0.05,
            "ase": 0.5,
            "vfp": 0.01,
            "dp": 0.15,
            "loads": 0.25,
            "stores": 0.05,
            "branches": 0.04,
            "l1d_mpki": 20.0,
            "l1d_per_token": 3.0,
            "l2d_mpki": 10.0,
            "l2d_per_token": 1.5,
            "l3d_mpki": 2.0,
            "l3d_per_token": 0.3,
            "ll_mpki": 4.0,
            "ll_per_token": 0.6,
            "l1d_gbps": 30 * 64 / 2 / 1e9,
            "l1d_mb_per_token": 30 * 64 / 10 / 1e6,
            "l2d_gbps": 15 * 64 / 2 / 1e9,
            "l2d_mb_per_token": 15 * 64 / 10 / 1e6,
            "l3d_gbps": 3 * 64 / 2 / 1e9,
            "l3d_mb_per_token": 3 * 64 / 10 / 1e6,
            "ll_gbps": 6 * 64 / 2 / 1e9,
            "ll_mb_per_token": 6 * 64 / 10 / 1e6,
        }
    )


def test_alternatives_are_tried_in_order() -> None:
    assert metrics.metric(phase(plain(L2D_CACHE_REFILL=5, INST_SPEC=1000)), "l2d_mpki", N1).value == 5.0
    both = plain(L2D_CACHE_REFILL=5, INST_SPEC=1000, INST_RETIRED=500)
    assert metrics.metric(phase(both), "l2d_mpki", N1).value == 10.0
    assert metrics.metric(phase(plain(PC_WRITE_SPEC=50, INST_SPEC=1000)), "branches", N1).value == 0.05


@pytest.mark.parametrize(
    ("core", "counts", "reason"),
    [
        (A76, {}, "Cortex-A76 does not have it"),
        (load("neoverse-n2-r0p3"), {}, "not in the capture"),
        (load("x86"), {}, "x86 CPU does not have it"),
        (A76, {"STALL_BACKEND_MEM": Count(math.nan, 0.0, status=NOT_SUPPORTED)}, "refused"),
        (A76, {"STALL_BACKEND_MEM": Count(math.nan, 0.0, status=NOT_COUNTED)}, "never scheduled"),
    ],
)
def test_missing_says_why(core: object, counts: dict[str, Count], reason: str) -> None:
    ratio = metrics.metric(phase(plain(STALL_BACKEND=5) | counts), "m", core)  # type: ignore[arg-type]
    assert isinstance(ratio.value, NotMeasured)
    assert ratio.value.events == ("STALL_BACKEND_MEM",)
    assert reason in str(ratio.value)


def test_what_few_cores_have_is_said_to_be_rare() -> None:
    ratio = metrics.metric(phase(plain(INST_RETIRED=5)), "be", load("x86"))
    assert "STALL_BACKEND (few x86 CPUs have it); CPU_CYCLES (not in the capture)" in str(ratio.value)
    ratio = metrics.metric(phase(plain(CPU_CYCLES=5)), "be", load("x86"))
    assert str(ratio.value) == "not measured: STALL_BACKEND (few x86 CPUs have it)"


def test_an_event_outside_the_core_files_is_not_denied_to_the_core() -> None:
    ratio = metrics.measure(phase(plain(INST_RETIRED=5)), parse("BR_RETIRED / INST_RETIRED"), A76)
    assert "not in the capture" in str(ratio.value)


def test_parameters() -> None:
    formula = parse("L3D_CACHE_REFILL * LINE / SECONDS")
    counts = plain(L3D_CACHE_REFILL=1000)
    assert metrics.measure(phase(counts), formula, N1).value == 32000.0
    unknown = metrics.measure(phase(counts, seconds=math.nan), formula, N1).value
    assert isinstance(unknown, NotMeasured)
    assert "length of the phase" in str(unknown)
    assert isinstance(
        metrics.measure(phase(counts, tokens=0), parse("L3D_CACHE_REFILL / TOKENS"), N1).value, NotMeasured
    )
    slots = parse("CPU_CYCLES * SLOTS")
    assert metrics.measure(phase(plain(CPU_CYCLES=2)), slots, N1).value == 10.0
    assert metrics.measure(phase(plain(CPU_CYCLES=2)), slots, N1, slots=8).value == 16.0


def test_zero_cycles_are_undefined() -> None:
    assert isinstance(metrics.metric(phase(plain(CPU_CYCLES=0, STALL_BACKEND=0)), "be", N1).value, Undefined)


def test_a_ratio_prefers_the_group_that_has_all_its_events() -> None:
    counts = {"CPU_CYCLES": Count(100.0, 0.9, "g1"), "STALL_BACKEND": Count(30.0, 0.5, "g0")}
    group = {"CPU_CYCLES": Count(50.0, 0.5, "g0"), "STALL_BACKEND": Count(30.0, 0.5, "g0")}
    both = replace(phase(counts), groups={"g0": group, "g1": {"CPU_CYCLES": counts["CPU_CYCLES"]}})
    ratio = metrics.metric(both, "be", N1)
    assert (ratio.value, ratio.together, ratio.running) == (0.6, True, 0.5)
    apart = metrics.metric(phase(counts), "be", N1)
    assert (apart.value, apart.together) == (0.3, False)


def test_windows_of_perfs_rotation() -> None:
    counts = {"CPU_CYCLES": Count(100.0, 1.0), "STALL_BACKEND": Count(30.0, 0.5)}
    # half of two seconds in turns of 4 ms
    assert metrics.metric(phase(counts), "be", N1).windows == pytest.approx(250)


def test_printed_percentages_are_shares() -> None:
    counts = {"metric:Backend Stalled Cycles": Count(84.38, None, unit="%")}
    assert metrics.metric(phase(counts), "be", N1).value == pytest.approx(0.8438)
