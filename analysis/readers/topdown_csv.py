"""The two CSV forms of Arm's topdown-tool: metrics (`time,group,stage,level,metric,value,units`) and events
(`run,time,event,value`).

Columns are found by name, since some versions have more of them. An empty value was not counted; without intervals
the time is empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter, ne

import numpy as np

from analysis.errors import printable
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, OK
from analysis.readers.csv_rows import cell_number, plain_numbers, rows_after
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, cpu_scope, event_name, named_metric
from analysis.readers.shapes import Added
from analysis.readers.source import Source
from analysis.table import NAN, Table

HEADER = re.compile(r"^\ufeff?(\w+,)*(metric|event),value\b")
_OF_A_ROW = ("units", "cpu", "core")
MOST_KNOWN, MOST_WAITING = 1 << 15, 4096
KNOWN = ("run", "time", "group", "stage", "level", "metric", "event", "value", "units", "cpu", "core")


def read(source: Source) -> Table:
    rows = _Rows(source)
    for row, fields in rows_after(source, HEADER, rows):
        if not rows.names:
            rows.begin(fields)
            continue
        try:
            rows.add(row, fields)
        except Malformed as problem:
            source.reject(row, str(problem))
    if not rows.names:
        rows.begin([])
    return rows.table()


class _Rows:
    """The rows below the header, on their way to the table: one at a time, or as columns."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.names: list[str] = []
        self.builder = PerfBuilder(source, "topdown-csv")
        self.builder.meta["clock"] = "topdown-tool"
        self._run_of: dict[tuple[str, str], str] = {}  # of each event and time
        self._known: dict[tuple[str, ...], PerfRow] = {}
        self._waiting: list[Added] = []
        self._last, self._time_s = "", NAN

    def begin(self, names: list[str]) -> None:
        """Takes the header. Raises AnalysisError where a column is missing."""
        if "value" not in names or not {"metric", "event"} & set(names):
            raise self.source.error("topdown-tool's CSV has the columns time, metric or event, and value")
        self.names = names
        self._what = "metric" if "metric" in names else "event"
        self.builder.meta["format"] = "topdown-csv" if self._what == "metric" else "topdown-events-csv"
        self._of_row, self._of_key = (
            itemgetter(*(names.index(name) if name in names else len(names) for name in used))
            for used in (("run", "time", "value"), (self._what, *_OF_A_ROW))
        )

    def add(self, row: int, fields: list[str]) -> None:
        """Raises Malformed, and AnalysisError where another run has the same event and time."""
        if len(fields) != len(self.names):
            raise Malformed(f"{len(fields)} fields, expected {len(self.names)}")
        fields.append("")
        run, time, value = self._of_row(fields)
        key = self._of_key(fields)
        if self._run_of.setdefault((key[0], time), run) != run:
            name = printable(key[0])
            raise self.source.error(f"holds several runs of topdown-tool, {name} in more than one; keep one", row)
        if time != self._last:
            self._last, self._time_s = time, _time(time)
        number = _value(value, self._what)
        self._add(self._one(key), self._time_s, number)

    def take(self, columns: list[tuple[str, ...]]) -> bool:
        """Adds rows that all have a time, or none of them, as columns (`csv_rows.Taker`)."""
        if len(columns) != len(self.names):
            return False
        cells = [*columns, ("",) * len(columns[0])]
        runs, times, values = self._of_row(cells)
        stamps, numbers = plain_numbers(times), plain_numbers(values)
        if stamps is None or numbers is None or (stamps < 0).any():
            return False
        if self._what == "event" and (numbers < 0).any():
            return False
        self._flush()
        n_untimed = int(np.isnan(stamps).sum())
        if n_untimed and (n_untimed < len(stamps) or self.builder.n_timed):
            return False
        of_rows = self._of_key(cells)
        keys = list(zip(*of_rows, strict=True))
        try:
            ones = {key: self._one(key) for key in dict.fromkeys(keys)}
        except Malformed:
            return False
        known = map(self._run_of.setdefault, zip(of_rows[0], times, strict=True), runs)
        if any(map(ne, known, runs)):
            return False
        codes = {key: code for code, key in enumerate(ones)}
        at = np.array([codes[key] for key in keys])
        self.builder.add_values_of([*ones.values()], at, stamps, numbers, np.full(len(at), NAN))
        return True

    def _one(self, key: tuple[str, ...]) -> PerfRow:
        """The row of a metric or event for a value of 1."""
        one = self._known.get(key) or _one(key, self._what)
        if len(self._known) < MOST_KNOWN:
            self._known[key] = one
        return one

    def _add(self, one: PerfRow, time_s: float, value: float) -> None:
        """Adds a row, or lets it wait among those that are added together: all with a time or all without."""
        status, running = (NOT_COUNTED, 0.0) if value != value else (OK, NAN)
        is_timed = time_s == time_s
        waiting = self._waiting
        if waiting and (len(waiting) >= MOST_WAITING or (waiting[-1][0] == waiting[-1][0]) != is_timed):
            self._flush()
        if not is_timed and self.builder.n_timed:
            self.builder.add(one._replace(value=value * one.value, status=status, running=running))
            return
        event = one.event if one.event.startswith(METRIC_PREFIX) else ""
        names = (one.scope, "", event, status, one.unit, "", one.spelling)
        self._waiting.append((time_s, NAN, value * one.value, running, *names))

    def _flush(self) -> None:
        if self._waiting:
            self.builder.add_rows(self._waiting)
            self._waiting = []

    def table(self) -> Table:
        self._flush()
        table = self.builder.table()
        n_runs = len(set(self._run_of.values()))
        if n_runs > 1:
            table.notes.append(f"counted in {n_runs} runs of the program, other events in each")
        unknown = [n for n in self.names if n and n not in KNOWN]
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
    scope = cpu_scope(cpu) if cpu else ""
    if what == "metric":
        return named_metric(NAN, scope, 1.0, name, units, NAN)
    return PerfRow(NAN, scope, 1.0, OK, units, event_name(name), NAN, spelling=event_name(name))
