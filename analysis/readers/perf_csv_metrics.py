"""`perf stat -x SEP --metric-only`: a line of names, then lines of values, one column a metric."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from analysis.errors import printable
from analysis.metric_names import is_known
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_metric_columns import MOST_COLUMNS, is_value, metric_of
from analysis.readers.perf_metric_lines import MetricLines
from analysis.readers.perf_rows import Malformed, check_length, grouped_scope, number, thread_scope
from analysis.readers.source import Source
from analysis.table import NAN, Table

FORMAT = "perf-csv"
SEPARATORS = (",", ";", "\t", "|", "'", "!")
PLACES = ("time", "cpu", "core", "cpus", "socket", "die", "node", "cluster", "cache", "comm-pid")
CLASSIC = ("GHz", "insn per cycle", "stalled cycles per insn", "CPUs utilized")


class Header(NamedTuple):
    """row: where the names stand. places: names of the fields before the values. names: of the metrics."""

    row: int
    separator: str
    places: list[str]
    names: list[str]


def header(head: Sequence[str]) -> Header | None:
    """The line of names, where the next line holds as many values and one of the names is a metric's; else None."""
    lines = [(row, line) for row, line in enumerate(head, 1) if line.strip() and not line.startswith("#")][:20]
    for (row, line), (_, below) in pairwise(lines):
        for separator in SEPARATORS:
            found = _header(row, line, separator)
            try:
                if found and _values(below, found) is not None:
                    return found
            except Malformed:
                continue  # what stands below is no line of values
    return None


def read(source: Source, names: Header) -> Table:
    """The ratios as a table. Raises AnalysisError for a line with other columns."""
    builder = PerfBuilder(source, FORMAT)
    builder.meta["separator"] = names.separator
    lines = MetricLines(builder)
    behind = f"{re.escape(names.separator)} {{0,60}}"
    for row, line in source.lines():
        if lines.take(line):
            continue
        lines.flush()
        if not line.strip() or line.startswith("#"):
            builder.header_line(line)
            continue
        if row <= names.row or _cells(line, names.separator) == [*names.places, *names.names]:
            if row < names.row:
                source.skip(row)
            continue
        try:
            check_length(line)
            values = _values(line, names)
            if values is None:
                raise Malformed(f"expected {len(names.names)} values, found '{printable(line)}'")
            time_s, scope, texts = values
            for name, text in zip(names.names, texts, strict=True):
                if metric := metric_of(time_s, scope, name, text):
                    builder.add(metric)
            if names.places == ["time"]:
                lines.learn([(name, "") for name in names.names], texts, f" {{0,60}}{behind}", f"(?:{behind})?")
        except Malformed as problem:
            source.reject(row, str(problem))
    lines.flush()
    return builder.table()


def _header(row: int, line: str, separator: str) -> Header | None:
    cells = _cells(line, separator)
    n = next((i for i, cell in enumerate(cells) if cell not in PLACES), len(cells))
    names = cells[n:]
    known = any(name in CLASSIC or name.startswith("% ") or is_known(name.split("  ")[-1]) for name in names)
    if not names or len(cells) > MOST_COLUMNS or not known or not all(names) or any(is_value(name) for name in names):
        return None
    return Header(row, separator, cells[:n], names)


def _cells(line: str, separator: str) -> list[str]:
    """The cells of a line of names, which a separator may end."""
    cells = [cell.strip() for cell in line.split(separator)]
    return cells[:-1] if cells and not cells[-1] else cells


def _values(line: str, names: Header) -> tuple[float, str, list[str]] | None:
    """(time, scope, values) of a line below the names; None where it has other columns."""
    cells = [cell.strip() for cell in line.split(names.separator)]
    cells = cells[:-1] if cells and not cells[-1] and len(cells) > len(names.places) + len(names.names) else cells
    if len(cells) != len(names.places) + len(names.names):
        return None
    time_s, scope = NAN, ""
    for place, cell in zip(names.places, cells, strict=False):
        if place == "time":
            time_s = number(cell, "the time")
        elif place == "comm-pid":
            scope = thread_scope(cell)
        elif place != "cpus":
            scope = grouped_scope(cell) or ""
            if not scope:
                return None
    texts = cells[len(names.places) :]
    return (time_s, scope, texts) if all(not text or is_value(text) for text in texts) else None
