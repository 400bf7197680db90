"""The tables that reports of two captures and of more have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.changes import Comparison, Rate
from analysis.reports.compare_charts import by_size, seconds_by_operation
from analysis.reports.model import Cell, Column, Table, fixed

_RATES = (
    ("MB a token", 1e-6, "bytes"),
    ("GB/s", 1e-9, "bandwidth"),
    ("thousand instructions a token", 1e-3, "instructions"),
)


def rates_of(results: Sequence[Comparison], title: str) -> Table:
    """Bytes and instructions a token of each operation in every capture, and how fast it read; the slowest first."""
    found: dict[str, dict[str, Rate]] = {}
    for result in results:
        for name, one, other in result.rates_in(title):
            found.setdefault(name, {}).setdefault("A", one)
            found[name][result.letter] = other
    letters = ["A", *(result.letter for result in results)]
    order = [name for name in by_size(seconds_by_operation(results, title)) if name in found]
    rows: list[list[Cell]] = []
    for name in [*order, *(name for name in found if name not in order)]:
        told = [found[name].get(letter, Rate()) for letter in letters]
        rows.append([name, *(scale * float(getattr(one, field)) for _, scale, field in _RATES for one in told)])
    columns = [Column("operation")]
    for at, (words, _, _) in enumerate(_RATES):
        first = 1 + at * len(letters)
        decimals = fixed([cell for row in rows for cell in row[first : first + len(letters)]], 4)
        columns += [Column(f"{words}, {letter}", decimals, secondary=at != 1, missing="-") for letter in letters]
    kept = [at for at, _ in enumerate(columns) if not at or any(is_known(row[at]) for row in rows)]
    return Table("", tuple(columns[at] for at in kept), [[row[at] for at in kept] for row in rows])


def is_known(cell: Cell) -> bool:
    """Whether it is a number that there is."""
    return isinstance(cell, float) and math.isfinite(cell)
