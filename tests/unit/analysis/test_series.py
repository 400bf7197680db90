"""Rows gathered by event and scope (`series`)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, OK
from analysis.series import FEW_SERIES, series_of
from analysis.table import TableBuilder


def test_series_are_one_for_each_event_and_scope() -> None:
    builder = TableBuilder()
    for start in (0.0, 1.0):
        for cpu in (0, 1):
            builder.add("CPU_CYCLES", 10.0 * cpu, start_s=start, duration_s=1.0, scope=f"cpu:{cpu}")
    builder.add(METRIC_PREFIX + "ipc", 1.5, start_s=0.0, duration_s=1.0)
    frame = builder.frame()
    found, notes = series_of(frame)
    assert [(one.event, one.scope) for one in found] == [
        ("CPU_CYCLES", "cpu:0"),
        ("CPU_CYCLES", "cpu:1"),
        (METRIC_PREFIX + "ipc", ""),
    ]
    assert not notes and found[1].intervals().split(np.array([0.0]), np.array([2.0])).measured[0] == 20.0


@pytest.mark.parametrize(
    ("spellings", "used", "note"),
    [
        (("cycles", "cpu_cycles"), ["cycles"], "cycles, cpu_cycles are all CPU_CYCLES; cycles is used"),
        (("cycles:u", "cycles"), ["cycles"], "cycles:u, cycles are all CPU_CYCLES; cycles is used"),
        (
            ("cycles:k", "cycles:u"),
            ["cycles:k", "cycles:u"],
            "cycles:k, cycles:u are all CPU_CYCLES; cycles:u and cycles:k are added and used",
        ),
        (("cycles:u", "cpu_cycles:u"), ["cycles:u"], "cycles:u, cpu_cycles:u are all CPU_CYCLES; cycles:u is used"),
    ],
)
def test_two_names_of_an_event_are_two_readings(spellings: tuple[str, str], used: list[str], note: str) -> None:
    builder = TableBuilder()
    for source in spellings:
        builder.add("CPU_CYCLES", 5.0, start_s=0.0, duration_s=1.0, source=source)
    found, notes = series_of(builder.frame())
    assert [one.source for one in found] == used and notes == [note]


def test_an_interval_that_stands_twice_counts_once() -> None:
    builder = TableBuilder()
    for start, value in ((1.0, 3.0), (0.0, 5.0), (1.0, 100.0)):
        builder.add("CPU_CYCLES", value, start_s=start, duration_s=1.0, source="cycles")
    (one,), notes = series_of(builder.frame())
    assert one.intervals().split(np.array([0.0]), np.array([2.0])).measured[0] == 8.0
    assert notes == ["listed more than once, the first is used: cycles"]


def test_percentiles_are_set_aside() -> None:
    builder = TableBuilder()
    builder.add(METRIC_PREFIX + "ipc", 1.5, start_s=0.0)
    builder.add(METRIC_PREFIX + "ipc", 2.5, start_s=0.0, scope="stat:p90")
    found, notes = series_of(builder.frame())
    assert [(one.scope, one.total.value, one.has_intervals) for one in found] == [("", 1.5, False)] and not notes


def test_what_was_not_counted_says_which_of_the_two_it_is() -> None:
    builder = TableBuilder()
    builder.add("STALL_BACKEND", math.nan, start_s=0.0, status=NOT_SUPPORTED)
    builder.add("INST_RETIRED", math.nan, start_s=0.0, status=NOT_COUNTED)
    builder.add("CPU_CYCLES", 7.0, start_s=0.0, running=0.5)
    found = {one.event: one for one in series_of(builder.frame())[0]}
    assert found["STALL_BACKEND"].total.status == NOT_SUPPORTED and not found["STALL_BACKEND"].has_values
    assert found["INST_RETIRED"].total.status == NOT_COUNTED and not found["INST_RETIRED"].has_values
    assert (found["CPU_CYCLES"].total.status, found["CPU_CYCLES"].total.running) == (OK, 0.5)


def test_idle_intervals_missed_nothing() -> None:
    """Not counted with a share of 1: the workload did not run. With a share of 0 other events had the counters."""
    builder = TableBuilder()
    for start, running in ((0.0, 1.0), (1.0, 0.0)):
        builder.add("CPU_CYCLES", math.nan, start_s=start, duration_s=1.0, status=NOT_COUNTED, running=running)
    (one,), _ = series_of(builder.frame())
    tally = one.intervals().split(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert tally.counted_s.tolist() == [1.0, 0.0] and tally.measured.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("n_scopes", [3, FEW_SERIES + 6])
def test_few_series_and_many_are_gathered_alike(n_scopes: int) -> None:
    builder = TableBuilder()
    for start in range(3):
        for cpu in reversed(range(n_scopes)):
            builder.add("CPU_CYCLES", float(cpu), start_s=float(start), duration_s=1.0, scope=f"cpu:{cpu}")
    found, _ = series_of(builder.frame())
    assert [one.scope for one in found] == [f"cpu:{cpu}" for cpu in reversed(range(n_scopes))]
    sums = [one.intervals().split(np.array([0.0]), np.array([3.0])).measured[0] for one in found]
    assert sums == [3.0 * cpu for cpu in reversed(range(n_scopes))]


def test_as_many_pairs_of_names_as_rows() -> None:
    """Thousands of events under as many spellings: no place is kept for each pair."""
    builder = TableBuilder()
    for n in range(3000):
        builder.add(f"r{n + 4096:x}", float(n), running=1.0, source=f"R{n + 4096:x}")
    series, notes = series_of(builder.frame())
    assert len(series) == 3000 and not notes
    assert [float(one.values()[0]) for one in series[:3]] == [0.0, 1.0, 2.0]
