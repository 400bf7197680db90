"""Which separator a file of `perf stat -x SEP` has. SEP may be anything, so the rows' shape has to tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from analysis.events import is_known_event
from analysis.readers.perf_csv_row import Dialect, parse
from analysis.readers.perf_rows import LONGEST_ROW, Malformed
from analysis.readers.surroundings import is_decoration

MOST_LINES = 50
MOST_SEPARATORS = 12
OLD_SEPARATORS = (",", ";", "\t", "|", ":", " ")
"""Of perf before 4.0, whose rows hold no percentage to find a separator by."""

# A running time, the separator, a percentage of two decimals, and the separator again or the end.
_SHAPE = re.compile(r"\d([^0-9\r\n]{1,8}?)(?:100|\d{1,2})([.,])\d\d(?=\1|$)")


def sniff(head: Sequence[str]) -> Dialect | None:
    """The dialect in which most of the first lines are rows of perf; None if in none any is.

    Only full rows count as evidence, those with a running time and a percentage behind the event; of old perf those
    whose event we know.
    """
    lines = [line for line in head if line.strip() and not line.startswith("#") and len(line) <= LONGEST_ROW]
    shaped = [line for line in lines if _SHAPE.search(line)][:MOST_LINES]
    best, most = None, 0
    for dialect in _candidates(shaped):
        good = sum(_is_full_row(line, dialect) for line in shaped)
        if good > most:
            best, most = dialect, good
    if best:
        return best
    lines = [line for line in lines if not is_decoration(line)][:MOST_LINES]
    for separator in OLD_SEPARATORS:
        good = sum(_is_old_row(line, Dialect(separator, is_old=True)) for line in lines if separator in line)
        if good > most:
            best, most = Dialect(separator, is_old=True), good
    return best


def separator_of(line: str) -> str:
    """The separator of a full row of an event that we know, '' where a line is none."""
    if len(line) > LONGEST_ROW or not _SHAPE.search(line):
        return ""
    good = (dialect for dialect in _candidates([line]) if _is_full_row(line, dialect) and _is_old_row(line, dialect))
    return next((dialect.separator for dialect in good), "")


def _candidates(lines: Sequence[str]) -> list[Dialect]:
    found: Counter[Dialect] = Counter()
    for line in lines:
        found.update(set(_shapes(line)))
    return [dialect for dialect, _ in found.most_common(MOST_SEPARATORS)]


def _shapes(line: str) -> Iterator[Dialect]:
    for match in _SHAPE.finditer(line):
        separator = match[1]
        if len(separator) == 3 and separator[0] == separator[2] == '"':
            separator = separator[1]  # a spreadsheet put quotes around the fields
        yield Dialect(separator, separator == "," and match[2] == ",")


def _is_full_row(line: str, dialect: Dialect) -> bool:
    try:
        row = parse(line, dialect).row
    except Malformed:
        return False
    return row is not None and row.running == row.running  # not NaN


def _is_old_row(line: str, dialect: Dialect) -> bool:
    try:
        row = parse(line, dialect).row
    except Malformed:
        return False
    return row is not None and is_known_event(row.event)
