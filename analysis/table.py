"""The one intermediate table: whatever the format, a reader turns a capture into this and nothing else.

`Table.frame` has one row per event, scope and interval:

| column | type | meaning |
|---|---|---|
| start_s | float | start of the interval on the capture's clock, seconds; NaN where the capture has no time at all |
| duration_s | float | its length, seconds; NaN if unknown |
| scope | category | '' for the whole workload, else `cpu:0`, `core:S0-D0-C0`, `thread:comm-tid`, … |
| pmu | category | the PMU that counted (`armv8_cortex_a76`), '' where the capture names none |
| event | category | canonical name, see `analysis.events`; ratios that a tool printed are `metric:NAME` |
| value | float | the count, scaled by the tool where it multiplexed; NaN when not counted |
| status | category | `ok`, `not counted`, `not supported` |
| running | float | share of the interval, 0..1, in which the event was counted; NaN if unknown |
| unit | category | '' for counts, else as the capture says: `msec`, `%` |
| group | category | name of the events counted together, '' if unknown |
| source | category | the event's name as the capture spells it, modifiers included |

A ratio's name is the one of `analysis.metric_names`, whatever tool printed it (`metric:backend_bound`, unit `%`); its
spelling stands under `source`. Where a tool lists an event several times, each time with other neighbours, `group`
tells the readings apart: they are readings of one event, never parts to add. Scopes of control groups are
`cgroup:NAME`, also beside another (`cpu:0 cgroup:NAME`); they are different programs, never parts of one.

`not counted` with a running share of 1 means that the workload did not run in the interval: nothing was missed. With a
share of 0 other events had the counters. Scopes other than CPUs and threads are `function:NAME` of a functions report
and `stat:p90` of a table of percentiles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.calls import Calls
from analysis.phase import STATUSES, Marker

NAN = float("nan")
NUMBER_COLUMNS = ("start_s", "duration_s", "value", "running")
NAME_COLUMNS = ("scope", "pmu", "event", "status", "unit", "group", "source")
COLUMNS = ("start_s", "duration_s", "scope", "pmu", "event", "value", "status", "running", "unit", "group", "source")
MOST_ADDED = 1 << 14
"""Rows that wait to be put into columns."""


@dataclass
class Table:
    """A capture. `meta` has at least `format` and `path`; header keys of our own captures stand under `header`,
    relative standard errors over repeated runs by (scope, source) under `errors`.

    notes: one line for everything that was dropped, ignored or scaled.
    calls: of our own captures, every row with its own columns, else None.
    markers: `past N, n_eval M` found in the capture or beside it, on the capture's clock, in order of time.
    functions: of a functions report, one row per function, else None.
    runs: further runs in the same file, each a table of its own (`perf stat --append`); `meta["run"]` counts from 1.
    """

    frame: pd.DataFrame
    meta: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    calls: Calls | None = None
    markers: list[Marker] = field(default_factory=list)
    functions: pd.DataFrame | None = None
    runs: list[Table] = field(default_factory=list)

    @cached_property
    def events(self) -> list[str]:
        """Names of the events that were counted at least once, in the capture's order."""
        counted = self.frame["event"][self.frame["status"] == "ok"]
        present = set(counted.cat.codes.unique())
        return [name for code, name in enumerate(self.frame["event"].cat.categories) if code in present]

    @cached_property
    def scopes(self) -> list[str]:
        """Scopes that occur, in the capture's order."""
        present = set(self.frame["scope"].cat.codes.unique())
        return [s for code, s in enumerate(self.frame["scope"].cat.categories) if code in present]

    @cached_property
    def pmus(self) -> list[str]:
        return [p for p in self.frame["pmu"].cat.categories if p]


class Names:
    """Strings of one column, numbered in order of appearance."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.codes: dict[str, int] = {}
        for name in known:
            self.code(name)

    def code(self, name: str) -> int:
        return self.codes.setdefault(name, len(self.codes))

    def __getitem__(self, code: int) -> str:
        return list(self.codes)[code]


class TableBuilder:
    """Collects rows, one at a time or as arrays, in columns that grow in place: 39 bytes a row, never held twice."""

    def __init__(self) -> None:
        self.names = {column: Names([""]) for column in NAME_COLUMNS}
        self.names["status"] = Names(STATUSES)
        self._columns: dict[str, np.ndarray] = {c: np.empty(0, np.float64) for c in NUMBER_COLUMNS}
        self._columns |= {c: np.empty(0, np.int8) for c in NAME_COLUMNS}
        self._capacity = 0
        self._n_stored = 0
        self._added: list[tuple[Any, ...]] = []
        self.n_rows = 0

    def reserve(self, n_rows: int) -> None:
        """Room for `n_rows` in all. What is not used costs address space only."""
        if n_rows <= self._capacity:
            return
        for name, old in self._columns.items():
            self._columns[name] = np.empty(n_rows, dtype=old.dtype)
            self._columns[name][: self._n_stored] = old[: self._n_stored]
        self._capacity = n_rows

    def add(
        self,
        event: str,
        value: float,
        *,
        start_s: float = NAN,
        duration_s: float = NAN,
        scope: str = "",
        pmu: str = "",
        status: str = "ok",
        running: float = NAN,
        unit: str = "",
        group: str = "",
        source: str = "",
    ) -> None:
        self._added.append(
            (start_s, duration_s, value, running, scope, pmu, event, status, unit, group, source or event)
        )
        self.n_rows += 1
        if len(self._added) >= MOST_ADDED:
            self.flush()

    def add_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows as `add` takes one, each a tuple of start_s, duration_s, value, running and the names in their order."""
        self._added += rows
        self.n_rows += len(rows)
        if len(self._added) >= MOST_ADDED:
            self.flush()

    def add_arrays(self, columns: dict[str, np.ndarray]) -> None:
        """Rows as arrays of one length: floats for numbers, codes from `self.names[column].code()` for names.

        A column left out is NaN or the column's first name.
        """
        self.flush()
        lengths = {len(v) for v in columns.values()}
        if not set(columns) <= set(COLUMNS) or len(lengths) != 1:
            raise ValueError("add_arrays needs known columns, all of one length")
        n = lengths.pop()
        self._store(columns, n)
        self.n_rows += n

    def _store(self, columns: Mapping[str, np.ndarray], n: int) -> None:
        end = self._n_stored + n
        if end > self._capacity:
            self.reserve(max(end, self._capacity * 3 // 2))
        for name in COLUMNS:
            is_number = name in NUMBER_COLUMNS
            values = columns.get(name)
            if values is None:
                self._columns[name][self._n_stored : end] = NAN if is_number else 0
                continue
            if not is_number:
                self._widen(name)
            self._columns[name][self._n_stored : end] = values
        self._n_stored = end

    def _widen(self, name: str) -> None:
        """Codes are as small as the number of names allows."""
        needed = np.min_scalar_type(-len(self.names[name].codes))
        if needed.itemsize > self._columns[name].itemsize:
            self._columns[name] = self._columns[name].astype(needed)

    def flush(self) -> None:
        """Puts rows that were added one at a time into the columns; `names` knows theirs only then."""
        if not self._added:
            return
        texts = dict(zip((*NUMBER_COLUMNS, *NAME_COLUMNS), zip(*self._added, strict=True), strict=True))
        columns = {c: np.array(texts[c], dtype=np.float64) for c in NUMBER_COLUMNS}
        for column in NAME_COLUMNS:
            names = self.names[column]
            for name in dict.fromkeys(texts[column]):
                names.code(name)
            columns[column] = np.array([names.codes[name] for name in texts[column]], dtype=np.int32)
        n, self._added = len(self._added), []
        self._store(columns, n)

    def column(self, name: str) -> np.ndarray:
        """The column so far: a view, with codes for names."""
        self.flush()
        return self._columns[name][: self._n_stored]

    def replace(self, name: str, values: np.ndarray) -> None:
        """Puts a whole column, computed after the last row, in the place of what was collected."""
        self.flush()
        if len(values) != self.n_rows:
            raise ValueError(f"column {name} needs {self.n_rows} values, got {len(values)}")
        self._columns[name] = values
        self._capacity = self.n_rows

    def frame(self) -> pd.DataFrame:
        data: dict[str, Any] = {}
        for column in COLUMNS:
            values = self.column(column)
            if column in NAME_COLUMNS:
                categories = pd.Index(list(self.names[column].codes), dtype=object)
                data[column] = pd.Categorical.from_codes(values, categories=categories)
            else:
                data[column] = values
        return pd.DataFrame(data, copy=False)


def starts_of_intervals(ends: np.ndarray) -> np.ndarray:
    """Start of each interval from its end, where a capture stamps ends and begins at 0.

    Rows of one interval share their stamp; an interval starts where the one before it ended.
    Raises ValueError with the index of the first row whose stamp goes back.
    """
    if len(ends) == 0:
        return ends.copy()
    back = np.flatnonzero(ends[1:] < ends[:-1])
    if len(back):
        raise ValueError(int(back[0]) + 1)
    is_first = np.empty(len(ends), dtype=bool)
    is_first[0] = True
    np.not_equal(ends[1:], ends[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    previous_end = np.concatenate(([0.0], ends[first[:-1]]))
    return np.repeat(previous_end, np.diff(np.concatenate((first, [len(ends)]))))


def summarise(names: Sequence[str], most: int = 12) -> str:
    """`a, b, c and 4 more`, for notes."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
