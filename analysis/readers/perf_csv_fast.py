"""Blocks of regular `perf stat -x` rows in one go: pandas parses the columns, the careful parser says what they are.

Lines with the same number of separators are taken together. Their first line goes through the careful parser and fixes
the layout; if then any number fails to parse or any name is odd, the caller parses the whole block line by line, so
nothing is accepted here that would be refused there.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.phase import NOT_COUNTED, NOT_SUPPORTED
from analysis.readers.perf_builder import MOST_NAMES, PerfBuilder
from analysis.readers.perf_csv_plain import Plain, plain
from analysis.readers.perf_csv_row import IN_NAMES, TIME, Dialect, parse
from analysis.readers.perf_rows import (
    LARGEST_COUNT,
    Malformed,
    PerfRow,
    event_name,
    grouped_scope,
    thread_scope,
    unit_name,
)
from analysis.readers.source import LONGEST_LINE

SMALLEST_BLOCK = 64 << 10
MOST_LAYOUTS = 8
MOST_LONG_NAMES = 32
LOOKED_AT, MANY_NAMES = 128 << 10, 1024
"""Bytes of a block, and names in them from which on all of its names are counted."""
# Numbers that no count can be stand for the two words while pandas parses the column as floats.
COUNTED_AS = {b"<not counted>": (b"-1", -1.0, NOT_COUNTED), b"<not supported>": (b"-2", -2.0, NOT_SUPPORTED)}


# Metrics that have names of their own are rows of the table; the careful parser knows them.
NAMED_METRICS = (b"%  ", b"percent of ")


class Layout(NamedTuple):
    """Field numbers; -1 for a field that the rows do not have."""

    time: int
    scope: int
    value: int
    unit: int
    event: int
    runtime: int
    percent: int


class Irregular(Exception):
    """The block is no case for this module."""


class TooMany(Exception):
    """More names than any capture has."""


class Named(NamedTuple):
    """A column of names: numbers into `names`."""

    codes: np.ndarray
    names: list[str]


@dataclass
class Part:
    """The columns of lines of one layout. time and scope: None where the rows have none. lines: their numbers."""

    lines: np.ndarray
    time: np.ndarray | None
    value: np.ndarray
    percent: np.ndarray
    scope: Named | None
    unit: Named
    event: Named


def add_block(builder: PerfBuilder, dialect: Dialect, row: int, block: bytes) -> bool:
    """Adds the block's rows; False, and nothing added, if it has to be parsed line by line."""
    if len(block) < SMALLEST_BLOCK or any(named in block for named in NAMED_METRICS):
        return False
    if (rows := plain(block, dialect.separator, dialect.comma)) is None:
        return False
    try:
        rows, spelled = _without_long_names(rows)
        parts = [_columns(same, lines, spelled) for same, lines in _by_number_of_fields(rows)]
        timed = {part.time is not None for part in parts}
        if len(timed) > 1 or (timed == {False} and builder.n_timed):
            raise Irregular  # rows without a time among rows with one: a summary
    except Irregular:
        return False
    except TooMany as problem:
        raise builder.source.error(str(problem)) from None
    _add(builder, parts[0] if len(parts) == 1 else _joined(parts))
    return True


def _without_long_names(rows: Plain) -> tuple[Plain, dict[str, str]]:
    """The block with a short word in place of each event name that holds the separator, and word -> event."""
    if not IN_NAMES.issuperset(rows.separator):
        return _without_long_names_in_slashes(rows)
    spelled: dict[str, str] = {}
    between = rows.mark.encode()
    for n in range(MOST_LONG_NAMES):
        ends, per_line = _separators(rows)
        longest = int(per_line.argmax())
        line = rows.block[ends[longest - 1] + 1 if longest else 0 : ends[longest]].decode("ascii")
        event = _parsed(rows.spelled(line), rows.separator).event
        if rows.separator not in event:
            return rows, spelled
        word = f"LONG_NAME_{n}"
        spelled[word] = event
        name = event.replace(rows.separator, rows.mark).encode()
        rows = rows.with_block(rows.block.replace(between + name + between, between + word.encode() + between))
    raise Irregular


def _without_long_names_in_slashes(rows: Plain) -> tuple[Plain, dict[str, str]]:
    """The same, of names that hold it between slashes alone, all at once."""
    mark = re.escape(rows.mark)
    name = re.compile(f"{mark}([^/{mark}\n]*/[^/{mark}\n]*{mark}[^/\n]*/[^{mark}\n]*)(?={mark})".encode())
    words: dict[bytes, bytes] = {}
    spelled: dict[str, str] = {}

    def word(match: re.Match[bytes]) -> bytes:
        if (known := words.get(match[1])) is None:
            begin, end = rows.block.rfind(b"\n", 0, match.start()) + 1, rows.block.index(b"\n", match.end())
            event = _parsed(rows.spelled(rows.block[begin:end].decode("ascii")), rows.separator).event
            if event.replace(rows.separator, rows.mark).encode() != match[1] or len(words) >= MOST_NAMES:
                raise Irregular
            spelled[f"LONG_NAME_{len(words)}"] = event
            known = words[match[1]] = f"{rows.mark}LONG_NAME_{len(words)}".encode()
        return known

    return rows.with_block(name.sub(word, rows.block)), spelled


def _separators(rows: Plain) -> tuple[np.ndarray, np.ndarray]:
    """(position of each line's end, number of separators in the line)."""
    data = np.frombuffer(rows.block, dtype=np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    if np.diff(ends, prepend=-1).max() > LONGEST_LINE:
        raise Irregular
    before = np.searchsorted(np.flatnonzero(data == ord(rows.mark)), ends)
    return ends, np.diff(before, prepend=0)


def _by_number_of_fields(rows: Plain) -> list[tuple[Plain, np.ndarray]]:
    """The block cut into blocks whose lines all have the same number of separators, with the lines' numbers."""
    _, per_line = _separators(rows)
    kinds = np.unique(per_line)
    if len(kinds) == 1:
        return [(rows, np.arange(len(per_line)))]
    if len(kinds) > MOST_LAYOUTS:
        raise Irregular
    lines = rows.block.split(b"\n")[:-1]
    numbers = [np.flatnonzero(per_line == kind) for kind in kinds]
    return [(rows.with_block(b"\n".join(lines[i] for i in same) + b"\n"), same) for same in numbers]


def _parsed(line: str, separator: str) -> PerfRow:
    try:
        row = parse(line, Dialect(separator)).row
    except Malformed as problem:
        raise Irregular from problem
    if row is None or "cgroup:" in row.scope or row.is_summary or row.running != row.running:
        raise Irregular
    return row


def _layout(rows: Plain) -> Layout:
    """Where the fields of a plain row are. Raises Irregular for a row that only the careful parser understands."""
    line = rows.block[: rows.block.index(b"\n")].decode("ascii")
    row = _parsed(rows.spelled(line), rows.separator)
    fields = [f.strip() for f in line.split(rows.mark)]
    if row.event not in fields:
        raise Irregular
    event = len(fields) - 1 - fields[::-1].index(row.event)
    time = 0 if TIME.fullmatch(line.split(rows.mark)[0]) else -1
    scope = time + 1 if row.scope else -1
    percent = event + 2
    if event < 2 or percent >= len(fields) or not fields[event + 1].isdigit():
        raise Irregular
    expected = 1 + (time >= 0) + (scope >= 0) + (bool(row.scope) and not row.scope.startswith(("cpu:", "thread:")))
    if event - 2 != expected - 1:
        raise Irregular
    return Layout(time, scope, event - 2, event - 1, event, event + 1, percent)


def _columns(rows: Plain, numbers_of_lines: np.ndarray, spelled: dict[str, str]) -> Part:
    layout, lines = _layout(rows), rows.block
    for field, what in ((layout.event, "events"), (layout.scope, "scopes")):
        if field >= 0 and _has_too_many_names(lines, rows.mark.encode(), field):
            raise TooMany(f"more than {MOST_NAMES} {what}")
    stand_ins = {}
    for word, (stand_in, value, _) in COUNTED_AS.items():
        stand_ins[value] = lines.count(word)
        if stand_ins[value]:
            lines = lines.replace(word, stand_in)
    if layout.time >= 0 and not _all_have_nine_decimals(lines, rows.mark):
        raise Irregular
    if not _have_two_decimals(lines, rows.mark, layout.percent):
        raise Irregular
    numbers = [i for i in (layout.time, layout.value, layout.runtime, layout.percent) if i >= 0]
    names = [i for i in (layout.scope, layout.unit, layout.event) if i >= 0]
    try:
        frame = pd.read_csv(
            BytesIO(lines),
            sep=rows.mark,
            header=None,
            usecols=numbers + names,
            dtype={**dict.fromkeys(numbers, "float64"), **dict.fromkeys(names, "category")},
            na_filter=False,
            quoting=csv.QUOTE_NONE,
            skipinitialspace=True,
            engine="c",
        )
        part = Part(
            lines=numbers_of_lines,
            time=frame[layout.time].to_numpy() if layout.time >= 0 else None,
            value=frame[layout.value].to_numpy(copy=True),
            percent=frame[layout.percent].to_numpy(copy=True),
            scope=_named(frame[layout.scope].array, _scope) if layout.scope >= 0 else None,
            unit=_named(frame[layout.unit].array, unit_name),
            event=_named(frame[layout.event].array, lambda name: _event(spelled.get(name, name))),
        )
    except ValueError as problem:  # a number that is none, or Malformed
        raise Irregular from problem
    _check_numbers(part, frame[layout.runtime].to_numpy(), stand_ins)
    return part


def _has_too_many_names(lines: bytes, mark: bytes, field: int) -> bool:
    for some in (lines[: lines.find(b"\n", LOOKED_AT) + 1], lines):
        names = {line.split(mark, field + 1)[field] for line in some.split(b"\n")[:-1]}
        if len(names) < MANY_NAMES:
            return False
    return len(names) > MOST_NAMES


def _all_have_nine_decimals(lines: bytes, mark: str) -> bool:
    """Whether every line's first field ends like perf's time stamps. What has fewer decimals is a count."""
    data = np.frombuffer(lines, dtype=np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(data == ord("\n"))[:-1] + 1))
    separators = np.flatnonzero(data == ord(mark))
    first = separators[np.searchsorted(separators, starts)]
    return bool((first - starts > 10).all() and (data[first - 10] == ord(".")).all())


def _have_two_decimals(lines: bytes, mark: str, field: int) -> bool:
    """Whether the field ends in a point and two digits on every line, all of which have the same number of fields."""
    data = np.frombuffer(lines, dtype=np.uint8)
    ends = np.flatnonzero((data == ord(mark)) | (data == ord("\n")))
    per_line = int(lines.count(mark.encode(), 0, lines.index(b"\n"))) + 1
    if len(ends) % per_line:
        return False
    ends = ends[field::per_line]
    digits = (data[ends - 1] - ord("0") < 10) & (data[ends - 2] - ord("0") < 10)
    return bool(digits.all() and (data[ends - 3] == ord(".")).all())


def _event(name: str) -> str:
    """The careful parser lets a name with one slash reach into the next field."""
    if name.count("/") % 2:
        raise Malformed("no slash ends the event")
    return event_name(name)


def _scope(text: str) -> str:
    return grouped_scope(text) or thread_scope(text)


def _named(column: pd.Categorical, name: Callable[[str], str]) -> Named:
    if len(column.categories) > MOST_NAMES:
        raise Irregular
    if pd.api.types.is_numeric_dtype(column.categories.dtype):  # pandas took names for numbers
        raise Irregular
    return Named(column.codes, [name(str(c).strip()) for c in column.categories])


def _check_numbers(part: Part, runtime: np.ndarray, stand_ins: dict[float, int]) -> None:
    """What the careful parser would refuse is irregular. Comparisons are false for NaN."""
    value, percent = part.value, part.percent
    if any(int((value == stand_in).sum()) != n for stand_in, n in stand_ins.items()):
        raise Irregular
    if int((value < 0).sum()) != sum(stand_ins.values()) or not value.max() < LARGEST_COUNT:
        raise Irregular
    if part.time is not None and not (part.time.min() >= 0 and part.time.max() < LARGEST_COUNT):
        raise Irregular
    if not (percent.min() >= 0 and percent.max() <= 101 and runtime.min() >= 0 and runtime.max() < LARGEST_COUNT):
        raise Irregular


def _joined(parts: list[Part]) -> Part:
    """Parts of one block as one, in the order of the file."""
    times = [p.time for p in parts if p.time is not None]
    order = np.argsort(np.concatenate([p.lines for p in parts]))
    return Part(
        lines=np.arange(len(order)),
        time=np.concatenate(times)[order] if times else None,
        value=np.concatenate([p.value for p in parts])[order],
        percent=np.concatenate([p.percent for p in parts])[order],
        scope=_joined_names([p.scope or Named(np.zeros(len(p.value), dtype=np.int8), [""]) for p in parts], order),
        unit=_joined_names([p.unit for p in parts], order),
        event=_joined_names([p.event for p in parts], order),
    )


def _joined_names(columns: list[Named], order: np.ndarray) -> Named:
    names: dict[str, int] = {}
    codes = []
    for column in columns:
        lookup = np.array([names.setdefault(n, len(names)) for n in column.names], dtype=np.int32)
        codes.append(lookup[column.codes])
    return Named(np.concatenate(codes)[order], list(names))


def _add(builder: PerfBuilder, part: Part) -> None:
    builder.rows.flush()  # so that names are numbered in the order of the file
    value = part.value
    status = np.zeros(len(value), dtype=np.int8)
    running = np.minimum(part.percent / 100.0, 1.0)
    for _, stand_in, name in COUNTED_AS.values():
        at = value == stand_in
        status[at] = builder.rows.names["status"].code(name)
        value[at] = np.nan
        if name == NOT_SUPPORTED:
            running[at] = 0.0
    columns = {"value": value, "running": running, "status": status}
    if part.time is not None:
        columns["start_s"] = part.time
        builder.n_timed += len(value)
    else:
        builder.n_untimed += len(value)
    for column, named in (("scope", part.scope), ("unit", part.unit), ("source", part.event)):
        if named is not None:
            known = builder.rows.names[column]
            codes = [known.code(n) for n in named.names]
            columns[column] = np.array(codes, dtype=np.min_scalar_type(-max(codes) - 1))[named.codes]
    builder.rows.add_arrays(columns)
