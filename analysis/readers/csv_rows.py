"""What readers of comma-separated exports share: rows as fields, numbers in cells."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import numpy as np

from analysis.errors import printable
from analysis.readers.locale_numbers import with_point
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_DECIMAL_COMMA = re.compile(r"-?\d{1,24},\d{1,24}")
_OF_PLAIN_NUMBERS = b"0123456789.,\n-"
_ODD = (b",.", b"\n.", b".,", b".\n", b"\n\n")
"""What no block of plain numbers has."""
_PLAINEST = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_PLAINEST_OR_NONE = re.compile(r"(?:(?:-?\d{1,15}(?:\.\d{1,15})?)?\n)+", re.ASCII)
_LONGEST_CELL = 1 << 16
"""Beyond it the module csv may refuse a cell."""
_LINES_AT_ONCE = 1 << 12
_CLOCK_TIME = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):([0-5]?\d(?:\.\d+)?)")
_CLOCK_TIMES = re.compile(f"^{_CLOCK_TIME.pattern}$", re.ASCII | re.MULTILINE)


def fields_of(line: str, separator: str = ",") -> list[str]:
    """The cells of one line. Raises Malformed for broken quotes."""
    if line.isascii() and line.isprintable() and " " not in line and '"' not in line:
        return line.split(separator) if line else []
    if '"' not in line:
        return [f.strip() for f in line.split(separator)] if line else []
    if line.count('"') == 2 and len(line) < _LONGEST_CELL and "\r" not in line:
        before, inner, behind = line.split('"')
        if before[-1:] in ("", separator) and behind[:1] in ("", separator):
            cells = [*before.split(separator)[:-1], inner, *behind.split(separator)[1:]]
            return [f.strip() for f in cells]
    try:
        return [f.strip() for f in next(csv.reader([line], delimiter=separator, strict=True), [])]
    except csv.Error as problem:
        raise Malformed(f"not comma-separated values: {problem}") from None


class Taker(Protocol):
    """What a reader makes of many rows at once."""

    def take(self, columns: list[tuple[str, ...]]) -> bool:
        """Adds the rows of these columns, all or, where one has to be read with care, none: False."""


def rows_after(
    source: Source, first_column: re.Pattern[str], taker: Taker | None = None
) -> Iterator[tuple[int, list[str]]]:
    """(row, fields) from the header row on, the first one in which `first_column` is found. Skips blank lines.

    A header with semicolons is a spreadsheet's in a locale of decimal commas: cells then have points for them.
    taker: is offered the rows below the header first, many at once; those that it takes do not come here.
    """
    lines = ((row, line) for row, line in source.lines() if line.strip())
    separator = ""
    for row, line in lines:
        if separator := _separator(line, first_column):
            try:
                yield row, fields_of(line, separator)
            except Malformed as problem:
                raise source.error(str(problem), row) from None
            break
    while together := list(islice(lines, _LINES_AT_ONCE)):
        columns = _columns([line for _, line in together]) if taker and separator == "," else []
        if not (taker and columns and taker.take(columns)):
            yield from _rows(source, together, separator)


def _columns(lines: list[str]) -> list[tuple[str, ...]]:
    """The cells of lines that need no more than to be split; none where one does, or has more cells than another."""
    text = ",".join(["", *lines, ""])
    if not (text.isascii() and text.isprintable()):
        return []
    has_quotes = '"' in text
    if not has_quotes and (" ," in text or ", " in text):
        return []
    rows = _fields_of_all(lines, ",") if has_quotes else [line.split(",") for line in lines]
    try:
        columns = list(zip(*rows or [], strict=True))
    except ValueError:
        return []
    return columns if not has_quotes or all(map(_are_bare, columns)) else []


def _are_bare(cells: Sequence[str]) -> bool:
    """Whether none has a blank at an end."""
    text = "\n".join(["", *cells, ""])
    return "\n " not in text and " \n" not in text


def _separator(line: str, first_column: re.Pattern[str]) -> str:
    """Of the header row; '' for any other line."""
    if first_column.search(line):
        return ","
    is_header = line.count(";") > line.count(",") and first_column.search(line.replace(";", ","))
    return ";" if is_header else ""


def _rows(source: Source, lines: list[tuple[int, str]], separator: str) -> Iterator[tuple[int, list[str]]]:
    has_quotes = any('"' in line for _, line in lines)
    together = _fields_of_all([line for _, line in lines], separator) if has_quotes else None
    for at, (row, line) in enumerate(lines):
        if together:
            fields = together[at]
            if " " in line or not (line.isascii() and line.isprintable()):
                fields = [field.strip() for field in fields]
        else:
            try:
                fields = fields_of(line, separator)
            except Malformed as problem:
                source.reject(row, str(problem))
                continue
        if separator == ";":
            fields = [with_point(field) if _DECIMAL_COMMA.fullmatch(field) else field for field in fields]
        yield row, fields


def _fields_of_all(lines: list[str], separator: str) -> list[list[str]] | None:
    """The cells of each line; None where one is broken, or a cell goes on in the next line: `fields_of` tells which."""
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) else None


def cell_number(text: str, what: str) -> float:
    """A finite number, or NaN for an empty cell."""
    if not text:
        return math.nan
    if _PLAINEST.fullmatch(text):
        return float(text)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value) or abs(value) >= 1 << 64:
        raise Malformed(f"{printable(what)} should be a number, found '{printable(text)}'")
    return value


def plain_numbers(cells: Sequence[str]) -> np.ndarray | None:
    """What `cell_number` says of each cell; None where one is no plain number."""
    if not _PLAINEST_OR_NONE.fullmatch("\n".join(cells) + "\n"):
        return None
    return np.array([float(cell) if cell else math.nan for cell in cells])


def seconds(text: str, what: str) -> float:
    """Seconds from `12.345` or from a clock time, `m:ss.fff` or `h:mm:ss.fff`."""
    if _PLAINEST.fullmatch(text):
        return float(text)
    match = _CLOCK_TIME.fullmatch(text)
    if match:
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
    value = cell_number(text, what)
    if not value >= 0:
        raise Malformed(f"{what} should be a time, found '{printable(text)}'")
    return value


def many_seconds(cells: Sequence[str]) -> list[float] | None:
    """What `seconds` says of each cell; None where they are not all plain seconds or all clock times."""
    if ":" in cells[0]:
        found = _CLOCK_TIMES.findall("\n".join(cells))
        if len(found) != len(cells):
            return None
        return [int(h or 0) * 3600 + int(m) * 60 + float(s) for h, m, s in found]
    numbers = plain_numbers(cells)
    return numbers.tolist() if numbers is not None and (numbers >= 0).all() else None


def numbers_of(block: bytes, n_columns: int) -> np.ndarray | None:
    """The block's lines as a table of numbers, NaN for empty cells and for those left out at a line's end.

    None where a cell is no plain number, or a line has more cells: `cell_number` says then what is wrong with which.
    """
    text = b"\n" + block
    if text.translate(None, _OF_PLAIN_NUMBERS) or any(odd in text for odd in _ODD):
        return None
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    n_commas = np.diff(np.searchsorted(np.flatnonzero(data == ord(",")), ends), prepend=0)
    if n_commas.max(initial=0) >= n_columns:
        return None
    missing = n_columns - 1 - n_commas
    if missing.any():
        lines = zip(block.split(b"\n"), missing.tolist(), strict=False)
        block = b"\n".join(line + b"," * n for line, n in lines) + b"\n"
    try:
        numbers = [float(cell) if cell else math.nan for cell in block[:-1].replace(b"\n", b",").split(b",")]
    except ValueError:
        return None
    found = np.array(numbers).reshape(len(ends), n_columns)
    return found if not (np.abs(found) >= 1 << 64).any() else None
