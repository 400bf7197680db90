"""`wperf stat` of Windows on Arm (WindowsPerf): a table a core, whose sums over all cores repeat them.

`460,333,515  inst_spec  0x1b  e  13/17  78,897,673`: count, event, its number, group, how often it was counted, and
the count scaled by that. The last two stand only in tables of events that took turns.
"""

from __future__ import annotations

import re
from typing import Any

from analysis.errors import printable
from analysis.phase import OK
from analysis.readers.locale_numbers import VALUE, plain
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, check_length, count, event_name
from analysis.readers.source import Source
from analysis.readers.surroundings import TITLE, bare, is_decoration
from analysis.table import NAN, Table

FORMAT = "windowsperf-text"
HEADER = re.compile(r"^\s{0,40}counter value\s{1,40}event name\s{1,80}event idx\b")

_TITLE = re.compile(r"Performance counter stats for core (\d{1,6}),.{0,40}? kernel mode (excluded|included)")
_ROW = re.compile(
    rf"\s{{0,40}}({VALUE})\s{{1,20}}([A-Za-z][\w./:-]{{0,200}})\s{{1,200}}(?:fixed|0x[0-9a-fA-F]{{1,16}})"
    rf"(?:\s{{1,40}}[eg]\S{{0,200}})?(?:\s{{1,200}}(\d{{1,9}})/(\d{{1,9}})\s{{1,40}}({VALUE}))?\s*"
)
_COUNT = r"\d{1,3}(?:,\d{3}){1,5}|\d{1,18}"
_USUAL = re.compile(
    rf" {{0,40}}({_COUNT}) {{1,20}}([A-Za-z][\w./:-]{{0,200}}) {{1,200}}(?:fixed|0x[0-9a-f]{{1,16}})"
    rf"(?: {{1,40}}[eg][\w,+-]{{0,40}})?(?: {{1,200}}(\d{{1,9}})/(\d{{1,9}}) {{1,40}}({_COUNT}))?",
    re.ASCII,
)
"""Rows as the tool itself spells them: `_ROW` says the same of each."""
_ELAPSED = re.compile(rf"\s{{0,40}}({VALUE}) seconds time elapsed")
_AT_ONCE = 4096
_CYCLES = "cycle"
"""The name of the counter that counts nothing else."""


def read(source: Source) -> Table:
    """Raises AnalysisError where a row of a core's table is wrong or there is none."""
    builder = PerfBuilder(source, FORMAT)
    scope, modifier, is_inside, is_other = "", "", False, False
    rows: list[tuple[Any, ...]] = []  # usual ones, which are added many at once
    for number_of_line, line in source.lines(exact=False):
        row = _usual(line, scope, modifier) if is_inside else None
        if row:
            rows.append(row)
        if rows and (row is None or len(rows) >= _AT_ONCE):
            builder.add_rows(rows)
            rows = []
        if row:
            continue
        text = bare(line)
        try:
            if title := _TITLE.search(text):
                scope, modifier = f"cpu:{title[1]}", ":u" if title[2] == "excluded" else ""
                is_inside = is_other = False
            elif HEADER.match(text):
                is_inside = not is_other
            elif elapsed := _ELAPSED.match(text):
                builder.elapsed_s = count(plain(elapsed[1], may_have_decimals=True))
                is_inside = False
            elif is_inside and text[:60].strip()[:1].isdigit():
                builder.add(_row(text, scope, modifier))
            elif TITLE in text or text.lstrip().startswith("System-wide Overall"):
                is_inside, is_other = False, True  # a cluster's cache, memory controllers, or the sums of all cores
            elif text.strip() and not is_other and not _is_beside(text):
                source.skip(number_of_line)
        except Malformed as problem:
            source.reject(number_of_line, str(problem))
    if rows:
        builder.add_rows(rows)
    return builder.table()


def _usual(line: str, scope: str, modifier: str) -> tuple[Any, ...] | None:
    """The row as the table takes it (`TableBuilder.add_rows`); None for one that has to be read with care."""
    match = _USUAL.fullmatch(line)
    if not match:
        return None
    token, event, counted, turns, scaled = match.groups()
    running = 1.0
    if counted:
        running = int(counted) / int(turns) if int(turns) else NAN
        if running > 1:
            return None
    value = float((scaled or token).replace(",", ""))
    name = ("cycles" if event == _CYCLES else event) + modifier
    return (NAN, NAN, value, running, scope, "", "", OK, "", "", name)


def _row(text: str, scope: str, modifier: str) -> PerfRow:
    check_length(text)
    match = _ROW.fullmatch(text)
    if not match:
        raise Malformed(f"expected a count, an event and its number, found '{printable(text.strip())}'")
    token, event, counted, turns, scaled = match.groups()
    running = 1.0 if counted is None else int(counted) / int(turns) if int(turns) else NAN
    if running > 1:
        raise Malformed(f"counted in {counted} of {turns} turns")
    value = count(plain(scaled or token, may_have_decimals=False))
    name = event_name(("cycles" if event == _CYCLES else event) + modifier)
    return PerfRow(NAN, scope, value, OK, "", name, running)


def _is_beside(text: str) -> bool:
    """What the tool prints around its tables."""
    return text.lstrip().startswith(("note: 'e' - ", "====", "counting ...")) or is_decoration(text)
