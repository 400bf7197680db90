"""The two CSV forms of Arm's topdown-tool: metrics (`time,group,stage,level,metric,value,units`) and events
(`run,time,event,value`).

Columns are found by name, since some versions have more of them. An empty value was not counted; without intervals
the time is empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter

from analysis.errors import printable
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, OK
from analysis.readers.csv_rows import cell_number, rows_after
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, event_name, named_metric
from analysis.readers.shapes import Added
from analysis.readers.source import Source
from analysis.table import NAN, Table

HEADER = re.compile(r"^\ufeff?(\w+,)*(metric|event),value\b")
_OF_A_ROW = ("units", "cpu", "core")
MOST_KNOWN, MOST_WAITING = 4096, 4096
KNOWN = ("run", "time", "group", "stage", "level", "metric", "event", "value", "units", "cpu", "core")


def read(source: Source) -> Table:
    rows = rows_after(source, HEADER)
    _, names = next(rows, (0, []))
    if "value" not in names or not {"metric", "event"} & set(names):
        raise source.error("topdown-tool's CSV has the columns time, metric or event, and value")
    what = "metric" if "metric" in names else "event"
    builder = PerfBuilder(source, "topdown-csv" if what == "metric" else "topdown-events-csv")
    builder.meta["clock"] = "topdown-tool"
    run_of: dict[tuple[str, str], str] = {}
    known: dict[tuple[str, ...], PerfRow] = {}
    of_row, of_key = (
        itemgetter(*(names.index(name) if name in names else len(names) for name in used))
        for used in (("run", "time", "value"), (what, *_OF_A_ROW))
    )
    waiting: list[Added] = []
    last, time_s = "", NAN
    for row, fields in rows:
        try:
            if len(fields) != len(names):
                raise Malformed(f"{len(fields)} fields, expected {len(names)}")
            fields.append("")
            run, time, value = of_row(fields)
            key = of_key(fields)
            if run_of.setdefault((key[0], time), run) != run:
                name = printable(key[0])
                raise source.error(f"holds several runs of topdown-tool, {name} in more than one; keep one", row)
            if time != last:
                last, time_s = time, _time(time)
            number = _value(value, what)
            one = known.get(key) or _one(key, what)
            if len(known) < MOST_KNOWN:
                known[key] = one
            _add(builder, waiting, one, time_s, number)
        except Malformed as problem:
            source.reject(row, str(problem))
    if waiting:
        builder.add_rows(waiting)
    table = builder.table()
    n_runs = len(set(run_of.values()))
    if n_runs > 1:
        table.notes.append(f"counted in {n_runs} runs of the program, other events in each")
    unknown = [n for n in names if n and n not in KNOWN]
    if unknown:
        table.notes.append(f"columns ignored: {', '.join(unknown)}")
    return table


def _time(text: str) -> float:
    time_s = cell_number(text, "time")
    if time_s < 0:
        raise Malformed("time is negative")
    return time_s


def _value(text: str, what: str) -> float:
    value = cell_number(text, "value")
    if what == "event" and value < 0:
        raise Malformed("the count is negative")
    return value


def _one(cells: Sequence[str], what: str) -> PerfRow:
    """The row of a metric or event for a value of 1."""
    name, units, cpu, core = cells
    cpu = cpu or core
    if cpu and not cpu.isdigit():
        raise Malformed(f"cpu should be a number, found '{cpu}'")
    scope = f"cpu:{int(cpu)}" if cpu else ""
    if what == "metric":
        return named_metric(NAN, scope, 1.0, name, units, NAN)
    return PerfRow(NAN, scope, 1.0, OK, units, event_name(name), NAN, spelling=event_name(name))


def _add(builder: PerfBuilder, waiting: list[Added], one: PerfRow, time_s: float, value: float) -> None:
    """Adds a row, or lets it wait among those that are added together: all with a time or all without."""
    status, running = (NOT_COUNTED, 0.0) if value != value else (OK, NAN)
    is_timed = time_s == time_s
    if waiting and (len(waiting) >= MOST_WAITING or (waiting[-1][0] == waiting[-1][0]) != is_timed):
        builder.add_rows(waiting)
        waiting.clear()
    if not is_timed and builder.n_timed:
        builder.add(one._replace(value=value * one.value, status=status, running=running))
        return
    event = one.event if one.event.startswith(METRIC_PREFIX) else ""
    names = (one.scope, "", event, status, one.unit, "", one.spelling)
    waiting.append((time_s, NAN, value * one.value, running, *names))
