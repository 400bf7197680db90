"""`simpleperf stat --csv` of Android: `6595722690,cpu-cycles,4.511040,GHz,(100%),`.

Per-thread rows start with comm, pid and tid, per-core rows with the CPU. Newer versions leave out the percentage. With
`--interval` the block repeats, each with the time since the start.
"""

from __future__ import annotations

import re
from itertools import pairwise

from analysis.errors import printable
from analysis.phase import OK
from analysis.readers.perf_rows import Malformed, PerfRow, count, event_name, number, share
from analysis.readers.perf_text_row import TextLine
from analysis.readers.shape_blocks import Lines
from analysis.readers.shapes import Kind, Shapes
from analysis.readers.simpleperf_counts import Counts
from analysis.readers.source import Source
from analysis.table import NAN, Table

FORMAT = "simpleperf-csv"

_COUNT = re.compile(r"(\d+(?:\.\d+)?)(\(ms\))?")
_EVENT = re.compile(r"[a-z][\w:/.-]*")
_PERCENT = re.compile(r"\((\d+(?:\.\d+)?)%\)")
_TITLE, _TOTAL = "Performance counter statistics", "Total test time"
# Of a thread, a CPU, the count, the event, a ratio, the share.
_USUAL = re.compile(
    r"(?:([^,\s][^,]{0,100}),(\d{1,9}),(\d{1,9}),)?(?:(\d{1,6}),)?(\d{1,18}),([a-z][\w:/.-]{0,200})"
    r",(?:\d{1,12}\.\d{1,9},[A-Za-z][^,()%\s]{0,20},)?(?:\((\d{1,3}\.\d{1,6}|\d{1,3})%\),?)?",
    re.ASCII,
)
# A count, a ratio, a share: numbers of processes and CPUs are names, and stand before a number.
_NUMBER = re.compile(r"((?<![\w.-])\d+(?:\.\d+)?)(?=(?:\(ms\))?,\s{0,9}[A-Za-z/(]|%)", re.ASCII)


def read(source: Source) -> Table:
    """Raises AnalysisError where a row is wrong or no block of counts is found."""
    counts = Counts(source, FORMAT)
    lines = Lines(Shapes(lambda line: True, Kind(_NUMBER, _parsed)))
    for number_of_line, line in lines.of_source(source):
        if counts.blocks and counts.take(number_of_line, lines.find(number_of_line, line)):
            continue
        if counts.blocks and (usual := _usual_row(line)):
            counts.add(number_of_line, usual)
            continue
        fields = [f.strip() for f in line.split(",")]
        if not any(fields):
            continue
        if fields[0] == _TITLE:
            counts.begin()
            continue
        if not counts.blocks:
            source.reject(number_of_line, f"expected 'Performance counter statistics,', found '{printable(line)}'")
            continue
        try:
            if fields[0] == _TOTAL:
                counts.blocks[-1].end_s = number(fields[1] if len(fields) > 1 else "", "the total test time")
            elif not _is_heading(fields):
                counts.add(number_of_line, _row(fields))
        except Malformed as problem:
            source.reject(number_of_line, str(problem))
    return counts.table()


def _parsed(line: str) -> TextLine | None:
    fields = [f.strip() for f in line.split(",")]
    if fields[0] in (_TITLE, _TOTAL) or _is_heading(fields):
        return None
    row = _row(fields)
    return TextLine(row, [], "", row.running)


def _usual_row(line: str) -> PerfRow | None:
    """What `_row` makes of most rows; None for any other line."""
    if not (match := _USUAL.fullmatch(line)):
        return None
    comm, _, tid, cpu, value, event, percent = match.groups()
    running = float(percent) / 100 if percent else 1.0
    if running > 1:
        return None
    thread = f"thread:{comm.strip()}-{tid}" if comm else ""
    scope = f"{thread} cpu:{int(cpu)}".strip() if cpu else thread
    return PerfRow(NAN, scope, float(value), OK, "", event_name(event), running)


def _is_heading(fields: list[str]) -> bool:
    """Column names, which newer versions print above the rows."""
    return "count" in fields and "event_name" in fields


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
    if len(fields) == 2 or not all(re.fullmatch(r"\d{1,9}", n, re.ASCII) for n in numbers):
        raise Malformed(f"'{printable(','.join(fields))}' is no CPU and no comm,pid,tid")
    if len(fields) == 1:
        return f"cpu:{int(fields[0])}"
    thread = f"thread:{fields[0]}-{fields[2]}"
    return f"{thread} cpu:{int(fields[3])}" if len(fields) == 4 else thread
