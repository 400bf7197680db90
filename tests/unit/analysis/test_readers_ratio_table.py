"""Tables of PMU ratios with percentiles. All input is synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture_tables import parsed, readings, spans

from analysis.errors import AnalysisError
from analysis.readers.ratio_table import FORMAT

HEAD = "|Ratio               |   geomean|       p10|     p99.9|\n"
ROW = "|stall_backend_mem_pkc|     90.73|     83.97|     99.10|\n"


def test_the_mean_counts_and_percentiles_have_scopes(tmp_path: Path) -> None:
    table = parsed(tmp_path, "+----+----+\n" + HEAD + "|----|----|----|----|\n" + ROW + "|Backend Bound|1.5|1|2e1|\n")
    assert readings(table) == [
        ("", "metric:stall_backend_mem_pkc", 90.73, "ok", None),
        ("stat:p10", "metric:stall_backend_mem_pkc", 83.97, "ok", None),
        ("stat:p99.9", "metric:stall_backend_mem_pkc", 99.1, "ok", None),
        ("", "metric:backend_bound", 1.5, "ok", None),
        ("stat:p10", "metric:backend_bound", 1.0, "ok", None),
        ("stat:p99.9", "metric:backend_bound", 20.0, "ok", None),
    ]
    assert set(table.frame["source"]) == {"stall_backend_mem_pkc", "Backend Bound"}
    assert {start for start, _ in spans(table)} == {0.0}
    assert table.meta["format"] == FORMAT == "pmu-ratio-table"
    assert table.notes == ["ratios only, no counts: the geometric mean is used"]


def test_what_a_terminal_shows_around_it(tmp_path: Path) -> None:
    table = parsed(tmp_path, "$ ./aggregate_pmu_data.py\nsome words\n\n" + HEAD + ROW + "rc=0\n")
    assert len(table.frame) == 3


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("|ipc|1|2|\n", "3 cells, expected 4"),
        ("|ipc|1|2|3|4|\n", "5 cells, expected 4"),
        ("|ipc|1|x|3|\n", "p10 of ipc should be a number, found 'x'"),
        ("|ipc|1|-2|3|\n", "p10 of ipc should be a number, found '-2'"),
        ("|ipc|1e999|2|3|\n", "geomean of ipc 1e999 is too large"),
        ("| |1|2|3|\n", "the event has no name"),
        ("|\x1b[2J|1|2|3|\n", "is no event name"),
    ],
)
def test_malformed_rows(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(AnalysisError) as problem:
        parsed(tmp_path, HEAD + ROW + row)
    assert "line 3: " in str(problem.value) and reason in str(problem.value) and "\x1b" not in str(problem.value)
    table = parsed(tmp_path, HEAD + ROW + row, lenient=True)
    assert len(table.frame) == 3 and table.notes[0].startswith("1 malformed row(s) skipped; the first is line 3: ")


@pytest.mark.parametrize("columns", ["average|p10", "geomean|fastest", "geomean|p", "geomean|p10|geomean"])
def test_other_columns_are_refused(tmp_path: Path, columns: str) -> None:
    with pytest.raises(AnalysisError, match="line 1: expected the columns Ratio, geomean and percentiles"):
        parsed(tmp_path, f"|Ratio|{columns}|\n|ipc|1|2|\n", format=FORMAT)


def test_a_head_without_rows(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no ratios in it"):
        parsed(tmp_path, HEAD)
