"""Counts over CPUs, groups and levels (`scopes`): what a ratio is taken over, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed

from analysis.cores import load
from analysis.cutting import cut
from analysis.metrics import metric
from analysis.phase import IMPOSSIBLE, Phase
from analysis.scopes import without_parts

GENERIC = load("generic")


def _phase(tmp_path: Path, *rows: tuple[str, str, str, float]) -> Phase:
    lines = [f"{scope}{value},,{event},1000000,{share:.2f},,\n" for scope, value, event, share in rows]
    (phase,) = cut(parsed(tmp_path, "".join(lines)))
    return phase


def test_a_ratio_is_over_the_cpus_that_have_all_of_its_events(tmp_path: Path) -> None:
    phase = _phase(
        tmp_path,
        ("CPU0,", "1000", "cycles", 100),
        ("CPU0,", "100", "stall_backend", 100),
        ("CPU1,", "9000", "cycles", 100),
        ("CPU1,", "<not counted>", "stall_backend", 0),
    )
    ratio = metric(phase, "be", GENERIC)
    assert ratio.number() == pytest.approx(0.1)
    assert ratio.doubt == "over 1 of 2 CPUs: the others lack STALL_BACKEND"
    assert phase.counts["CPU_CYCLES"].value == 10_000  # a count alone is of all of them


def test_few_cycles_left_out_are_a_remark(tmp_path: Path) -> None:
    phase = _phase(
        tmp_path,
        ("CPU0,", "1000", "cycles", 100),
        ("CPU0,", "100", "stall_backend", 100),
        ("CPU1,", "9", "cycles", 100),
        ("CPU1,", "<not counted>", "stall_backend", 0),
    )
    ratio = metric(phase, "be", GENERIC)
    assert (ratio.doubt, ratio.remark) == ("", "over 1 of 2 CPUs: the others lack STALL_BACKEND")


def test_complete_scopes_keep_no_parts(tmp_path: Path) -> None:
    rows = [(f"CPU{cpu},", "1000", event, 100.0) for cpu in (0, 1) for event in ("cycles", "stall_backend")]
    phase = _phase(tmp_path, *rows)
    assert phase.parts == {} and metric(phase, "be", GENERIC).number() == 1.0


def test_levels_are_never_mixed(tmp_path: Path) -> None:
    phase = _phase(tmp_path, ("", "1000", "cycles", 100), ("", "400", "stall_backend:u", 100))
    ratio = metric(phase, "be", GENERIC)
    assert str(ratio.value) == (
        "no evidence: STALL_BACKEND was counted in user space alone, :u, CPU_CYCLES was counted everywhere: "
        "these make no ratio"
    )


def test_the_level_that_all_events_have_is_used(tmp_path: Path) -> None:
    phase = _phase(
        tmp_path, ("", "1000", "cycles", 100), ("", "500", "cycles:u", 100), ("", "400", "stall_backend:u", 100)
    )
    assert metric(phase, "be", GENERIC).number() == pytest.approx(0.8)
    assert phase.counts["CPU_CYCLES"].value == 1000


def test_one_level_alone_is_said(tmp_path: Path) -> None:
    phase = _phase(tmp_path, ("", "1000", "cycles:k", 100), ("", "400", "stall_backend:k", 100))
    assert phase.notes == ["counted in the kernel alone (:k)"]


def test_readings_that_contradict_are_none(tmp_path: Path) -> None:
    phase = _phase(
        tmp_path, ("", "1000", "cycles", 100), ("", "400", "stall_backend", 100), ("", "90", "stall_backend", 100)
    )
    count = phase.counts["STALL_BACKEND"]
    assert count.status == IMPOSSIBLE and "listed as 400 and as 90" in count.why


def test_two_names_of_one_pmu_are_one_event(tmp_path: Path) -> None:
    phase = _phase(tmp_path, ("", "1000", "cycles", 100), ("", "1000", "armv8_pmuv3_0/cycles/", 100))
    assert phase.counts["CPU_CYCLES"].value == 1000


def test_threads_keep_their_number_when_they_change_their_name(tmp_path: Path) -> None:
    phase = _phase(tmp_path, ("a-7,", "1000", "cycles", 100), ("b-7,", "400", "stall_backend", 100))
    assert metric(phase, "be", GENERIC).number() == pytest.approx(0.4)


def test_readings_of_one_ratio_that_differ_are_doubted(tmp_path: Path) -> None:
    phase = _phase(
        tmp_path,
        ("", "1000", "cycles", 50.0),
        ("", "400", "stall_backend", 50.0),
        ("", "7", "r70", 50.0),
        ("", "1000", "cycles", 49.9),
        ("", "50", "stall_backend", 49.9),
    )
    assert "was read more than once and differs: 0.05 to 0.4" in metric(phase, "be", GENERIC).doubt


def test_nothing_is_left_out_where_there_are_no_parts() -> None:
    assert without_parts([]) == ([], [])
