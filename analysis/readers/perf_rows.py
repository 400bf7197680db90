"""What rows of `perf stat` have in common in all its dialects: numbers, scopes, units, event and metric names."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from analysis.errors import printable
from analysis.metric_names import SLOTS_CLASSES, is_known, metric_name
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, OK
from analysis.table import NAN

LARGEST_COUNT = float(1 << 64)
LONGEST_ROW = 2000
KEPT = 4096
"""Names that are looked up again rather than looked through again: a capture has few, and millions of rows."""
STATUS_TOKENS = {"<not counted>": NOT_COUNTED, "<not supported>": NOT_SUPPORTED}

_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_EVENT = re.compile(r"[A-Za-z0-9_{][\w./:=,{}()\[\] #+*%&@!?~^$|-]*")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_.][A-Za-z0-9]+)+")
_SHARE_UNIT = re.compile(r"%|percent(?: of [\w/ ]+)?")
CLOCKS = ("task-clock", "cpu-clock")
# Ratios under their own names, of which perf before 6.19 prints percentages in words and later releases a fraction.
_IDLE = {"frontend_cycles_idle": "frontend_stalled_cycles", "backend_cycles_idle": "backend_stalled_cycles"}
_TRANSCRIPT = re.compile(r"\$ |rc=-?\d+$")
_SCOPES = (
    ("cpu", re.compile(r"CPU(\d+)")),
    ("core", re.compile(r"(S\d+-(?:D\d+-)?C\d+)")),
    ("cluster", re.compile(r"(S\d+-D\d+-CLS\d+)")),
    ("cache", re.compile(r"(S\d+-D\d+-L\d+-ID\d+)")),
    ("die", re.compile(r"(S\d+-D\d+)")),
    ("socket", re.compile(r"(S\d+)")),
    ("node", re.compile(r"(N\d+)")),
)


class Malformed(ValueError):
    """A row that is not what its format says; the message is the reason."""


class PerfRow(NamedTuple):
    """One counter reading, or a ratio that the tool printed, whose event starts with METRIC_PREFIX.

    time_s: end of the interval, NaN for none. value: NaN unless status is ok. spelling: a ratio's name as printed.
    error: relative standard error over repeated runs (`-r`), NaN where none is printed.
    """

    time_s: float
    scope: str
    value: float
    status: str
    unit: str
    event: str
    running: float
    is_summary: bool = False
    spelling: str = ""
    error: float = NAN


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


def error_of(text: str) -> float:
    """The relative standard error from perf's `+-` percentage, NaN for what is no number."""
    digits = text.strip().rstrip("%").replace(",", ".").strip()
    return float(digits) / 100 if re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", digits) else NAN


@lru_cache(KEPT)
def event_name(text: str) -> str:
    name = text.strip()
    if not name:
        raise Malformed("the event has no name")
    if len(name) > 400 or not _EVENT.fullmatch(name):
        raise Malformed(f"'{printable(name)}' is no event name")
    return name


def clock_unit(event: str, unit: str, value: str) -> str:
    """The unit of a clock without one: old releases print milliseconds with decimals, new ones nanoseconds."""
    if unit or event.split(":")[0] not in CLOCKS:
        return unit
    return "msec" if "." in value or value in STATUS_TOKENS else "ns"


@lru_cache(KEPT)
def unit_name(field: str) -> str:
    unit = field.strip()
    if not re.fullmatch(r"[\w%/.^ -]{0,24}", unit):
        raise Malformed(f"'{printable(unit, 40)}' is no unit")
    if unit.endswith("/sec"):
        raise Malformed(f"{unit} is the unit of a rate, not of a count")
    return unit


def reading(token: str) -> tuple[float, str]:
    """(value, status) of a value field."""
    status = STATUS_TOKENS.get(token)
    return (NAN, status) if status else (count(token), OK)


@lru_cache(KEPT)
def grouped_scope(text: str) -> str | None:
    """`core:S0-D0-C0` and the like, None for what is no group of CPUs."""
    for kind, pattern in _SCOPES:
        match = pattern.fullmatch(text)
        if match:
            return f"{kind}:{match[1]}"
    return None


def cpu_scope(text: str) -> str:
    """`cpu:3` of its number."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise Malformed(f"cpu should be a number, found '{printable(text)}'")
    return f"cpu:{int(text)}"


def thread_scope(text: str) -> str:
    if not re.fullmatch(r".+-\d+", text):
        raise Malformed(f"expected a count or a scope, found '{printable(text)}'")
    return f"thread:{text}"


def with_cgroup(scope: str, name: str) -> str:
    """The scope of a control group, alone or beside a CPU or thread: `cgroup:A`, `cpu:0 cgroup:A`."""
    cgroup = name.strip()
    if not cgroup:
        return scope
    if len(cgroup) > 400:
        raise Malformed(f"'{printable(cgroup, 40)}' is too long for a control group")
    return f"{scope} cgroup:{cgroup}".strip()


def metric_row(time_s: float, scope: str, value: float, text: str, running: float = NAN) -> PerfRow | None:
    """A ratio from what perf prints behind its value: unit and name, such as `%  tma_backend_bound`.

    None for perf's older phrases (`GHz`, `of all branches`), which repeat in words what is in the counts.
    """
    known = _unit_and_name if len(text) <= LONGEST_ROW else _unit_and_name.__wrapped__
    unit, name = known(text)
    return named_metric(time_s, scope, value, name, unit, running) if name else None


@lru_cache(KEPT)
def _unit_and_name(text: str) -> tuple[str, str]:
    """What stands behind a ratio's value, as unit and name; the name is '' where it has none."""
    words = text.split()
    at = next((i for i, word in enumerate(words) if _IDENTIFIER.fullmatch(word)), None)
    if at is None:  # a name of one word, behind a unit that says what it is a share of, or behind none
        if len(words) == 1 and metric_name(words[0]) in SLOTS_CLASSES:
            return "", words[0]
        if words[:1] == ["%"] and metric_name(name := " ".join(words[1:])) in SLOTS_CLASSES:
            return "%", name  # before perf called it tma_backend_bound
        unit = " ".join(words[:-1])
        if len(words) < 2 or not (_SHARE_UNIT.fullmatch(unit) and is_known(words[-1])):
            return "", ""
        at = len(words) - 1
    return (" ".join(words[:at]), words[at]) if at == len(words) - 1 else ("", "")


def of_group(metric: PerfRow, group: str) -> PerfRow:
    """The ratio with its PMU, which perf names with the group on machines of several: `TopdownL1 (cpu_core)`."""
    name, _, pmu = group.partition(" (")
    return metric._replace(spelling=f"{metric.spelling} ({pmu}") if name and pmu.endswith(")") else metric


def named_metric(time_s: float, scope: str, value: float, name: str, unit: str = "", running: float = NAN) -> PerfRow:
    """A ratio under its one name. Raises Malformed where the name is none."""
    known = _metric if len(name) + len(unit) <= LONGEST_ROW else _metric.__wrapped__
    event, unit, spelling, scale = known(name, unit)
    return PerfRow(time_s, scope, value * scale, OK, unit, event, running, False, spelling)


@lru_cache(KEPT)
def _metric(name: str, unit: str) -> tuple[str, str, str, int]:
    """(event, unit, spelling, what a value as printed is to be multiplied by) of a ratio."""
    spelling = event_name(" ".join(name.split()))
    canonical, scale = metric_name(spelling), 1
    if not canonical:
        raise Malformed(f"'{printable(spelling)}' is no name of a metric")
    if canonical in _IDLE:
        scale, unit = 100 if "_" in spelling and not unit.startswith("%") else 1, "%"
        canonical = _IDLE[canonical]
    unit = "%" if unit.startswith("%") or _SHARE_UNIT.fullmatch(unit) else unit[:40]
    return METRIC_PREFIX + canonical, unit, spelling, scale


def check_length(line: str) -> None:
    """Before patterns whose time grows with the square of a line's length."""
    if len(line) > LONGEST_ROW:
        raise Malformed(f"{len(line)} characters, longer than any row of this format")


def is_transcript(line: str) -> bool:
    """The command and exit code of a pasted shell session."""
    return _TRANSCRIPT.match(line) is not None
