"""One record of `perf stat -j`: a count, ratios, or the head of a group of metrics."""

from __future__ import annotations

from typing import Any

from analysis.errors import printable
from analysis.readers.locale_numbers import with_point
from analysis.readers.perf_metric_columns import metric_of
from analysis.readers.perf_rows import (
    Malformed,
    PerfRow,
    cpu_scope,
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
from analysis.readers.perf_text_row import TextLine
from analysis.table import NAN

SCOPE_KEYS = ("core", "die", "socket", "node", "cluster", "cache")
OTHER_KEYS = {
    *("interval", "cpu", "thread", "aggregate-number", "counters", "counter-value", "unit", "event", "event-runtime"),
    *("pcnt-running", "variance", "metric-value", "metric-unit", "metric-threshold", "metricgroup", "cgroup", "cpus"),
    *SCOPE_KEYS,
}


def parse(record: dict[str, Any]) -> TextLine:
    """What a record holds. Raises Malformed.

    running: None where the record has no share; NaN for metrics with keys of their own, which have none at all. A
    record that holds only a ratio in words, which repeats the counts, has neither metrics nor a group.
    """
    time_s, is_summary = NAN, False
    interval = record.get("interval")
    if isinstance(interval, str) and interval.strip() == "summary":
        is_summary = True
    elif interval is not None:
        time_s = number(text_of(interval), "the interval")
    scope = _scope(record)
    percent = record.get("pcnt-running")
    running = None if percent is None else share(text_of(percent))
    if "counter-value" not in record:
        if "metricgroup" in record and "metric-value" not in record:
            return TextLine(None, [], str(record["metricgroup"])[:200] or " ", running)
        if "metric-value" in record or "metric-unit" in record:
            metric = _named(record, time_s, scope)
            return TextLine(None, [metric] if metric else [], "", running)
        return TextLine(None, _metrics(record, time_s, scope), "", NAN)
    value, status = reading(text_of(record["counter-value"]))
    if not isinstance(record.get("event"), str):
        raise Malformed("a counter without an event name")
    unit = record.get("unit")
    unit_text = "" if unit in (None, "(null)") else unit_name(text_of(unit))
    error = error_of(str(record.get("variance", "")))
    counted = NAN if running is None else running
    event = event_name(record["event"])
    row = PerfRow(time_s, scope, value, status, unit_text, event, counted, is_summary, error=error)
    metric = None if is_summary else _named(record, time_s, scope)
    return TextLine(row, [metric] if metric else [], "", running)


def text_of(value: Any) -> str:
    """A number, or words in place of one, as text with a point for decimals. Raises Malformed."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(f"expected a number, found '{printable(str(value))}'")
    return with_point(value.strip()) if isinstance(value, str) else repr(value)


def _scope(record: dict[str, Any]) -> str:
    scope = ""
    if "cpu" in record:
        scope = cpu_scope(text_of(record["cpu"]).removeprefix("CPU"))
    elif "thread" in record:
        scope = thread_scope(text_of(record["thread"]))
    else:
        for key in SCOPE_KEYS:
            if key in record:
                name = text_of(record[key])
                grouped = grouped_scope(name)
                if grouped is None:
                    raise Malformed(f"{key} should read like S0-D0-C0, found '{printable(name)}'")
                scope = grouped
                break
    cgroup = record.get("cgroup", "")
    if not isinstance(cgroup, str):
        raise Malformed(f"cgroup should be a name, found '{printable(str(cgroup))}'")
    return with_cgroup(scope, cgroup)


def _named(record: dict[str, Any], time_s: float, scope: str) -> PerfRow | None:
    """The ratio of a record, where it has a name."""
    value, unit = record.get("metric-value"), record.get("metric-unit")
    if value is None or not isinstance(unit, str) or "  " not in unit.strip():
        return None
    text = text_of(value)
    if text.lstrip("-") in ("nan", "inf", "none", "") or text.startswith("-"):
        return None
    return metric_row(time_s, scope, number(text, "the metric"), unit)


def _metrics(record: dict[str, Any], time_s: float, scope: str) -> list[PerfRow]:
    """The ratios of a record of `--metric-only`, each by a key of its own."""
    names = [k for k in record if k not in OTHER_KEYS]
    if not names:
        raise Malformed("no counter and no metric in the record")
    rows = []
    for name in names:
        text = text_of(record[name])
        if text in ("", "none"):
            continue
        share_of = "%" in name or text.endswith("%")
        clean = " ".join(name.replace("%", "").split())
        if metric := metric_of(time_s, scope, clean, text, "%" if share_of else ""):
            rows.append(metric)
    return rows
