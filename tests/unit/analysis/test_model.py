"""What a report says before it is text, page or picture (`reports.model`)."""

from __future__ import annotations

import math

import pytest

from analysis.reports.model import Card, Cell, Column, Fold, Table, fixed, tables


@pytest.mark.parametrize(
    ("column", "cell", "shown"),
    [
        (Column("a", 2), 1234.5678, "1,234.57"),
        (Column("a", 2, " ms"), 0.0, "0.00 ms"),
        (Column("a", 0), 2.6, "3"),
        (Column("a", 1, sign=True), 2.04, "+2.0"),
        (Column("a", 1, sign=True), 0.04, "0.0"),
        (Column("a", 1, sign=True), -0.04, "0.0"),
        (Column("a", 1, missing="-"), None, "-"),
        (Column("a", 1, missing="-"), math.nan, "-"),
        (Column("a", 1), math.inf, ""),
        (Column("a"), "words", "words"),
        (Column("a", 3), "words", "words"),
    ],
)
def test_cells_are_shown_with_their_columns_decimals(column: Column, cell: Cell, shown: str) -> None:
    assert column.show(cell) == shown


@pytest.mark.parametrize(
    ("values", "digits", "decimals"),
    [
        ([30.65, 0.001], 4, 2),
        ([2.68, 0.2], 4, 3),
        ([125.4, None, "x", math.nan], 3, 0),
        ([12345.0], 3, 0),
        ([1e-9], 3, 6),
        ([], 3, 0),
        ([-0.05], 2, 3),
    ],
)
def test_decimals_of_a_column_follow_its_largest_number(values: list[Cell], digits: int, decimals: int) -> None:
    assert fixed(values, digits) == decimals


def test_a_cards_line() -> None:
    card = Card("decode", "50.0 tokens/s", "memory-bound", "high", "m 50 % ≥ 40 %", "read less", "violet")
    assert card.line == "decode  50.0 tokens/s  memory-bound (high confidence): m 50 % ≥ 40 %. Next: read less"
    assert Card("all", "", "not measured", "", "", "count").line == "all  not measured. Next: count"
    assert Card("all", "", "same", "", "1 ms", "").line == "all  same: 1 ms"


def test_tables_show_their_rows_and_are_found_in_folds() -> None:
    table = Table("", (Column("a"), Column("b", 1)), [["x", 1.0], ["y", None], ["z", 3.25]], most=2)
    assert table.shown(table.most) == [["x", "1.0"], ["y", ""]]
    assert table.shown()[2] == ["z", "3.2"]
    assert list(tables([Fold("f", [table]), table])) == [table, table]
