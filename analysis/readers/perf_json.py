"""`perf stat -j`: one JSON object a line, in the forms of old and new perf.

Old perf writes numbers bare, newer quotes them and prints `"(null)"` for no unit. Records that hold only a ratio follow
their event, or the head of their group (`"metricgroup" : "TopdownL1"`); captures of `--metric-only` hold nothing else,
with a key a metric, or with the names on a line of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analysis.errors import printable
from analysis.readers.json_records import Pairs, documents, records, unique
from analysis.readers.locale_numbers import with_point
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_metric_columns import metric_of
from analysis.readers.perf_rows import (
    Malformed,
    PerfRow,
    error_of,
    event_name,
    grouped_scope,
    is_transcript,
    metric_row,
    number,
    of_group,
    reading,
    share,
    thread_scope,
    unit_name,
    with_cgroup,
)
from analysis.readers.source import Source
from analysis.table import NAN, Table

FORMAT = "perf-json"
SCOPE_KEYS = ("core", "die", "socket", "node", "cluster", "cache")
OTHER_KEYS = {
    *("interval", "cpu", "thread", "aggregate-number", "counters", "counter-value", "unit", "event", "event-runtime"),
    *("pcnt-running", "variance", "metric-value", "metric-unit", "metric-threshold", "metricgroup", "cgroup", "cpus"),
    *SCOPE_KEYS,
}


@dataclass
class _State:
    """running, group: of the metrics whose ratios follow. names: of `--metric-only`'s columns, on line `row`.

    derived: records with a ratio that only repeats the counts.
    """

    running: float = NAN
    group: str = ""
    names: list[str] = field(default_factory=list)
    row: int = 0
    are_used: bool = True
    derived: int = 0


def read(source: Source) -> Table:
    """Raises AnalysisError where a record is wrong or there is none."""
    builder = PerfBuilder(source, FORMAT)
    state = _State()
    if source.head[0].strip() in ("{", "["):
        source.least = 8  # a record stands on several lines
    for row, line in documents(source.lines()):
        text = line.strip()
        if line.startswith("#") or is_transcript(line):
            builder.header_line(line)
            continue
        if not text.startswith(("{", "[{", "[ {")) and '" :' not in text:
            source.skip(row)  # what the program itself printed
            continue
        try:
            found = records(text.lstrip("[ "))
            if _is_of_others(found):
                source.skip(row)
                continue
            for one in _line(found, row, state):
                builder.add(one)
        except Malformed as problem:
            source.reject(row, str(problem))
    if not state.are_used:
        source.reject(state.row, "no counter and no metric in the record")
    table = builder.table()
    if state.derived:
        table.notes.append(f"{state.derived} record(s) that hold only a derived metric are not read")
    return table


def _is_of_others(found: list[Pairs]) -> bool:
    """Objects of the program itself: perf's own have a key of its, or metrics, which it quotes."""
    return not any(key in OTHER_KEYS or isinstance(value, str) for pairs in found for key, value in pairs)


def _line(found: list[Pairs], row: int, state: _State) -> list[PerfRow]:
    if all(key == "unit" for pairs in found for key, _ in pairs):
        state.names = [_text(value) for pairs in found for _, value in pairs]
        state.row, state.are_used = row, False
        return []
    if state.names and [key for key, _ in found[-1]] == ["metric-value"]:
        return _columns(found, state)
    return [one for pairs in found for one in _rows(unique(pairs), state)]


def _columns(found: list[Pairs], state: _State) -> list[PerfRow]:
    """The values below a line of names, each an object; before them the interval, where there is one."""
    time_s = NAN
    if found[0][0][0] == "interval":
        time_s, found = number(_text(found[0][0][1]), "the interval"), found[1:]
    values = [_text(pairs[0][1]) for pairs in found if [key for key, _ in pairs] == ["metric-value"]]
    if len(values) != len(found) or len(values) != len(state.names):
        raise Malformed(f"{len(found)} values below the names of {len(state.names)} metrics")
    state.are_used = True
    rows = [metric_of(time_s, "", name, value) for name, value in zip(state.names, values, strict=True)]
    return [row for row in rows if row is not None]


def _rows(record: dict[str, Any], state: _State) -> list[PerfRow]:
    """What a record holds: a count, ratios, or nothing where it only repeats others."""
    time_s, is_summary = NAN, False
    interval = record.get("interval")
    if isinstance(interval, str) and interval.strip() == "summary":
        is_summary = True
    elif interval is not None:
        time_s = number(_text(interval), "the interval")
    scope = _scope(record)
    percent = record.get("pcnt-running")
    running = NAN if percent is None else share(_text(percent))
    if "counter-value" not in record:
        if "metricgroup" in record and "metric-value" not in record:
            state.running, state.group = running, str(record["metricgroup"])[:200]
            return []
        return _metrics(record, time_s, scope, running if percent is not None else state.running, state)
    state.running, state.group = NAN, ""
    value, status = reading(_text(record["counter-value"]))
    if not isinstance(record.get("event"), str):
        raise Malformed("a counter without an event name")
    unit = record.get("unit")
    unit_text = "" if unit in (None, "(null)") else unit_name(_text(unit))
    error = error_of(str(record.get("variance", "")))
    event = event_name(record["event"])
    row = PerfRow(time_s, scope, value, status, unit_text, event, running, is_summary, error=error)
    metric = None if is_summary else _named(record, time_s, scope, running)
    return [row, metric] if metric else [row]


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Malformed(f"expected a number, found '{printable(str(value))}'")
    return with_point(value.strip()) if isinstance(value, str) else repr(value)


def _scope(record: dict[str, Any]) -> str:
    scope = ""
    if "cpu" in record:
        cpu = _text(record["cpu"]).removeprefix("CPU")
        if not cpu.isdigit():
            raise Malformed(f"cpu should be a number, found '{printable(cpu)}'")
        scope = f"cpu:{int(cpu)}"
    elif "thread" in record:
        scope = thread_scope(_text(record["thread"]))
    else:
        for key in SCOPE_KEYS:
            if key in record:
                name = _text(record[key])
                grouped = grouped_scope(name)
                if grouped is None:
                    raise Malformed(f"{key} should read like S0-D0-C0, found '{printable(name)}'")
                scope = grouped
                break
    cgroup = record.get("cgroup", "")
    if not isinstance(cgroup, str):
        raise Malformed(f"cgroup should be a name, found '{printable(str(cgroup))}'")
    return with_cgroup(scope, cgroup)


def _named(record: dict[str, Any], time_s: float, scope: str, running: float) -> PerfRow | None:
    """The ratio of a record, where it has a name."""
    value, unit = record.get("metric-value"), record.get("metric-unit")
    if value is None or not isinstance(unit, str) or "  " not in unit.strip():
        return None
    text = _text(value)
    if text.lstrip("-") in ("nan", "inf", "none", "") or text.startswith("-"):
        return None
    return metric_row(time_s, scope, number(text, "the metric"), unit, running)


def _metrics(record: dict[str, Any], time_s: float, scope: str, running: float, state: _State) -> list[PerfRow]:
    """The ratios of a record without a count: one named by its unit, or each by a key of its own."""
    if "metric-value" in record or "metric-unit" in record:
        metric = _named(record, time_s, scope, running)
        state.derived += metric is None
        return [of_group(metric, state.group)] if metric else []
    names = [k for k in record if k not in OTHER_KEYS]
    if not names:
        raise Malformed("no counter and no metric in the record")
    rows = []
    for name in names:
        text = _text(record[name])
        if text in ("", "none"):
            continue
        share_of = "%" in name or text.endswith("%")
        clean = " ".join(name.replace("%", "").split())
        if metric := metric_of(time_s, scope, clean, text, "%" if share_of else ""):
            rows.append(metric)
    return rows
