"""One row of `perf stat -x SEP`: `[time] [scope] value unit event [cgroup] [variance] runtime percent [metric, unit]`.

Rows are read from the left: an event's name ends at the separator, save within slashes
(`12,,armv8_pmuv3_0/event=0x4005,config1=1/,1000,100.00,,`). Where the separator is a comma and the locale's decimal
mark is one too, a number with decimals takes two fields. Perf before 4.0 ends its rows at the event.
"""

from __future__ import annotations

import csv
import re
from itertools import pairwise
from typing import NamedTuple

from analysis.errors import printable
from analysis.events import is_known_event
from analysis.phase import OK
from analysis.readers.perf_rows import (
    STATUS_TOKENS,
    Malformed,
    PerfRow,
    clock_unit,
    count,
    error_of,
    event_name,
    grouped_scope,
    metric_row,
    number,
    reading,
    share,
    thread_scope,
    unit_name,
    with_cgroup,
)
from analysis.table import NAN

MOST_FIELDS = 64
TIME = re.compile(r"\s*\d{1,12}[.,]\d{9}\s*")
_COUNT = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_RUNTIME = re.compile(r"\d{1,20}")
_PERCENT = re.compile(r"\d{1,5}\.\d\d")
_VARIANCE = re.compile(r"\d{1,6}(?:\.\d{1,4})?%|-?(?:nan|inf)%")
_DECIMAL_COMMA = re.compile(r"\s*\d+,\d+%?\s*")
THRESHOLDS = ("unknown", "bad", "nearly bad", "less good", "good")
"""How a metric relates to its threshold: a column of its own since perf 6.13."""
IN_NAMES = frozenset("_-/.=@:")
_UNIT = re.compile(r"[A-Za-z%]*")
_WORDS = re.compile(r"[A-Za-z]+(?: [A-Za-z]+)+[.:]?")
_MAY_BE_EVENT = re.compile(r"[A-Za-z][\w.:-]*|[A-Za-z][\w.-]*/.*")
_MODIFIER = re.compile(r"[ukhGHpPSDIWeb]{1,8}")


class Dialect(NamedTuple):
    """separator: between fields. comma: the separator is a comma and so is the decimal mark. is_old: rows end at the
    event, without a running time and a percentage.
    """

    separator: str
    comma: bool = False
    is_old: bool = False


class Line(NamedTuple):
    """What a line holds: a count, ratios, or the head of a group of metrics, with the share that those counted."""

    row: PerfRow | None = None
    metrics: tuple[PerfRow, ...] = ()
    group: str = ""
    running: float = NAN


def parse(line: str, dialect: Dialect) -> Line:
    """Raises Malformed."""
    fields = _fields(line, dialect.separator)
    if dialect.separator != ",":
        fields = [f.replace(",", ".", 1) if is_decimal_comma(f) else f for f in fields]
    time_s, is_summary, fields = _time(fields, dialect)
    scope, fields = _scope(fields, dialect.separator)
    if len(fields) >= 3 and not fields[0].strip():
        return _without_count(fields, time_s, scope, dialect)
    if len(fields) < 2:
        raise Malformed(f"expected a count and an event, found '{printable(line)}'")
    token, fields = _value(fields, dialect)
    value, status = reading(token)
    if len(fields) == 1 or (len(fields) == 2 and is_known_event(fields[0].strip())):  # perf before 3.14 has no unit
        unit, rest = "", fields
    else:
        unit, rest = unit_name(fields[0]), fields[1:]
    event, behind_event = _event(rest, dialect.separator)
    cgroup, running, rest = _behind(behind_event, dialect)
    unit = clock_unit(event, unit, token)
    error = _error(behind_event, dialect)
    row = PerfRow(time_s, with_cgroup(scope, cgroup), value, status, unit, event, running, is_summary, error=error)
    return Line(row, () if is_summary or status != OK else _metrics(rest, row))


def _fields(line: str, separator: str) -> list[str]:
    """The fields; quotes around some are a spreadsheet's."""
    if '"' in line and len(separator) == 1 and separator != '"':
        try:
            return next(csv.reader([line], delimiter=separator, strict=True), [])[:MOST_FIELDS]
        except csv.Error as problem:
            raise Malformed(f"quotes that do not close: {problem}") from None
    fields = line.split(separator, MOST_FIELDS)
    if len(fields) > MOST_FIELDS:
        raise Malformed(f"more than {MOST_FIELDS} fields")
    return fields


def is_decimal_comma(field: str) -> bool:
    return _DECIMAL_COMMA.fullmatch(field) is not None


def is_row_like(line: str, separator: str) -> bool:
    """Whether a line has a count, an event or perf's share of time in it: what is never passed over in silence."""
    if separator not in line and _WORDS.fullmatch(line):
        return False
    fields = line.split(separator, MOST_FIELDS)
    first = fields[0].strip()
    if _is_value(first) or TIME.fullmatch(fields[0]) or grouped_scope(first):
        return True
    names = (f[:200].strip() for f in fields[:6])
    return any(is_known_event(name) for name in names if _MAY_BE_EVENT.fullmatch(name)) or any(
        _RUNTIME.fullmatch(a.strip()) and _PERCENT.fullmatch(b.strip().replace(",", ".")) for a, b in pairwise(fields)
    )


def _time(fields: list[str], dialect: Dialect) -> tuple[float, bool, list[str]]:
    first = fields[0].strip()
    if TIME.fullmatch(fields[0]) and len(fields) > 2:
        return number(first.replace(",", "."), "the time"), False, fields[1:]
    if dialect.comma and len(fields) > 3 and fields[0][:1] == " " and first.isdigit() and _is_digits(fields[1], 9):
        return number(f"{first}.{fields[1]}", "the time"), False, fields[2:]
    if first == "summary":
        return NAN, True, fields[1:]
    return NAN, False, fields


def _is_digits(field: str, n: int) -> bool:
    return len(field) == n and field.isascii() and field.isdigit()


def _is_value(field: str) -> bool:
    text = field.strip()
    return text in STATUS_TOKENS or _COUNT.fullmatch(text) is not None


def _scope(fields: list[str], separator: str) -> tuple[str, list[str]]:
    """The scope, '' for none, and the fields behind it."""
    first = fields[0].strip()
    group = grouped_scope(first)
    if group and group.startswith("cpu:"):
        return group, fields[1:]
    if group and len(fields) > 3 and _is_value(fields[1]) and _UNIT.fullmatch(fields[2]) and fields[3].strip():
        return group, fields[1:]  # of an event with `percore`: no number of CPUs
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


def _value(fields: list[str], dialect: Dialect) -> tuple[str, list[str]]:
    """The count's digits, and the fields behind it. Counts with decimals have a unit, which is no number."""
    token = fields[0].strip()
    if dialect.comma and len(fields) > 3 and token.isdigit() and _is_digits(fields[1], 2) and fields[2].strip():
        return f"{token}.{fields[1]}", fields[2:]
    return token, fields[1:]


def _event(rest: list[str], separator: str) -> tuple[str, list[str]]:
    """The event's name and the fields behind it."""
    if not rest:
        raise Malformed("the event has no name")
    end = 1
    if IN_NAMES.issuperset(separator):
        # The separator cannot be told from the name's own: it reaches as far as an event that we know does, else to the
        # running time, over words alone.
        while end < len(rest) and not _COUNT.fullmatch(rest[end].strip()) and not _is_variance(rest[end]):
            end += 1
        known = [n for n in range(end, 0, -1) if is_known_event(separator.join(rest[:n]).strip())]
        end = known[0] if known else end
        if separator == ":" and end == 2 and not _MODIFIER.fullmatch(rest[1]):
            end = 1 if not rest[1].strip() else end
    else:
        slashes = rest[0].count("/")
        while slashes % 2 and end < len(rest):
            slashes += rest[end].count("/")
            end += 1
        if slashes % 2:
            raise Malformed(f"no slash ends the event '{printable(rest[0], 60)}'")
    return event_name(separator.join(rest[:end])), rest[end:]


def _is_variance(field: str) -> bool:
    return _VARIANCE.fullmatch(field.strip()) is not None


def _behind(rest: list[str], dialect: Dialect) -> tuple[str, float, list[str]]:
    """(control group, share of time counted, fields of the metric) from what follows the event."""
    if rest:
        running, behind = _running(_without_variance(rest, dialect), dialect)
        if running is not None:
            return "", running, behind
    cgroup = ""
    if rest and not _is_variance(rest[0]) and not _COUNT.fullmatch(rest[0].strip()):
        cgroup, rest = rest[0], rest[1:]
    rest = _without_variance(rest, dialect)
    if dialect.is_old and not rest and _is_name(cgroup):
        return cgroup, NAN, []
    running, behind = _running(rest, dialect)
    if running is None or not _is_name(cgroup):
        shown = dialect.separator.join([*([cgroup] if cgroup else []), *rest])
        hint = "" if dialect.comma or dialect.separator != "," else ", with a point for decimals"
        raise Malformed(f"no running time and percentage{hint} after the event in '{printable(shown, 60)}'")
    return cgroup, running, behind


def _is_name(cgroup: str) -> bool:
    """Whether a control group may be called so; an empty field stands for none."""
    return not cgroup.strip() or re.fullmatch(r"[\w/][^<>\"']*", cgroup.strip()) is not None


def _without_variance(rest: list[str], dialect: Dialect) -> list[str]:
    if rest and _is_variance(rest[0]):
        return rest[1:]
    if dialect.comma and len(rest) > 1 and rest[0].isdigit() and re.fullmatch(r"\d\d%", rest[1]):
        return rest[2:]
    return rest


def _error(rest: list[str], dialect: Dialect) -> float:
    """The variance over repeated runs, behind the event or its control group; NaN where there is none."""
    if dialect.comma:
        pairs = (f"{a}.{b}" for a, b in pairwise(rest[:3]) if a.isdigit() and re.fullmatch(r"\d\d%", b))
        return next(map(error_of, pairs), NAN)
    return next((error_of(field) for field in rest[:2] if _is_variance(field)), NAN)


def _running(rest: list[str], dialect: Dialect) -> tuple[float | None, list[str]]:
    """The share after a running time, and what follows; None where there is none."""
    if len(rest) < 2 or not _RUNTIME.fullmatch(rest[0].strip()):
        return None, rest
    if dialect.comma:
        if len(rest) > 2 and rest[1].isdigit() and _is_digits(rest[2].strip(), 2):
            return share(f"{rest[1]}.{rest[2].strip()}"), rest[3:]
        return None, rest
    return (share(rest[1].strip()), rest[2:]) if _PERCENT.fullmatch(rest[1].strip()) else (None, rest)


def _metrics(rest: list[str], row: PerfRow) -> tuple[PerfRow, ...]:
    """The ratio that perf worked out of the count and others, where it has a name."""
    if len(rest) < 2 or "  " not in rest[1] or not _COUNT.fullmatch(rest[0].strip()):
        return ()
    found = metric_row(row.time_s, row.scope, number(rest[0].strip(), "the metric"), rest[1], row.running)
    return (found,) if found else ()


def _without_count(fields: list[str], time_s: float, scope: str, dialect: Dialect) -> Line:
    """A further metric of the event above, or the head of a group of metrics: `,225849327050,100.00,,,,TopdownL1`."""
    running, behind = _running(fields[1:], dialect)
    filled = [f.strip() for f in behind if f.strip()]
    if running is not None and len(filled) == 1:
        return Line(group=event_name(filled[0]), running=running)
    filled = [f.strip() for f in fields if f.strip()]
    if any(f.strip() for f in fields[:3]):
        if fields[0].strip() or not fields[1].strip() or running is None:
            raise Malformed(f"expected a count, found '{printable(dialect.separator.join(fields), 60)}'")
        filled = filled[2:]
    if len(filled) == 3 and filled[2] in THRESHOLDS:
        filled = filled[:2]
    if len(filled) > 2:
        raise Malformed(f"expected a count, found '{printable(dialect.separator.join(fields), 60)}'")
    if len(filled) != 2 or not _COUNT.fullmatch(filled[0]):
        return Line()
    found = metric_row(time_s, scope, number(filled[0], "the metric"), filled[1])
    return Line(metrics=(found,) if found else (), running=NAN if running is None else running)
