"""What readers of comma-separated exports share: rows as fields, numbers in cells."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator

from analysis.errors import printable
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_CLOCK_TIME = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):([0-5]?\d(?:\.\d+)?)")


def fields_of(line: str) -> list[str]:
    """The cells of one line. Raises Malformed for broken quotes."""
    try:
        return [f.strip() for f in next(csv.reader([line], strict=True), [])]
    except csv.Error as problem:
        raise Malformed(f"not comma-separated values: {problem}") from None


def rows_after(source: Source, first_column: re.Pattern[str]) -> Iterator[tuple[int, list[str]]]:
    """(row, fields) from the header row on, the first one in which `first_column` is found. Skips blank lines."""
    found = False
    for row, line in source.lines():
        if not line.strip():
            continue
        if not found and not first_column.search(line):
            continue
        try:
            fields = fields_of(line)
        except Malformed as problem:
            if not found:
                raise source.error(str(problem), row) from None
            source.reject(row, str(problem))
            continue
        found = True
        yield row, fields


def cell_number(text: str, what: str) -> float:
    """A finite number, or NaN for an empty cell."""
    if not text:
        return math.nan
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value) or abs(value) >= 1 << 64:
        raise Malformed(f"{printable(what)} should be a number, found '{printable(text)}'")
    return value


def seconds(text: str, what: str) -> float:
    """Seconds from `12.345` or from a clock time, `m:ss.fff` or `h:mm:ss.fff`."""
    match = _CLOCK_TIME.fullmatch(text)
    if match:
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
    value = cell_number(text, what)
    if not value >= 0:
        raise Malformed(f"{what} should be a time, found '{printable(text)}'")
    return value
