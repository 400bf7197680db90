"""What the dialects of `perf stat` (CSV, JSON, text) have in common: numbers, scopes, event names, intervals."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np

from analysis.errors import printable
from analysis.events import canonical
from analysis.phase import NOT_COUNTED, NOT_SUPPORTED, OK
from analysis.readers.source import Source
from analysis.table import NAN, Table, TableBuilder, starts_of_intervals

LARGEST_COUNT = float(1 << 64)
LONGEST_ROW = 2000
STATUS_TOKENS = {"<not counted>": NOT_COUNTED, "<not supported>": NOT_SUPPORTED}
X86_PMUS = ("cpu", "cpu_core", "cpu_atom")

_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_EVENT = re.compile(r"[A-Za-z0-9_{][\w./:=,{}()\[\] #+*%&@!?~^$|-]*")
_TRANSCRIPT = re.compile(r"\$ |rc=-?\d+$")
_SCOPES = (
    ("cpu", re.compile(r"CPU(\d+)")),
    ("core", re.compile(r"(S\d+-D\d+-C\d+)")),
    ("cluster", re.compile(r"(S\d+-D\d+-CLS\d+)")),
    ("cache", re.compile(r"(S\d+-D\d+-L\d+-ID\d+)")),
    ("die", re.compile(r"(S\d+-D\d+)")),
    ("socket", re.compile(r"(S\d+)")),
    ("node", re.compile(r"(N\d+)")),
)


class Malformed(ValueError):
    """A row that is not what its format says; the message is the reason."""


class PerfRow(NamedTuple):
    """One counter reading. time_s: end of the interval, NaN for none. value: NaN unless status is ok."""

    time_s: float
    scope: str
    value: float
    status: str
    unit: str
    event: str
    running: float
    is_summary: bool = False


def number(text: str, what: str) -> float:
    """A finite, non-negative decimal number."""
    if not _NUMBER.fullmatch(text):
        raise Malformed(f"{what} should be a number, found '{printable(text)}'")
    value = float(text)
    if not math.isfinite(value):
        raise Malformed(f"{what} {printable(text)} is too large for any counter")
    return value


def count(text: str) -> float:
    value = number(text, "the count")
    if value >= LARGEST_COUNT:
        raise Malformed(f"the count {printable(text)} is more than a 64-bit counter holds")
    return value


def share(text: str) -> float:
    """A percentage of running time as 0..1. perf's own rounding may pass 100 by a hair."""
    percent = number(text, "percent running")
    if percent > 101:
        raise Malformed(f"percent running should be 0..100, found {printable(text)}")
    return min(percent, 100.0) / 100.0


def event_name(text: str) -> str:
    name = text.strip()
    if not name:
        raise Malformed("the event has no name")
    if len(name) > 400 or not _EVENT.fullmatch(name):
        raise Malformed(f"'{printable(name)}' is no event name")
    return name


def unit_name(field: str) -> str:
    unit = field.strip()
    if not re.fullmatch(r"[\w%/.^ -]{0,24}", unit):
        raise Malformed(f"'{printable(unit, 40)}' is no unit")
    return unit


def reading(token: str) -> tuple[float, str]:
    """(value, status) of a value field."""
    status = STATUS_TOKENS.get(token)
    return (NAN, status) if status else (count(token), OK)


def grouped_scope(text: str) -> str | None:
    """`core:S0-D0-C0` and the like, None for what is no group of CPUs."""
    for kind, pattern in _SCOPES:
        match = pattern.fullmatch(text)
        if match:
            return f"{kind}:{match[1]}"
    return None


def thread_scope(text: str) -> str:
    if not re.fullmatch(r".+-\d+", text):
        raise Malformed(f"expected a count or a scope, found '{printable(text)}'")
    return f"thread:{text}"


def check_length(line: str) -> None:
    """Before patterns whose time grows with the square of a line's length."""
    if len(line) > LONGEST_ROW:
        raise Malformed(f"{len(line)} characters, longer than any row of this format")


def is_transcript(line: str) -> bool:
    """The command and exit code of a pasted shell session."""
    return _TRANSCRIPT.match(line) is not None


class PerfBuilder:
    """Collects perf's rows; `table` gives them intervals and canonical events once all spellings are known."""

    def __init__(self, source: Source, format_name: str) -> None:
        self.source = source
        self.rows = TableBuilder()
        self.meta: dict[str, Any] = {"format": format_name, "path": str(source.path), "clock": "perf"}
        self.summary: dict[str, float] = {}
        self.n_summary = 0
        self.n_timed = 0
        self.n_untimed = 0
        self.elapsed_s = NAN

    def header_line(self, line: str) -> None:
        text = line.lstrip("# ").strip()
        if line.startswith("$ "):
            self.meta["command"] = line[2:]
        elif text.startswith("started on "):
            self.meta["started"] = text.removeprefix("started on ")

    def add(self, row: PerfRow) -> None:
        # In a capture with intervals a row without a time repeats the sums of all of them (`--summary`).
        has_time = not math.isnan(row.time_s)
        if row.is_summary or (not has_time and self.n_timed):
            self.n_summary += 1
            if row.status == OK:
                self.summary[f"{row.scope} {row.event}".strip()] = row.value
            return
        self.n_timed += has_time
        self.n_untimed += not has_time
        self.rows.add(
            "",
            row.value,
            start_s=row.time_s,
            scope=row.scope,
            status=row.status,
            running=0.0 if row.status == NOT_SUPPORTED else row.running,
            unit=row.unit,
            source=row.event,
        )

    def table(self) -> Table:
        rows, source = self.rows, self.source
        if rows.n_rows == 0:
            raise source.error(f"no counts in it ({self.meta['format']})")
        if self.n_timed and self.n_untimed:
            raise source.error("rows with and without a time are mixed: several captures in one file?")
        self._intervals()
        self._canonical_events()
        notes = source.closing_notes()
        if self.n_summary:
            notes.append(f"{self.n_summary} summary row(s) set aside: they repeat the sums of the intervals")
            self.meta["summary"] = self.summary
        return Table(rows.frame(), self.meta, notes)

    def _intervals(self) -> None:
        if self.n_timed:
            ends = self.rows.column("start_s")
            try:
                starts = starts_of_intervals(ends)
            except ValueError as problem:
                raise self.source.error(
                    f"time goes back after {problem} counts: several captures in one file?"
                ) from None
            np.subtract(ends, starts, out=ends)
            self.rows.replace("duration_s", ends)
            self.rows.replace("start_s", starts)
            return
        seconds = self.elapsed_s if math.isfinite(self.elapsed_s) else self._duration_time()
        if math.isfinite(seconds):
            self.meta["elapsed_s"] = seconds
        self.rows.replace("start_s", np.zeros(self.rows.n_rows))
        self.rows.replace("duration_s", np.full(self.rows.n_rows, seconds))

    def _duration_time(self) -> float:
        """Seconds from perf's own event `duration_time` (ns), where it was asked for."""
        code = self.rows.names["source"].codes.get("duration_time")
        if code is None:
            return NAN
        at = np.flatnonzero(self.rows.column("source") == code)
        return float(self.rows.column("value")[at[0]]) / 1e9

    def _canonical_events(self) -> None:
        spellings = list(self.rows.names["source"].codes)
        events = [canonical(s) for s in spellings]
        if any(e.pmu in X86_PMUS for e in events):
            self.meta["arch"] = "x86_64"
            events = [canonical(s, "x86_64") for s in spellings]
        codes = self.rows.column("source")
        for column, names in (("event", [e.name for e in events]), ("pmu", [e.pmu for e in events])):
            lookup = np.array([self.rows.names[column].code(n) for n in names], dtype=np.int32)
            self.rows.replace(column, lookup.astype(np.min_scalar_type(-len(spellings) - 1))[codes])
