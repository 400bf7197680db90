"""A table's rows gathered by event and scope: what is cut into phases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.events import canonical
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, OK, Count
from analysis.tally import Intervals

FEW_SERIES = 64
STATISTIC_SCOPE = "stat:"
"""Scopes of a table's percentiles: shown, never added to its means."""


@dataclass
class Series:
    """One event on one scope and PMU. total: its count, of a sum over the whole capture; of intervals, what is missing.

    rows: its rows of the table, sorted by start, none twice. Their columns are gathered when asked for and not kept:
    of a large capture all series together are as large as the table.
    """

    event: str
    scope: str
    pmu: str
    source: str
    group: str
    total: Count
    has_values: bool
    frame: pd.DataFrame
    rows: np.ndarray
    has_intervals: bool

    def intervals(self) -> Intervals:
        value, running = self._column("value"), self._column("running")
        status = self.frame["status"].cat.codes.to_numpy()[self.rows]
        codes = list(self.frame["status"].cat.categories)
        counted = (status == codes.index(OK)) | ((status == codes.index(NOT_COUNTED)) & (running == 1.0))
        is_rate = self.event.startswith(METRIC_PREFIX)
        duration = np.nan_to_num(self._column("duration_s"))
        return Intervals(self._column("start_s"), duration, value, counted, running, is_rate)

    def lengths(self) -> np.ndarray:
        return self._column("duration_s")

    def _column(self, name: str) -> np.ndarray:
        column: np.ndarray = self.frame[name].to_numpy()[self.rows]
        return column


@dataclass(frozen=True)
class _Key:
    scope: str
    pmu: str
    event: str
    group: str
    source: str


def series_of(frame: pd.DataFrame) -> tuple[list[Series], list[str]]:
    """All series in the capture's order, each event once per scope and PMU, and notes on what was set aside."""
    notes: list[str] = []
    gathered = list(_rows_by_key(frame))
    chosen = _choose_sources(list(dict.fromkeys((k.pmu, k.event, k.source) for k, _ in gathered)), notes)
    series: list[Series] = []
    repeated: set[str] = set()
    for key, rows in gathered:
        if not key.scope.startswith(STATISTIC_SCOPE) and key.source in chosen[(key.pmu, key.event)]:
            one, twice = _series(frame, key, rows)
            series.append(one)
            if twice:
                repeated.add(key.source)
    if repeated:
        notes.append(f"listed more than once, the first is used: {', '.join(sorted(repeated))}")
    return series, notes


def _choose_sources(found: list[tuple[str, str, str]], notes: list[str]) -> dict[tuple[str, str], set[str]]:
    """Which spellings of an event to use: two names of one event are two readings of it, not two parts to add.

    Only `event:u` and `event:k` are parts: user and kernel.
    """
    by_event: dict[tuple[str, str], list[str]] = {}
    for pmu, event, source in found:
        by_event.setdefault((pmu, event), []).append(source)
    chosen: dict[tuple[str, str], set[str]] = {}
    for (pmu, event), sources in by_event.items():
        if len(sources) == 1 or not event:
            chosen[(pmu, event)] = set(sources)
            continue
        modes = {s: frozenset(canonical(s).modifier) & frozenset("ukhGH") for s in sources}
        everywhere = [s for s in sources if not modes[s]]
        user_and_kernel = [s for s in sources if modes[s] in ({"u"}, {"k"})]
        if everywhere:
            used = everywhere[:1]
        elif {frozenset("u"), frozenset("k")} <= set(modes.values()):
            used = [next(s for s in user_and_kernel if modes[s] == {m}) for m in "uk"]
        else:
            used = sources[:1]
        chosen[(pmu, event)] = set(used)
        what = f"{' and '.join(used)} {'is' if len(used) == 1 else 'are added and'} used"
        notes.append(f"{', '.join(sources)} are all {event}; {what}")
    return chosen


def _rows_by_key(frame: pd.DataFrame) -> Iterator[tuple[_Key, np.ndarray]]:
    """Row numbers of each series, in the order in which the series first appear."""
    names = ("scope", "pmu", "event", "group", "source")
    small, n_values = np.zeros(len(frame), dtype=np.int8), 1
    for name in names:
        column = frame[name].array
        small, n_values = _combined(small, n_values, column.codes, len(column.categories))
    pieces = _rows_of_codes(small, n_values)
    for rows in sorted(pieces, key=lambda rows: int(rows[0])):
        yield _Key(*(str(frame[name].array[rows[0]]) for name in names)), rows


def _rows_of_codes(codes: np.ndarray, n_codes: int) -> list[np.ndarray]:
    """Row numbers of each code, ascending. Sorting needs memory, looking for each code needs time."""
    index = np.int32 if len(codes) < 1 << 31 else np.int64
    if n_codes <= FEW_SERIES:
        return [np.flatnonzero(codes == code).astype(index) for code in range(n_codes)]
    order = np.argsort(codes, kind="stable").astype(index)
    return np.split(order, np.cumsum(np.bincount(codes, minlength=n_codes))[:-1])


def _combined(codes: np.ndarray, n_codes: int, more: np.ndarray, n_more: int) -> tuple[np.ndarray, int]:
    """Pairs of codes numbered anew, only those that occur, in the smallest integers: large captures have many rows."""
    wide = codes.astype(np.min_scalar_type(-n_codes * n_more - 1)) * n_more + more
    present = np.bincount(wide, minlength=n_codes * n_more) > 0
    n_present = int(present.sum())
    lookup = (np.cumsum(present) - 1).astype(np.min_scalar_type(-n_present - 1))
    return lookup[wide], n_present


def _series(frame: pd.DataFrame, key: _Key, rows: np.ndarray) -> tuple[Series, bool]:
    """The series, and whether some interval stood more than once in it."""
    start = frame["start_s"].to_numpy()[rows]
    statuses = list(frame["status"].cat.categories)
    status = frame["status"].cat.codes.to_numpy()[rows]
    is_ok = status[0] == statuses.index(OK)
    missing = NOT_SUPPORTED if (status == statuses.index(NOT_SUPPORTED)).all() else NOT_COUNTED
    value, running = (float(frame[c].to_numpy()[rows[0]]) for c in ("value", "running"))
    share = None if np.isnan(running) else running
    unit = str(frame["unit"].array[rows[0]])
    total = Count(value, share, None, OK if is_ok else missing, int(is_ok), value, unit)
    has_values = bool((status == statuses.index(OK)).any())
    has_intervals = bool(np.isfinite(frame["duration_s"].to_numpy()[rows]).any())
    steps = np.diff(start)
    if (steps < 0).any():
        order = np.argsort(start, kind="stable")
        rows, steps = rows[order], np.diff(start[order])
    is_repeated = bool(len(steps)) and not (steps > 0).all()
    kept = rows[np.concatenate(([True], steps > 0))] if is_repeated else rows
    one = Series(key.event, key.scope, key.pmu, key.source, key.group, total, has_values, frame, kept, has_intervals)
    return one, is_repeated
