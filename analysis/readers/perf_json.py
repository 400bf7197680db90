"""`perf stat -j`: one JSON object a line, in the forms of old and new perf.

Old perf writes numbers bare, newer quotes them and prints `"(null)"` for no unit; some versions leave a comma before
the closing brace; records that hold only metrics, and whole captures of them (`--metric-only`), exist as well.
"""

from __future__ import annotations

import json
import math
from typing import Any

from analysis.errors import printable
from analysis.phase import METRIC_PREFIX, OK
from analysis.readers.perf_rows import (
    Malformed,
    PerfBuilder,
    PerfRow,
    event_name,
    grouped_scope,
    is_transcript,
    number,
    reading,
    share,
    thread_scope,
    unit_name,
)
from analysis.readers.source import Source
from analysis.table import NAN, Table

FORMAT = "perf-json"
SCOPE_KEYS = ("core", "die", "socket", "node", "cluster", "cache")
OTHER_KEYS = {
    *("interval", "cpu", "thread", "aggregate-number", "counters", "counter-value", "unit", "event", "event-runtime"),
    *("pcnt-running", "variance", "metric-value", "metric-unit", "metric-threshold", "metricgroup", "cgroup"),
    *SCOPE_KEYS,
}


def read(source: Source) -> Table:
    builder = PerfBuilder(source, FORMAT)
    derived = 0
    for row, line in source.lines():
        text = line.strip()
        if not text or text in "[]":
            continue
        if line.startswith("#") or is_transcript(line):
            builder.header_line(line)
            continue
        try:
            record = _record(text)
            rows = _rows(record)
        except Malformed as problem:
            source.reject(row, str(problem))
            continue
        derived += not rows
        for one in rows:
            builder.add(one)
    table = builder.table()
    if derived:
        table.notes.append(f"{derived} record(s) that hold only a derived metric are not read")
    return table


def _record(text: str) -> dict[str, Any]:
    try:
        record = json.loads(_without_trailing_commas(text), parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        reason = problem.msg if isinstance(problem, json.JSONDecodeError) else str(problem)
        raise Malformed(f"not a JSON object on one line: {reason}") from None
    if not isinstance(record, dict) or not record:
        raise Malformed("expected a JSON object with counts")
    return record


def _without_trailing_commas(text: str) -> str:
    """`{"a" : 1, },` as `{"a" : 1}`."""
    text = text.rstrip(", \t")
    inside = text[:-1].rstrip()
    return inside[:-1] + "}" if text.endswith("}") and inside.endswith(",") else text


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _rows(record: dict[str, Any]) -> list[PerfRow]:
    """The counts in a record; none where it continues another one with a metric."""
    time_s, is_summary = NAN, False
    interval = record.get("interval")
    if isinstance(interval, str) and interval.strip() == "summary":
        is_summary = True
    elif interval is not None:
        time_s = number(_text(interval), "the interval")
    scope = _scope(record)
    if "counter-value" not in record:
        return _metrics(record, time_s, scope)
    value, status = reading(_text(record["counter-value"]))
    if not isinstance(record.get("event"), str):
        raise Malformed("a counter without an event name")
    unit = record.get("unit")
    percent = record.get("pcnt-running")
    running = NAN if percent is None else share(_text(percent))
    unit_text = "" if unit in (None, "(null)") else unit_name(_text(unit))
    return [PerfRow(time_s, scope, value, status, unit_text, event_name(record["event"]), running, is_summary)]


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(f"expected a number, found '{printable(str(value))}'")
    return value.strip() if isinstance(value, str) else repr(value)


def _scope(record: dict[str, Any]) -> str:
    if "cpu" in record:
        cpu = _text(record["cpu"]).removeprefix("CPU")
        if not cpu.isdigit():
            raise Malformed(f"cpu should be a number, found '{printable(cpu)}'")
        return f"cpu:{int(cpu)}"
    if "thread" in record:
        return thread_scope(_text(record["thread"]))
    for key in SCOPE_KEYS:
        if key in record:
            name = _text(record[key])
            scope = grouped_scope(name)
            if scope is None:
                raise Malformed(f"{key} should read like S0-D0-C0, found '{printable(name)}'")
            return scope
    return ""


def _metrics(record: dict[str, Any], time_s: float, scope: str) -> list[PerfRow]:
    """The ratios of a record of `--metric-only`, which names each by a key of its own."""
    if "metric-value" in record or "metric-unit" in record:
        return []
    names = [k for k in record if k not in OTHER_KEYS]
    if not names:
        raise Malformed("no counter and no metric in the record")
    rows = []
    for name in names:
        text = _text(record[name])
        if text in ("", "none"):
            continue
        value = number(text.removesuffix("%"), f"metric {printable(name)}")
        clean = METRIC_PREFIX + event_name(" ".join(name.replace("%", "").split()))
        rows.append(PerfRow(time_s, scope, value, OK, "%" if "%" in name + text else "", clean, NAN))
    assert all(math.isfinite(r.value) for r in rows)
    return rows
