"""Breakdowns as tables (`reports.breakdown_rows`)."""

from __future__ import annotations

import math
from pathlib import Path

import synthetic_captures as captures
from analysis_commands import HEADER, PARTS

from analysis import breakdown
from analysis.breakdown import Breakdown, Part
from analysis.judging import Capture, Options, load
from analysis.reports import breakdown_rows, summary


def test_counts_of_events_that_rules_read(counted: Capture) -> None:
    assert all(breakdown_rows.has_counts(phase) for phase in counted.judged())


def test_rows_of_a_breakdown(timed: Capture) -> None:
    tokens = timed.judged()[1]
    found = breakdown.of_phase(tokens, timed.table)
    assert found is not None
    rows = breakdown_rows.table(found, found.operations, "by operation", 8).shown()
    assert rows[0][0] == "gemm" and rows[0][1] == "85.1 %"
    assert not breakdown_rows.has_counts(tokens)
    assert summary.of_phase(tokens, timed).verdict == "gemm takes 85.1 % of the time"


def test_what_is_not_known_stays_empty() -> None:
    known = Part("gemm", 0.75, 1.5e-3, 12.34e9, "weights", 5e9)
    waiting = Part("barrier", 0.25, 5e-4, math.nan, "", math.nan)
    found = Breakdown(True, [known, waiting], [])
    table = breakdown_rows.table(found, found.operations, "by operation", 8)
    titles = ["by operation", "share of time", "ms/token", "GB/s", "GOP/s", "bytes by"]
    assert [column.title for column in table.columns] == titles
    assert table.shown() == [
        ["gemm", "75.0 %", "1.500", "12.3", "5.000", "weights"],
        ["barrier", "25.0 %", "0.500", "", "", "waiting for other threads"],
    ]
    assert list(table.hues) == ["blue", "vermillion"]


def test_shares_of_instructions_have_no_times() -> None:
    found = Breakdown(False, [Part("gemm", 1.0, 1234567.0, math.nan, "", math.nan)], [])
    table = breakdown_rows.table(found, found.operations, "by operation", 8)
    assert [column.title for column in table.columns[1:]] == ["share of instructions", "instructions/token"]
    assert table.shown() == [["gemm", "100.0 %", "1,234,567"]]


def test_lines_of_time_and_size(counted: Capture) -> None:
    prompt, tokens = (dict(breakdown_rows.lines(phase)) for phase in counted.judged())
    assert tokens["steps"].startswith("median 20 ms, 90 % of them between ")
    assert tokens["weights"].startswith("600.0 MB a token make 30.00 GB/s, ")
    assert " % of the read peak; " in tokens["weights"]
    assert prompt["weights"].startswith("600.0 MB a call make 0.67 GB/s, ")
    assert tokens["weights"].endswith("indicative: from the model's size, not from counters")


def assumed(folder: Path, assume: tuple[float, float] | None) -> Capture:
    header = HEADER | {"emulated": "yes", "arch": "aarch64"}
    rates = {"INST_RETIRED": 2e9}
    path = folder / "synthetic.csv"
    captures.write_per_op(path, PARTS, threads=2, prompt=16, n_decode=8, header=header, counts_per_second=rates)
    return load(path, Options(assume=assume))


def test_an_emulators_clock_has_no_lines(tmp_path: Path) -> None:
    capture = assumed(tmp_path, None)
    for phase in capture.judged():
        assert breakdown_rows.lines(phase) == [] and breakdown_rows.projected(phase, capture) is None


def test_a_projection_says_what_it_is_and_what_it_lacks(tmp_path: Path) -> None:
    capture = assumed(tmp_path, (40e9, 200e9))
    found = breakdown_rows.projected(capture.judged()[1], capture)
    assert found is not None
    title = breakdown_rows.projection_title(found)
    assert title.startswith("PROJECTION, not measured, on an assumed machine of 40 GB/s and 200 GOP/s: ")
    assert title.endswith("tokens/s at best; without attention, rms_norm")
    table = breakdown_rows.projection_table(found)
    assert [column.title for column in table.columns] == ["projected", "share", "ms/token", "limit"]
    assert table.shown() == [["gemm", "100.0 %", "0.0590", "bandwidth, bytes by weights"]]
