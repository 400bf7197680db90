"""Counts by the names of their events, as people and their scripts write them down: tables of Markdown, boxes or
commas, `cycles: 1000000000` line by line, and objects of JSON.

Nothing tells the tool, so an event has to be one that we know, and its count a whole number or a rounded one (`1.2 G`).
A column of counts, a row below names of events and an object of JSON are each a run of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from analysis.errors import printable
from analysis.phase import OK
from analysis.readers import json_counts
from analysis.readers.perf_builder import MOST_NAMES, PerfBuilder
from analysis.readers.perf_rows import LONGEST_ROW, STATUS_TOKENS, Malformed, PerfRow
from analysis.readers.source import Source
from analysis.readers.surroundings import bare, is_decoration
from analysis.readers.written_counts import are_counters, count_of, counter_of, event_of, is_count
from analysis.table import NAN, Table, summarise

FORMAT = "event-counts"
MOST_LINES = 400
MARKS = ("|", "\t", ";", ",", "=", ":", "  ")
_AROUND = " \t*`\"'•"
_BULLET = re.compile(r"\s{0,12}[-+*•] (?=\S)")
_BARS = str.maketrans("│┃║", "|||")
_RULE = re.compile(r"[\s|+:=\-─━═┌┐└┘├┤┬┴┼╞╡╪┏┓┗┛┣┫┳┻╋╇┡┩]+")
_NO_COUNTS = re.compile(
    r"%|\bper\b|ratio|rate\b|share|running|percent|std|dev\b|error|diff|delta|change|\b(?:code|idx|index|id)\b",
    re.IGNORECASE,
)


@dataclass
class _Tabular:
    """A table while it is read. titles: of its columns, where a line of them was found. rows: event, cells, line.

    at: the column of names.
    """

    titles: list[str] = field(default_factory=list)
    rows: list[tuple[str, list[str], int]] = field(default_factory=list)
    at: int = 0


def is_json(head: Sequence[str]) -> bool:
    """Whether the first lines are JSON that names at least two counters of the processor, each with a count."""
    if not json_counts.may_be(head):
        return False
    return json_counts.holds_counts("\n".join(line[:LONGEST_ROW] for line in head[:MOST_LINES]))


def is_table(head: Sequence[str]) -> bool:
    """Whether they are lines that do."""
    return bool(_mark_of([bare(line[:LONGEST_ROW]) for line in head[:MOST_LINES]]))


def read(source: Source) -> Table:
    """Raises AnalysisError where a count is none or there is none."""
    builder = PerfBuilder(source, FORMAT)
    others: dict[str, None] = {}
    if json_counts.may_be(source.head) and not is_table(source.head):
        json_counts.read(source, builder)
    else:
        _read_lines(source, builder, others)
    table = builder.table()
    table.notes.append("counts by name, of no tool that is known: neither times nor shares of time are told")
    if others:
        names = summarise([printable(name, 60) for name in others])
        table.notes.append(f"names that are no events are left out: {names}")
    return table


def _plain(line: str) -> str:
    """The line with bars of one kind, and without the mark of a list."""
    return _BULLET.sub("", line.translate(_BARS), count=1)


def _cells(line: str, mark: str) -> list[str]:
    if mark in "=:":
        cells = line.split(mark, 1)
    elif mark == "|":
        cells = line.strip().strip("|").split("|")
    elif mark == "  ":
        cells = line.split() if line.count(" ") < 2 else re.split(r"\s{2,}", line.strip())
    elif '"' in line:
        try:
            cells = next(csv.reader([line], delimiter=mark, strict=True), [])
        except csv.Error:
            cells = []
    else:
        cells = line.split(mark)
    return [cell.strip(_AROUND) for cell in cells]


def _mark_of(lines: Sequence[str]) -> str:
    """What separates the cells: of the marks that part names of counters from counts the one in most lines."""
    best, most = "", 0
    for mark in MARKS:
        names: set[str] = set()
        n_wide = 0
        above: set[str] = set()
        for line in lines:
            text = _plain(line)
            cells = _cells(text, mark) if mark in text or mark == "  " else []
            events = [event for cell in cells if (event := counter_of(cell))]
            n_counts = sum(is_count(cell) for cell in cells)
            if len(events) == 1 and n_counts:
                names.add(events[0])
            elif are_counters(above) and n_counts >= len(above):
                n_wide = len(above)
            above = set() if n_counts else set(events)
        n_names = max(len(names) if are_counters(names) else 0, n_wide)
        if n_names > most:
            best, most = mark, n_names
    return best


def _read_lines(source: Source, builder: PerfBuilder, others: dict[str, None]) -> None:
    """Adds every table. others: gets the names that are no events."""
    lines = [bare(line[:LONGEST_ROW]) for line in source.head[:MOST_LINES]]
    mark = _mark_of(lines) or ","
    table = _Tabular()
    for row, line in source.lines(exact=False):
        text = _plain(bare(line))
        if len(text) > LONGEST_ROW:
            source.reject(row, f"{len(text)} characters, longer than any row of counts")
        elif not text.strip() or _RULE.fullmatch(text) or is_decoration(text):
            continue
        elif mark not in text and mark != "  ":
            _add(table, builder, source)
            table = _Tabular()
            source.skip(row)
        else:
            table = _taken(_cells(text, mark), row, table, builder, source, others)
    _add(table, builder, source)


def _taken(
    cells: list[str], row: int, table: _Tabular, builder: PerfBuilder, source: Source, others: dict[str, None]
) -> _Tabular:
    """The table with one more line, or the one that begins there."""
    events = [event_of(cell) for cell in cells]
    n_events, n_counts = sum(map(bool, events)), sum(map(is_count, cells))
    if n_events == 1:
        table.at = next(n for n, event in enumerate(events) if event)
        table.rows.append((events[table.at], cells, row))
        if len(table.rows) > MOST_NAMES:
            raise source.error(f"more than {MOST_NAMES} counts in a table", row)
    elif n_events:
        _add(table, builder, source)
        return _Tabular(titles=cells)
    elif sum(map(bool, map(event_of, table.titles))) > 1 and n_counts:
        _add_wide(table.titles, cells, row, builder, source)
    elif not n_counts and not table.rows:
        return _Tabular(titles=cells)
    elif len(others) < MOST_NAMES:
        others[next((cell for cell in cells if cell), "")] = None
    return table


def _add_wide(titles: Sequence[str], cells: Sequence[str], row: int, builder: PerfBuilder, source: Source) -> None:
    """A row of counts below the names of events."""
    builder.next_run()
    label = " ".join(
        cell for title, cell in zip(titles, cells, strict=False) if not event_of(title) and not is_count(cell)
    )
    if label:
        builder.meta["target"] = label[:200]
    for title, cell in zip(titles, cells, strict=False):
        if event := event_of(title):
            _add_count(event, cell, row, builder, source)


def _add(table: _Tabular, builder: PerfBuilder, source: Source) -> None:
    """The counts of a table, column by column."""
    if not table.rows:
        return
    width = max(len(cells) for _, cells, _ in table.rows)
    titles = [*table.titles, *[""] * width][:width]
    columns = [at for at in range(width) if not _NO_COUNTS.search(titles[at]) and _counts_in(table, at) >= 0.5]
    columns = [at for at in columns if at > table.at] or columns  # before the names stand numbers of rows
    columns = [at for at in columns if not _has_other_numbers(table, at)] or columns
    if not columns:
        event, cells, row = table.rows[0]
        found = printable(" ".join(cells), 60)
        source.reject(row, f"expected a count of {printable(event)}, found '{found}'")
    for at in columns:
        builder.next_run()
        if titles[at] and len(columns) > 1:
            builder.meta["target"] = titles[at][:200]
        for event, cells, row in table.rows:
            if at < len(cells):
                _add_count(event, cells[at], row, builder, source)


def _column(table: _Tabular, at: int) -> list[str]:
    return [cells[at] if at < len(cells) else "" for _, cells, _ in table.rows]


def _counts_in(table: _Tabular, at: int) -> float:
    """The share of a column's cells that are counts."""
    return sum(map(is_count, _column(table, at))) / len(table.rows)


def _has_other_numbers(table: _Tabular, at: int) -> bool:
    """Whether a column holds ratios too, or wrong counts."""
    return any(cell[:1].isdigit() and not is_count(cell) for cell in _column(table, at))


def _add_count(event: str, cell: str, row: int, builder: PerfBuilder, source: Source) -> None:
    if status := STATUS_TOKENS.get(f"<{cell.strip('<>')}>"):
        builder.add(PerfRow(NAN, "", NAN, status, "", event, NAN))
    elif cell and cell.strip("-–—").lower() not in ("", "n/a", "na", "nan", "none"):
        try:
            builder.add(PerfRow(NAN, "", count_of(cell), OK, "", event, NAN))
        except Malformed as problem:
            source.reject(row, f"{printable(event)}: {problem}")
