"""Runs of one file apart, and rows that belong to no run. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans, written

from analysis.errors import AnalysisError
from analysis.readers import read
from analysis.table import Table


def values(table: Table) -> list[list[float | None]]:
    return [[r[2] for r in readings(run)] for run in (table, *table.runs)]


def csv(*counts: int) -> str:
    return "".join(f"{n},,{e},1000,100.00,,\n" for n, e in zip(counts, ("cycles", "instructions"), strict=False))


def test_appended_csv(tmp_path: Path) -> None:
    """`perf stat --append -o FILE` begins each run with its date."""
    text = f"# started on Mon\n\n{csv(1, 2)}# started on Tue\n\n{csv(3, 4)}# started on Wed\n\n{csv(5, 6)}"
    table = parsed(tmp_path, text)
    assert values(table) == [[1, 2], [3, 4], [5, 6]]
    assert [run.meta["started"] for run in (table, *table.runs)] == ["Mon", "Tue", "Wed"]


def test_runs_without_a_line_between(tmp_path: Path) -> None:
    """`perf stat -x, … 2>> FILE`: the same rows from the first on."""
    assert values(parsed(tmp_path, csv(1, 2) + csv(3, 4))) == [[1, 2], [3, 4]]
    jsons = "".join(
        f'{{"counter-value" : "{n}", "event" : "{e}", "event-runtime" : 5, "pcnt-running" : 100.00}}\n'
        for n, e in ((1, "cycles"), (2, "instructions"), (3, "cycles"), (4, "instructions"))
    )
    assert values(parsed(tmp_path, jsons)) == [[1, 2], [3, 4]]


def test_appended_text_has_times_of_its_own(tmp_path: Path) -> None:
    run = " Performance counter stats for '{}':\n\n   {}      cycles\n\n     {} seconds time elapsed\n\n"
    table = parsed(tmp_path, run.format("a", 1, "1.5") + run.format("b", 2, "2.5") + "Some events weren't counted.\n")
    assert values(table) == [[1], [2]]
    assert [(t.meta["target"], spans(t)) for t in (table, *table.runs)] == [("a", [(0, 1.5)]), ("b", [(0, 2.5)])]
    assert "1 line(s) around perf's table skipped" in table.notes


def test_appended_intervals(tmp_path: Path) -> None:
    rows = "".join(f"     {t:.9f},{n},,cycles,1000,100.00,,\n" for t, n in ((1, 1), (2, 2), (1.1, 3), (2.1, 4)))
    table = parsed(tmp_path, rows)
    assert values(table) == [[1, 2], [3, 4]]
    assert spans(table.runs[0]) == [(0, 1.1), (1.1, 2.1)]


def test_rows_with_and_without_time(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="rows with and without a time are mixed"):
        read(written(tmp_path, csv(1) + "     1.000000000,5,,instructions,1000,100.00,,\n"))


def test_x86_by_its_metrics(tmp_path: Path) -> None:
    text = csv(1) + ",1000,100.00,,,,TopdownL1\n,,,,,70.1,%  tma_backend_bound\n"
    assert parsed(tmp_path, text).meta["arch"] == "x86_64"
