"""Rows and cells that all comma-separated exports share. All input is synthetic."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from capture_tables import written

from analysis.errors import AnalysisError
from analysis.readers.csv_rows import cell_number, fields_of, numbers_of, plain_numbers, rows_after, seconds
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source

FIRST = re.compile("When")
NONE2 = [math.nan, math.nan]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ('a,"b, c",', ["a", "b, c", ""]),
        (' a , "b, c"', ["a", '"b', 'c"']),  # a quote is one at a cell's beginning alone
        ('"say ""no""",2', ['say "no"', "2"]),
        ("", []),
        ("alone", ["alone"]),
    ],
)
def test_fields(line: str, fields: list[str]) -> None:
    assert fields_of(line) == fields


@pytest.mark.parametrize("line", ['"a,b', 'a,"b', '"a"b,c'])
def test_broken_quotes(line: str) -> None:
    with pytest.raises(Malformed, match="not comma-separated values: "):
        fields_of(line)


def test_rows_begin_at_the_header(tmp_path: Path) -> None:
    text = "a title, of two cells\n\nWhen,What\n  \n1,x\nWhen,again\n"
    assert list(rows_after(Source(written(tmp_path, text)), FIRST)) == [
        (3, ["When", "What"]),
        (5, ["1", "x"]),
        (6, ["When", "again"]),
    ]
    assert list(rows_after(Source(written(tmp_path, "nothing of it\n")), FIRST)) == []


def test_a_row_with_broken_quotes_is_named_or_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, 'When,What\n1,"x\n2,y\n')
    with pytest.raises(AnalysisError, match=r"line 2: not comma-separated values: .* \(--lenient skips such lines\)"):
        list(rows_after(Source(path), FIRST))
    lenient = Source(path, lenient=True)
    assert list(rows_after(lenient, FIRST)) == [(1, ["When", "What"]), (3, ["2", "y"])]
    assert lenient.closing_notes()[0].startswith("1 malformed row(s) skipped; the first is line 2: ")


def test_a_cell_never_goes_on_in_the_next_line(tmp_path: Path) -> None:
    source = Source(written(tmp_path, 'When,What\n0,"x, y"\n1,"x\n2,y"\n 3,z \n'), lenient=True)
    assert list(rows_after(source, FIRST))[1:] == [(2, ["0", "x, y"]), (4, ["2", 'y"']), (5, ["3", "z"])]


def test_a_broken_header_is_an_error_even_if_lenient(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="line 1: not comma-separated values"):
        list(rows_after(Source(written(tmp_path, '"When\n1,x\n'), lenient=True), FIRST))


def test_numbers_in_cells() -> None:
    assert (cell_number("12.5", "x"), cell_number("-3", "x"), cell_number("1e3", "x")) == (12.5, -3.0, 1000.0)
    assert math.isnan(cell_number("", "x"))


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "18446744073709551616", "0x10", "1,5", "1 2", ".5", "1_0"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(Malformed, match=re.escape(f"Cycles should be a number, found '{text}'")):
        cell_number(text, "Cycles")


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("12.345", 12.345), ("2:03.5", 123.5), ("1:00:00", 3600.0), ("90:0.25", 5400.25)]
)
def test_times(text: str, value: float) -> None:
    assert seconds(text, "When (s)") == value


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:2:3:4", ":30", "1:-2", "9" * 400 + ":00", "9" * 5000 + ":00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Malformed, match=r"When \(s\) should be a (time|number), found '") as problem:
        seconds(text, "When (s)")
    assert len(str(problem.value)) < 200


def test_blocks_of_numbers_are_those_of_their_cells() -> None:
    cells = ["0.30000000000000004", "9007199254740993", "1.7976931348623157", "00.10", "-5", ""]
    block = "".join(f"{a},{b}\n" for a in cells for b in cells)
    found = numbers_of(block.encode(), 2)
    expected = [[cell_number(a, ""), cell_number(b, "")] for a in cells for b in cells]
    assert found is not None and repr(found.tolist()) == repr(expected)
    alone = plain_numbers(["5", "", "-0.25"])
    assert alone is not None and repr(alone.tolist()) == repr([5.0, math.nan, -0.25])


def test_cells_left_out_at_a_lines_end_are_missing() -> None:
    found = numbers_of(b"1\n2,3\n4,\n", 3)
    assert found is not None and repr(found.tolist()) == repr([[1.0, *NONE2], [2.0, 3.0, math.nan], [4.0, *NONE2]])


@pytest.mark.parametrize(
    "block", [b"1,2,3\n", b"1,x\n", b"1,1.2.3\n", b"1-2,3\n", b"-,3\n", b".5,3\n", b"5.,3\n", b"1\n\n2\n"]
)
def test_blocks_that_are_to_be_read_with_care(block: bytes) -> None:
    assert numbers_of(block, 2) is None


@pytest.mark.parametrize("cell", ["1e5", " 5", "0x5", "5.", "--5"])
def test_cells_that_are_to_be_read_with_care(cell: str) -> None:
    assert plain_numbers(["5", cell]) is None
