"""What readers of comma-separated exports share, and the table of ratios with percentiles."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from capture_tables import parsed, readings

from analysis.errors import AnalysisError
from analysis.readers.csv_rows import cell_number, fields_of, seconds
from analysis.readers.perf_rows import Malformed
from analysis.readers.ratio_table import FORMAT

RATIOS = """\
|Ratio                |geomean|p10  |p50  |
|---------------------|-------|-----|-----|
|ipc                  |  1.25 | 0.75| 1.5 |
|stall_backend_mem_pkc| 90.73 |83.97|90.71|
"""


def test_cells_of_a_line() -> None:
    assert fields_of('a, "b, c" ,') == ["a", '"b', 'c"', ""]
    assert fields_of('a,"b, c",') == ["a", "b, c", ""]
    assert fields_of("") == []
    with pytest.raises(Malformed, match="not comma-separated values"):
        fields_of('a,"b')


def test_numbers_of_cells() -> None:
    assert math.isnan(cell_number("", "x"))
    assert cell_number("-1.5e3", "x") == -1500
    for text in ("1,5", "nan", "inf", "1e999", "0x10", "18446744073709551616"):
        with pytest.raises(Malformed, match=f"x should be a number, found '{text}'"):
            cell_number(text, "x")


@pytest.mark.parametrize(("text", "expected"), [("12.345", 12.345), ("1:02.5", 62.5), ("1:00:01.5", 3601.5)])
def test_times_of_cells(text: str, expected: float) -> None:
    assert seconds(text, "x") == expected


def test_times_that_are_none() -> None:
    for text in ("-1", "", "1:2:3:4"):
        with pytest.raises(Malformed, match="x should be"):
            seconds(text, "x")


def test_ratios_have_the_mean_as_value_and_percentiles_as_scopes(tmp_path: Path) -> None:
    table = parsed(tmp_path, RATIOS, format=FORMAT)
    values = [(scope, value) for scope, _, value, _, _ in readings(table)]
    assert values == [("", 1.25), ("stat:p10", 0.75), ("stat:p50", 1.5), *zip(
        ("", "stat:p10", "stat:p50"), (90.73, 83.97, 90.71), strict=True)]  # fmt: skip
    assert "ratios only, no counts: the geometric mean is used" in table.notes


def test_a_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="expected the columns Ratio, geomean and percentiles"):
        parsed(tmp_path, RATIOS.replace("geomean", "average"), format=FORMAT)
