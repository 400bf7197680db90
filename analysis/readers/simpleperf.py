"""`simpleperf stat --csv` of Android: `6595722690,cpu-cycles,4.511040,GHz,(100%),`.

Per-thread rows start with comm, pid and tid, per-core rows with the CPU. Newer versions leave out the percentage. With
`--interval` the block repeats, each with the time since the start.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeGuard

from analysis.errors import printable
from analysis.phase import OK
from analysis.readers.perf_builder import MOST_EVENTS, PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, count, event_name, number, share
from analysis.readers.perf_text_row import TextLine
from analysis.readers.shape_blocks import Lines
from analysis.readers.shapes import Added, Found, Kind, Shapes
from analysis.readers.source import Source
from analysis.table import NAN, Table

FORMAT = "simpleperf-csv"

_COUNT = re.compile(r"(\d+(?:\.\d+)?)(\(ms\))?")
_EVENT = re.compile(r"[a-z][\w:/.-]*")
_PERCENT = re.compile(r"\((\d+(?:\.\d+)?)%\)")
_TITLE, _TOTAL = "Performance counter statistics", "Total test time"
# A count, a ratio, a share: numbers of processes and CPUs are names, and stand before a number.
_NUMBER = re.compile(r"((?<![\w.-])\d+(?:\.\d+)?)(?=(?:\(ms\))?,\s{0,9}[A-Za-z/(]|%)", re.ASCII)


@dataclass
class Block:
    """The counts between two title lines. row: the line of the first. end_s: time since the start of the recording."""

    row: int = 0
    rows: list[PerfRow] = field(default_factory=list)
    end_s: float = NAN

    def add(self, number_of_line: int, row: PerfRow) -> None:
        self.row = self.row or number_of_line
        self.rows.append(row)


def read(source: Source) -> Table:
    """Raises AnalysisError where a row is wrong or no block of counts is found."""
    return table_of(source, _blocks(source), FORMAT)


def table_of(source: Source, blocks: list[Block], format_name: str) -> Table:
    """The blocks as intervals, or the only one as the whole."""
    builder = PerfBuilder(source, format_name)
    builder.meta["clock"] = "simpleperf"
    if len(blocks) == 1:
        builder.elapsed_s = blocks[0].end_s
        builder.add_rows([_added(row, NAN, row.value) for row in blocks[0].rows])
        return builder.table()
    is_cumulative = _is_cumulative(blocks)
    before: dict[tuple[str, str], float] = {}
    for block in blocks:
        if block.end_s != block.end_s:
            raise source.error("a block without 'Total test time'", block.row or None)
        added = []
        for row in block.rows:
            key = (row.scope, row.event)
            added.append(_added(row, block.end_s, row.value - before.get(key, 0.0) if is_cumulative else row.value))
            before[key] = row.value
        builder.add_rows(added)
    table = builder.table()
    if is_cumulative:
        table.notes.append(
            "counts never fall from interval to interval: taken as sums since the start, differences used"
        )
    return table


def _added(row: PerfRow, time_s: float, value: float) -> Added:
    return (time_s, NAN, value, row.running, row.scope, "", "", row.status, row.unit, "", row.event)


def row_of(found: Found) -> PerfRow:
    """The row of a line whose shape is known, its share at most 1."""
    shape, values = found
    running = shape.running(values)
    assert shape.row and running is not None
    row = shape.row
    return PerfRow(row.time_s, row.scope, shape.value(values), row.status, row.unit, row.event, running)


def is_known(found: Found | None) -> TypeGuard[Found]:
    """Whether no line of that shape has to be read with care."""
    return found is not None and (found[0].running(found[1]) or 0.0) <= 1


def _blocks(source: Source) -> list[Block]:
    blocks: list[Block] = []
    lines = Lines(Shapes(lambda line: True, Kind(_NUMBER, _parsed)))
    events = set()
    for number_of_line, line in lines.of_source(source):
        if blocks and is_known(found := lines.find(number_of_line, line)):
            blocks[-1].add(number_of_line, row_of(found))
            continue
        fields = [f.strip() for f in line.split(",")]
        if not any(fields):
            continue
        if fields[0] == _TITLE:
            blocks.append(Block())
            continue
        if not blocks:
            source.reject(number_of_line, f"expected 'Performance counter statistics,', found '{printable(line)}'")
            continue
        try:
            if fields[0] == _TOTAL:
                blocks[-1].end_s = number(fields[1] if len(fields) > 1 else "", "the total test time")
            elif not _is_heading(fields):
                row = _row(fields)
                blocks[-1].add(number_of_line, row)
                events.add(row.event)
                if len(events) > MOST_EVENTS:
                    raise source.error(f"more than {MOST_EVENTS} events", number_of_line)
        except Malformed as problem:
            source.reject(number_of_line, str(problem))
    return [b for b in blocks if b.rows]


def _parsed(line: str) -> TextLine | None:
    fields = [f.strip() for f in line.split(",")]
    if fields[0] in (_TITLE, _TOTAL) or _is_heading(fields):
        return None
    row = _row(fields)
    return TextLine(row, [], "", row.running)


def _is_heading(fields: list[str]) -> bool:
    """Column names, which newer versions print above the rows."""
    return "count" in fields and "event_name" in fields


def _is_cumulative(blocks: list[Block]) -> bool:
    """`--interval` prints sums since the start, or with `--interval-only-values` not; the file does not say which."""
    before: dict[tuple[str, str], float] = {}
    for block in blocks:
        for row in block.rows:
            if row.value < before.get((row.scope, row.event), 0.0):
                return False
            before[(row.scope, row.event)] = row.value
    return True


def _row(fields: list[str]) -> PerfRow:
    pairs = enumerate(pairwise(fields[:6]))
    at = next((i for i, (number, name) in pairs if _COUNT.fullmatch(number) and _EVENT.fullmatch(name)), None)
    if at is None:
        raise Malformed(f"expected a count and an event, found '{printable(','.join(fields))}'")
    matched = _COUNT.fullmatch(fields[at])
    assert matched
    percents = [m[1] for m in map(_PERCENT.fullmatch, fields[at + 2 :]) if m]
    running = share(percents[0]) if percents else 1.0
    unit = "msec" if matched[2] else ""
    return PerfRow(NAN, scope_of(fields[:at]), count(matched[1]), OK, unit, event_name(fields[at + 1]), running)


def scope_of(fields: list[str]) -> str:
    """The scope from `cpu`, `comm,pid,tid` or `comm,pid,tid,cpu` before the count."""
    if not fields:
        return ""
    numbers = fields if len(fields) == 1 else fields[1:]
    if len(fields) == 2 or not all(n.isdigit() for n in numbers):
        raise Malformed(f"'{printable(','.join(fields))}' is no CPU and no comm,pid,tid")
    if len(fields) == 1:
        return f"cpu:{int(fields[0])}"
    thread = f"thread:{fields[0]}-{fields[2]}"
    return f"{thread} cpu:{int(fields[3])}" if len(fields) == 4 else thread
