"""The two CSV forms of Arm's topdown-tool: metrics (`time,group,stage,level,metric,value,units`) and events
(`run,time,event,value`).

Columns are found by name, since some versions have more of them. An empty value was not counted; without intervals
the time is empty.
"""

from __future__ import annotations

import math
import re

from analysis.errors import printable
from analysis.phase import NOT_COUNTED, OK
from analysis.readers.csv_rows import cell_number, rows_after
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, event_name, named_metric
from analysis.readers.source import Source
from analysis.table import NAN, Table

HEADER = re.compile(r"^\ufeff?(\w+,)*(metric|event),value\b")
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
    for row, fields in rows:
        try:
            if len(fields) != len(names):
                raise Malformed(f"{len(fields)} fields, expected {len(names)}")
            cells = dict(zip(names, fields, strict=True))
            run = cells.get("run", "")
            if run_of.setdefault((cells[what], cells.get("time", "")), run) != run:
                name = printable(cells[what])
                raise source.error(f"holds several runs of topdown-tool, {name} in more than one; keep one", row)
            builder.add(_row(cells, what))
        except Malformed as problem:
            source.reject(row, str(problem))
    table = builder.table()
    n_runs = len(set(run_of.values()))
    if n_runs > 1:
        table.notes.append(f"counted in {n_runs} runs of the program, other events in each")
    unknown = [n for n in names if n and n not in KNOWN]
    if unknown:
        table.notes.append(f"columns ignored: {', '.join(unknown)}")
    return table


def _row(cells: dict[str, str], what: str) -> PerfRow:
    time_s = cell_number(cells.get("time", ""), "time")
    if time_s < 0:
        raise Malformed("time is negative")
    value = cell_number(cells["value"], "value")
    status = NOT_COUNTED if math.isnan(value) else OK
    if what == "event" and value < 0:
        raise Malformed("the count is negative")
    cpu = cells.get("cpu") or cells.get("core") or ""
    if cpu and not cpu.isdigit():
        raise Malformed(f"cpu should be a number, found '{cpu}'")
    running = 0.0 if status == NOT_COUNTED else NAN
    scope = f"cpu:{int(cpu)}" if cpu else ""
    if what == "metric":
        metric = named_metric(time_s, scope, value, cells["metric"], cells.get("units", ""), running)
        return metric._replace(status=status)
    return PerfRow(time_s, scope, value, status, cells.get("units", ""), event_name(cells["event"]), running)
