"""Streamline's `timeline.csv`: a row a bin of time, a column a series, `Title:Name`, with ` [core]` under `-per_core`.

Little is public about the layout, so nothing is counted off: the header row is the one that starts with `Index (s)`,
columns are found by name, and those that name no event are listed in the notes. Markers come from `log.csv` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from analysis.errors import AnalysisError, printable
from analysis.events import streamline_event
from analysis.phase import NOT_COUNTED, Marker
from analysis.readers.csv_rows import cell_number, numbers_of, rows_after, seconds
from analysis.readers.perf_csv_plain import without_quotes
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import STDIN, Source
from analysis.table import NAN, Table, TableBuilder, summarise

FORMAT = "streamline-timeline"
LONGEST_NAME = 500
HEADER = re.compile(r'^\ufeff?"?Index \(s\)"?\s*(,|$)')

_SCOPED = re.compile(r"(?P<series>.*?)\s*\[(?P<scope>[^\[\]]*)\]")


class Column(NamedTuple):
    """A series that is an event. at: its field. cluster: kind of core, '' where the export does not say."""

    at: int
    event: str
    scope: str
    cluster: str
    source: str


def read(source: Source) -> Table:
    rows = rows_after(source, HEADER)
    header, names = next(rows, (0, []))
    columns, ignored = _columns(names)
    if not columns:
        raise source.error(f"no column is an event that we know: {summarise([printable(n) for n in names])}")
    numbers = _all_numbers(source, header, names, columns)
    if numbers is None:
        numbers = _numbers(source, rows, names, columns)
    if not len(numbers):
        raise source.error("no rows below the header")
    builder = TableBuilder()
    _add(builder, numbers[:, 0], numbers[:, 1:], columns)
    notes = source.closing_notes()
    if ignored:
        notes.append(f"columns that are no known event ignored: {summarise([printable(i) for i in ignored])}")
    markers = _markers_beside(source, notes)
    meta = {"format": FORMAT, "path": str(source.path), "clock": "streamline"}
    return Table(builder.frame(), meta, notes, markers=markers)


def _all_numbers(source: Source, header: int, names: list[str], columns: list[Column]) -> np.ndarray | None:
    """Times and counts of a file that holds nothing else below its header row; None for any other."""
    found = []
    used = [0, *(column.at for column in columns)]
    for row, block in source.blocks():
        lines_of_header = max(0, header + 1 - row)
        for _ in range(lines_of_header):
            block = block[block.find(b"\n") + 1 :]
        if not block:
            continue
        cells = numbers_of(without_quotes(block.replace(b"\r\n", b"\n"), ","), len(names))
        if cells is None:
            return None
        found.append(cells[:, used])
    numbers = np.concatenate(found) if found else np.empty((0, len(used)))
    times = numbers[:, 0]
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back) and not source.lenient:
        at = int(back[0])
        raise source.error(f"time goes from {times[at]} to {times[at + 1]}", header + at + 2)
    is_good = (times >= 0).all() and (np.diff(times) > 0).all() and not (numbers < 0).any()
    return numbers if is_good else None


def _numbers(
    source: Source, rows: Iterator[tuple[int, list[str]]], names: list[str], columns: list[Column]
) -> np.ndarray:
    """The same row by row, each with what is wrong in it."""
    found: list[list[float]] = []
    for row, fields in rows:
        try:
            if len(fields) > len(names):
                raise Malformed(f"{len(fields)} fields, expected {len(names)}")
            fields += [""] * (len(names) - len(fields))  # empty cells at the end are left out
            time = seconds(fields[0], "Index (s)")
            if found and time <= found[-1][0]:
                raise Malformed(f"time goes from {found[-1][0]} to {time}")
            found.append([time, *(_count(fields[c.at], c.source) for c in columns)])
        except Malformed as problem:
            source.reject(row, str(problem))
    return np.array(found).reshape(len(found), 1 + len(columns))


def _count(text: str, name: str) -> float:
    value = cell_number(text, name)
    if value < 0:
        raise Malformed(f"{printable(name)} is negative: {printable(text)}")
    return value


def _columns(names: list[str]) -> tuple[list[Column], list[str]]:
    columns, ignored = [], []
    for at, name in enumerate(names[1:], 1):
        column = _column(at, name)
        if column:
            columns.append(column)
        elif name:
            ignored.append(name)
    return columns, ignored


def _column(at: int, name: str) -> Column | None:
    plain, scope, cluster = name, "", ""
    match = _SCOPED.fullmatch(name) if len(name) < LONGEST_NAME else None
    if match:
        plain, inside = match["series"], match["scope"].strip()
        number = re.fullmatch(r"(?:(?:CPU|Core|cpu|core)\s*)?(\d{1,9})", inside)
        scope, cluster = (f"cpu:{int(number[1])}", "") if number else ("", inside)
    title, separator, series = plain.partition(":")
    event = streamline_event(title, series) if separator else None
    return Column(at, event, scope, cluster, plain) if event else None


def _add(builder: TableBuilder, times: np.ndarray, values: np.ndarray, columns: list[Column]) -> None:
    lengths = np.diff(times)
    last = float(np.median(lengths)) if len(lengths) else NAN
    durations = np.append(lengths, last)
    for number, column in enumerate(columns):
        counts = values[:, number]
        missing = np.isnan(counts)
        texts = {"scope": column.scope, "pmu": column.cluster, "event": column.event, "source": column.source}
        data = {c: np.full(len(times), builder.names[c].code(text), dtype=np.int32) for c, text in texts.items()}
        data["status"] = np.where(missing, builder.names["status"].code(NOT_COUNTED), 0).astype(np.int8)
        running = np.where(missing, 0.0, NAN)
        builder.add_arrays({**data, "start_s": times, "duration_s": durations, "value": counts, "running": running})


def _markers_beside(source: Source, notes: list[str]) -> list[Marker]:
    """Markers of the log that Streamline wrote with the timeline."""
    from analysis.readers import streamline_log

    beside = source.path.with_name("log.csv")
    if str(source.path) == STDIN or not beside.is_file():
        notes.append("no log.csv beside the timeline, so no markers")
        return []
    try:
        log = streamline_log.read(Source(beside, source.lenient))
    except AnalysisError as problem:
        raise AnalysisError(f"its log cannot be read: {problem}", path=source.path) from None
    notes.extend(log.notes)
    return log.markers
