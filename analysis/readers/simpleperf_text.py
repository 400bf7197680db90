"""`simpleperf stat` of Android as it prints on a terminal: `91,821,403  cpu-cycles  # 0.089234 GHz  (100%)`.

A line of column names, in newer versions, says what stands before the count: a CPU, or a thread with its process.
"""

from __future__ import annotations

import re

from analysis.errors import printable
from analysis.phase import OK
from analysis.readers.locale_numbers import VALUE, plain
from analysis.readers.perf_rows import LONGEST_ROW, Malformed, PerfRow, check_length, count, event_name, number, share
from analysis.readers.perf_text_row import TextLine
from analysis.readers.shape_blocks import Lines
from analysis.readers.shapes import Kind, Shapes
from analysis.readers.simpleperf import scope_of
from analysis.readers.simpleperf_counts import Counts
from analysis.readers.source import Source
from analysis.readers.surroundings import bare, is_decoration
from analysis.table import NAN, Table

FORMAT = "simpleperf-text"
TITLE = "Performance counter statistics"

_COUNT = re.compile(rf"({VALUE})(\(ms\))?")
_EVENT = re.compile(r"[a-z][\w:/.-]{0,200}", re.IGNORECASE)
_PERCENT = re.compile(r"\((\d{1,3}(?:\.\d{1,6})?)%\)\s*$")
_HEADER = re.compile(r"#[\w\s]{0,80}\bcount\s{1,40}event_name\b")
# A count, a ratio, a share: numbers of processes and CPUs are names, and stand before a number.
_NUMBER = re.compile(rf"((?<![\w.-]){VALUE})(?=(?:\(ms\))?\s{{1,40}}[A-Za-z/]|%)", re.ASCII)
_TOTAL = re.compile(r"Total test time: (\d{1,12}(?:\.\d{1,9})?) seconds")


def read(source: Source) -> Table:
    """Raises AnalysisError where a line between the title and the total is no count."""
    counts = Counts(source, FORMAT)
    is_inside = False
    lines = Lines(Shapes(_is_plain, Kind(_NUMBER, _parsed)))
    for number_of_line, line in lines.of_source(source, exact=False):
        if is_inside and counts.take(number_of_line, lines.find(number_of_line, line)):
            continue
        text = bare(line).strip()
        if not text:
            continue
        if text.startswith(TITLE) or (not is_inside and _HEADER.match(text)):
            counts.begin()
            is_inside = True
        elif not is_inside:
            source.skip(number_of_line)
        elif total := _TOTAL.match(text):
            counts.blocks[-1].end_s = number(total[1], "the total test time")
            is_inside = False
        elif is_decoration(text):
            is_inside = not text.startswith(("```", "~~~"))
            source.skip(number_of_line)
        elif "event_name" in text and text.startswith("#") and not _HEADER.match(text):
            raise source.error("columns in an unknown order: the count stands before the event", number_of_line)
        elif not text.startswith("#"):
            try:
                check_length(text)
                counts.add(number_of_line, _row(text))
            except Malformed as problem:
                source.reject(number_of_line, str(problem))
    return counts.table()


def _is_plain(line: str) -> bool:
    text = bare(line).strip()
    if len(text) > LONGEST_ROW or text != line.strip():
        return False
    return not (text.startswith((TITLE, "#")) or _TOTAL.match(text) or is_decoration(text))


def _parsed(line: str) -> TextLine:
    row = _row(line.strip())
    return TextLine(row, [], "", row.running)


def _row(text: str) -> PerfRow:
    left, _, comment = text.partition("#")
    words = left.split()
    percent = _PERCENT.search(comment or left)
    if percent and not comment:
        words = words[:-1]
    matched = _COUNT.fullmatch(words[-2]) if len(words) > 1 else None
    if not matched or not _EVENT.fullmatch(words[-1]):
        raise Malformed(f"expected a count and an event, found '{printable(text)}'")
    value = count(plain(matched[1], may_have_decimals=matched[2] is not None))
    unit = "msec" if matched[2] else ""
    before = words[:-2]
    if len(before) > 3:  # a thread's name may hold blanks
        n = 3 if before[-3].isdigit() else 2
        before = [" ".join(before[:-n]), *before[-n:]]
    running = share(percent[1]) if percent else 1.0
    return PerfRow(NAN, scope_of(before), value, OK, unit, event_name(words[-1]), running)
