"""A table's rows gathered by event and scope: what is cut into phases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.events import canonical, is_software
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, OK, Count
from analysis.tally import Intervals, known

FEW_SERIES = 64
MOST_PAIRS = 1 << 20
"""Of codes, for each of which a place is kept: with more than that, and than rows, those that occur are sorted out."""
_NAMES = ("scope", "pmu", "event", "group", "source")
STATISTIC_SCOPE = "stat:"
"""Scopes of a table's percentiles: shown, never added to its means."""


@dataclass
class Series:
    """One event on one scope and PMU. total: its count, of a sum over the whole capture; of intervals, what is missing.

    level: of privilege, '' for all.  contradicts: why its count is no evidence, '' where it may be one.
    rows: its rows of the table, sorted by start, none twice. Their values are gathered when asked for and not kept:
    of a large capture all series together are as large as the table, whose columns they share.
    """

    event: str
    scope: str
    pmu: str
    source: str
    group: str
    total: Count
    has_values: bool
    columns: _Columns
    rows: np.ndarray
    has_intervals: bool
    level: str = ""
    contradicts: str = ""

    def intervals(self, weight: np.ndarray | None = None) -> Intervals:
        """Its intervals. weight: of each row, for a ratio that is to be averaged."""
        value, running = self._column("value"), self._column("running")
        status, codes = self.columns.codes["status"][self.rows], self.columns.texts["status"]
        counted = (status == codes.index(OK)) | ((status == codes.index(NOT_COUNTED)) & (running == 1.0))
        is_rate = self.event.startswith(METRIC_PREFIX)
        duration = known(self._column("duration_s"))
        return Intervals(self._column("start_s"), duration, value, counted, running, is_rate, weight)

    def starts(self) -> np.ndarray:
        return self._column("start_s")

    def values(self) -> np.ndarray:
        return self._column("value")

    def lengths(self) -> np.ndarray:
        return self._column("duration_s")

    def _column(self, name: str) -> np.ndarray:
        column: np.ndarray = self.columns.numbers[name][self.rows]
        return column


@dataclass(frozen=True)
class _Key:
    scope: str
    pmu: str
    event: str
    group: str
    source: str


def series_of(frame: pd.DataFrame) -> tuple[list[Series], list[str]]:
    """All series in the capture's order, each event once per scope, PMU and level of privilege; notes on the others."""
    notes: list[str] = []
    columns = _Columns(frame)
    gathered = [(key, rows) for key, rows in _rows_by_key(columns) if not key.scope.startswith(STATISTIC_SCOPE)]
    chosen = _choose_sources(list(dict.fromkeys((k.pmu, k.event, k.source) for k, _ in gathered)), notes)
    series: list[Series] = []
    repeated: set[str] = set()
    others: list[Series] = []
    for key, rows in gathered:
        one, twice = _series(columns, key, rows)
        one.level = level_of(key.event, key.source)
        if key.source in chosen[(key.pmu, key.event)]:
            series.append(one)
            if twice:
                repeated.add(key.source)
        else:
            others.append(one)
    if repeated:
        notes.append(f"listed more than once, the first is used: {', '.join(sorted(repeated))}")
    _mark_contradictions(series, others)
    return series, notes


def level_of(event: str, source: str) -> str:
    """The level of privilege that an event was counted at: '' for all of them, or for what belongs to none."""
    if event.startswith(METRIC_PREFIX) or is_software(event):
        return ""
    modifiers = canonical(source).modifier
    level = "".join(letter for letter in "ukhGH" if letter in modifiers)
    level = level.replace("GH", "")
    return "" if level in ("uk", "ukh") else level


LIKE = 0.05
"""Two readings of one event over the same time differ by less."""


def differ(first: float, second: float) -> bool:
    return abs(first - second) > LIKE * max(abs(first), abs(second))


def is_throughout(running: float | None) -> bool:
    """Whether an event was counted all the time, as far as the capture tells."""
    return running is None or running > 0.999


def contradiction(event: str, first: float, second: float) -> str:
    return f"{event} is listed as {first:,.0f} and as {second:,.0f}, both counted all the time: they contradict"


def _mark_contradictions(series: list[Series], others: list[Series]) -> None:
    """Marks the series that another spelling of the same event denies, both counted all the time."""
    used = {(one.event, one.pmu, one.scope, one.level): one for one in series}
    for other in others:
        one = used.get((other.event, other.pmu, other.scope, other.level))
        if one is None or not (one.has_values and other.has_values) or one.event.startswith(METRIC_PREFIX):
            continue
        if not (is_throughout(one.total.running) and is_throughout(other.total.running)):
            continue
        sums = [float(np.nansum(each.values())) for each in (one, other)]
        if differ(*sums):
            one.contradicts = contradiction(f"{one.event} ({one.source}, {other.source})", *sums)


def _choose_sources(found: list[tuple[str, str, str]], notes: list[str]) -> dict[tuple[str, str], set[str]]:
    """Which spellings of an event to use: two names of one event are two readings of it, not two parts to add.

    Only `event:u` and `event:k` are parts: user and kernel. Where some event was not counted at all levels, every
    level's reading is kept, since a ratio needs all of its events at one.
    """
    by_event: dict[tuple[str, str], list[str]] = {}
    for pmu, event, source in found:
        by_event.setdefault((pmu, event), []).append(source)
    by_level = {key: _by_level(key[1], sources) for key, sources in by_event.items()}
    is_mixed = any(not ("" in levels or {"u", "k"} <= set(levels)) for levels in by_level.values())
    chosen: dict[tuple[str, str], set[str]] = {}
    for (pmu, event), sources in by_event.items():
        levels = by_level[pmu, event]
        if len(sources) == 1 or not event:
            chosen[(pmu, event)] = set(sources)
            continue
        if is_mixed:
            used = list(levels.values())
        elif "" in levels:
            used = [levels[""]]
        else:
            used = [levels["u"], levels["k"]]
        chosen[(pmu, event)] = set(used)
        what = f"{' and '.join(used)} {'is' if len(used) == 1 else 'are added and'} used"
        if is_mixed and len(used) > 1:
            what = f"{' and '.join(used)} are used, each with events of its level"
        notes.append(f"{', '.join(sources)} are all {event}; {what}")
    return chosen


def _by_level(event: str, sources: list[str]) -> dict[str, str]:
    """Level of privilege -> the first spelling at it."""
    levels: dict[str, str] = {}
    for source in sources:
        levels.setdefault(level_of(event, source), source)
    return levels


class _Columns:
    """The columns of a table as arrays: taken from a frame once, since a capture may have thousands of series."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.n_rows = len(frame)
        self.numbers: dict[str, np.ndarray] = {
            name: frame[name].to_numpy() for name in ("start_s", "duration_s", "value", "running")
        }
        self.codes = {name: np.asarray(frame[name].array.codes) for name in (*_NAMES, "status", "unit")}
        self.texts: dict[str, list[str]] = {
            name: [str(text) for text in frame[name].array.categories] for name in self.codes
        }

    def text(self, name: str, row: int) -> str:
        return self.texts[name][int(self.codes[name][row])]


def _rows_by_key(columns: _Columns) -> Iterator[tuple[_Key, np.ndarray]]:
    """Row numbers of each series, in the order in which the series first appear."""
    small, n_values = np.zeros(columns.n_rows, dtype=np.int8), 1
    for name in _NAMES:
        small, n_values = _combined(small, n_values, columns.codes[name], len(columns.texts[name]))
    pieces = _rows_of_codes(small, n_values)
    for rows in sorted(pieces, key=lambda rows: int(rows[0])):
        yield _Key(*(columns.text(name, rows[0]) for name in _NAMES)), rows


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
    if n_codes * n_more > max(MOST_PAIRS, len(codes)):
        occurring, of_row = np.unique(wide, return_inverse=True)
        return of_row, len(occurring)
    present = np.bincount(wide, minlength=n_codes * n_more) > 0
    n_present = int(present.sum())
    lookup = (np.cumsum(present) - 1).astype(np.min_scalar_type(-n_present - 1))
    return lookup[wide], n_present


def _series(columns: _Columns, key: _Key, rows: np.ndarray) -> tuple[Series, bool]:
    """The series, and whether some interval stood more than once in it."""
    start = columns.numbers["start_s"][rows]
    statuses = columns.texts["status"]
    status = columns.codes["status"][rows]
    is_ok = status[0] == statuses.index(OK)
    missing = NOT_SUPPORTED if (status == statuses.index(NOT_SUPPORTED)).all() else NOT_COUNTED
    value, running = (float(columns.numbers[c][rows[0]]) for c in ("value", "running"))
    share = None if np.isnan(running) else running
    unit = columns.text("unit", rows[0])
    total = Count(value, share, None, OK if is_ok else missing, int(is_ok), value, unit)
    has_values = bool((status == statuses.index(OK)).any())
    has_intervals = bool(np.isfinite(columns.numbers["duration_s"][rows]).any())
    steps = np.diff(start)
    if (steps < 0).any():
        order = np.argsort(start, kind="stable")
        rows, steps = rows[order], np.diff(start[order])
    is_repeated = bool(len(steps)) and not (steps > 0).all()
    kept = rows[np.concatenate(([True], steps > 0))] if is_repeated else rows
    one = Series(key.event, key.scope, key.pmu, key.source, key.group, total, has_values, columns, kept, has_intervals)
    return one, is_repeated
