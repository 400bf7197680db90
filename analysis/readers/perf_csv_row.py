"""One row of `perf stat -x SEP`: `[time] [scope] value unit event runtime percent [metric value, metric unit]`.

Rows are parsed from both ends, since event names may hold the separator and are not quoted:
`12,,armv8_pmuv3_0/event=0x4005,config1=1/,1000,100.00,,`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from analysis.errors import printable
from analysis.readers.perf_rows import (
    STATUS_TOKENS,
    Malformed,
    PerfRow,
    count,
    event_name,
    grouped_scope,
    is_transcript,
    number,
    reading,
    share,
    thread_scope,
    unit_name,
)
from analysis.table import NAN

SEPARATORS = (",", ";", "\t", "|", "::", ":", "!", "^", "~", "@", "%%", "  ", " ")

TIME = re.compile(r"\s*\d+[.,]\d{9}\s*")
_COUNT = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_RUNTIME = re.compile(r"\d+")
_PERCENT = re.compile(r"\d+(?:\.\d+)?")
_VARIANCE = re.compile(r"\d+(?:\.\d+)?%")


def sniff_separator(head: Sequence[str]) -> str | None:
    """The separator with which most of the first lines are rows of perf; None if with none any is.

    Only full rows count as evidence, those with a running time and a percentage behind the event.
    """
    lines = [line for line in head if line.strip() and not line.startswith("#") and not is_transcript(line)][:50]
    best, most = None, 0
    for separator in SEPARATORS:
        good = sum(_is_full_row(line, separator) for line in lines if separator in line)
        if good > most:
            best, most = separator, good
    return best


def _is_full_row(line: str, separator: str) -> bool:
    try:
        parsed = parse(line, separator)
    except Malformed:
        return False
    return parsed is not None and parsed.running == parsed.running  # not NaN


def parse(line: str, separator: str) -> PerfRow | None:
    """One row, or None for a row that holds only a derived metric. Raises Malformed."""
    fields = line.split(separator)
    if separator != ",":
        fields = [f.replace(",", ".", 1) if is_decimal_comma(f) else f for f in fields]
    time_s, is_summary, fields = _time(fields)
    scope, fields = _scope(fields, separator)
    if len(fields) >= 3 and not any(f.strip() for f in fields[:3]):
        return None
    if len(fields) < 2:
        raise Malformed(f"expected a count and an event, found '{printable(line)}'")
    value, status = reading(fields[0].strip())
    if len(fields) == 2:  # perf before 3.18: count and event only
        return PerfRow(time_s, scope, value, status, "", event_name(fields[1]), NAN, is_summary)
    unit, rest = unit_name(fields[1]), fields[2:]
    event, running = _event(rest, separator)
    return PerfRow(time_s, scope, value, status, unit, event, running, is_summary)


def is_decimal_comma(field: str) -> bool:
    return re.fullmatch(r"\s*\d+,\d+%?\s*", field) is not None


def _time(fields: list[str]) -> tuple[float, bool, list[str]]:
    first = fields[0].strip()
    if TIME.fullmatch(fields[0]) and len(fields) > 2:
        return number(first, "the time"), False, fields[1:]
    if first == "summary":
        return NAN, True, fields[1:]
    return NAN, False, fields


def _is_value(field: str) -> bool:
    text = field.strip()
    return text in STATUS_TOKENS or _COUNT.fullmatch(text) is not None


def _scope(fields: list[str], separator: str) -> tuple[str, list[str]]:
    """The scope, '' for none, and the fields behind it."""
    first = fields[0].strip()
    group = grouped_scope(first)
    if group and group.startswith("cpu:"):
        return group, fields[1:]
    if group and len(fields) > 2:
        if fields[1].strip():
            count(fields[1].strip())  # the number of CPUs in the group
        return group, fields[2:]
    if _is_value(fields[0]) or not first:
        return "", fields
    for at in range(1, len(fields)):  # a thread's name may hold the separator
        if _is_value(fields[at]) or not fields[at].strip():
            return thread_scope(separator.join(fields[:at]).strip()), fields[at:]
    raise Malformed(f"expected a count, found '{printable(separator.join(fields), 60)}'")


def _event(rest: list[str], separator: str) -> tuple[str, float]:
    """Event name and running share from what follows the unit: the name ends before runtime and percent."""
    for at in range(len(rest) - 2, 0, -1):
        if _RUNTIME.fullmatch(rest[at].strip()) and _PERCENT.fullmatch(rest[at + 1].strip()):
            end = at - 1 if at > 1 and _VARIANCE.fullmatch(rest[at - 1].strip()) else at
            return event_name(separator.join(rest[:end])), share(rest[at + 1].strip())
    if len(rest) == 1:  # perf before 4.0 may end here
        return event_name(rest[0]), NAN
    raise Malformed(f"no running time and percentage after the event in '{printable(separator.join(rest), 60)}'")
