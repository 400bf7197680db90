"""Which separator a file of `perf stat -x` has."""

from __future__ import annotations

import pytest

from analysis.readers.perf_csv_dialect import sniff
from analysis.readers.perf_csv_row import Dialect, parse
from analysis.readers.perf_rows import Malformed


def test_a_separator_is_recognised_by_full_rows_only() -> None:
    assert sniff(["name,age", "alice,31", "1,2"]) is None
    with pytest.raises(Malformed):
        parse("name,age", Dialect(","))


@pytest.mark.parametrize(
    "separator", [",", ";", "\t", "|", ":", "::", "!", "'", "/", "';'", " ", "  ", "SEP", "&", "~*~", "-"]
)
def test_any_separator_that_perf_takes(separator: str) -> None:
    rows = [["1200", "", "cycles", "5000", "66.67", "", ""], ["7.50", "msec", "task-clock", "75", "100.00", "1", "x"]]
    found = sniff(["", "a line of the program", *(separator.join(row) for row in rows)])
    assert found == Dialect(separator)


@pytest.mark.parametrize("separator", [",", ";", "'"])
def test_decimal_commas(separator: str) -> None:
    rows = [["1200", "", "cycles", "5000", "66,67", "", ""], ["7,50", "msec", "task-clock", "75", "100,00", "1", "x"]]
    dialect = sniff([separator.join(row) for row in rows])
    assert dialect == Dialect(separator, separator == ",")
    values = [parse(separator.join(row), dialect).row for row in rows]
    assert [(r.value, r.event, r.unit, r.running) for r in values if r] == [
        (1200.0, "cycles", "", pytest.approx(0.6667)),
        (7.5, "task-clock", "msec", 1.0),
    ]


@pytest.mark.parametrize("rows", [["1000,cycles", "2000,instructions"], ["1.5,msec,task-clock"], ["5,cycles,1.50%"]])
def test_perf_before_4(rows: list[str]) -> None:
    dialect = sniff(rows)
    assert dialect == Dialect(",", is_old=True)
    assert all(parse(row, dialect).row is not None for row in rows)
