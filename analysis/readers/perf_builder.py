"""Perf's rows become a table once all are there: runs apart, intervals from their ends, one name for each event.

A file may hold several runs: `perf stat --append`, a shell's `>>`, a log of many commands. A run ends where the next
begins: at `# started on`, at a title, where the time starts anew, or where the same rows repeat from the first on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.events import canonical, is_x86
from analysis.metric_names import SLOTS_CLASSES
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, OK
from analysis.readers.perf_groups import group_numbers
from analysis.readers.perf_rows import PerfRow
from analysis.readers.source import Source
from analysis.table import NAN, Table, TableBuilder, starts_of_intervals

X86_PMUS = ("cpu", "cpu_core", "cpu_atom")
X86_TOPDOWN = "bad speculation"
"""As perf spells it for `--topdown` alone, which before its groups of metrics knew x86's events only."""
MOST_RUNS = 1000
MOST_NAMES = 10_000
"""Of events and metrics, or of CPUs, threads and control groups: more than any capture has."""
MOST_SERIES = 20_000
"""Names of events on their scopes: 50 events on each of 400 CPUs."""
MOST_GROUPS = 1000
"""Of events counted together: every metric of a core has some hundred."""
CHECK_EVERY = 5120
RESTART = 1.5
"""A time that falls below this many times its run's first one begins a new run; any other fall is an error."""


class PerfBuilder:
    """Collects perf's rows; `table` gives them intervals and canonical events once all spellings are known."""

    def __init__(self, source: Source, format_name: str) -> None:
        self.source = source
        self.rows = TableBuilder()
        self.meta: dict[str, Any] = {"format": format_name, "path": str(source.path), "clock": "perf"}
        self.summary: dict[str, float] = {}
        self.n_summary = 0
        self.n_timed = 0
        self.n_untimed = 0
        self._n_untimed_before = 0  # of the runs above
        self.elapsed_s = NAN
        self._errors: dict[tuple[str, str], float] = {}
        self._check_series_at = MOST_SERIES
        self._starts: list[int] = []
        self._metas: list[dict[str, Any]] = []

    def header_line(self, line: str) -> None:
        """Takes what a comment, or the command line above it, tells about the run that follows."""
        text = line.lstrip("# ").strip()
        if line.startswith("$ "):
            self.meta["command"] = line[2:]
        elif text.startswith("started on "):
            self.next_run()
            self.meta["started"] = text.removeprefix("started on ")

    def next_run(self) -> None:
        """What follows belongs to another run. Nothing happens before the first row of a run."""
        if self.rows.n_rows == (self._starts[-1] if self._starts else 0):
            return
        self._check_times()
        if len(self._starts) >= MOST_RUNS:
            raise self.source.error(f"more than {MOST_RUNS} runs of perf stat in one file")
        self._metas.append(self._closed_meta())
        self._starts.append(self.rows.n_rows)
        for key in (
            "target",
            "started",
            "command",
            "user_s",
            "sys_s",
            "elapsed_s",
            "elapsed_error",
            "repeats",
            "summary",
        ):
            self.meta.pop(key, None)
        self._n_untimed_before += self.n_untimed
        self.n_timed = self.n_untimed = 0
        self.elapsed_s, self.summary, self._errors = NAN, {}, {}

    def add(self, row: PerfRow) -> None:
        self.add_all([row])

    def add_all(self, rows: Iterable[PerfRow], running: float = NAN) -> None:
        """running: of rows that have no share of their own."""
        added: list[tuple[Any, ...]] = []
        for row in rows:
            has_time = row.time_s == row.time_s
            if added and has_time != (added[-1][0] == added[-1][0]):
                self.add_rows(added)
                added = []
            if self._is_sum(row, has_time, bool(added)):
                continue
            if row.error > 0:
                self.add_error(row.scope, row.event, row.error)
            share = 0.0 if row.status == NOT_SUPPORTED else row.running if row.running == row.running else running
            is_metric = row.event.startswith(METRIC_PREFIX)
            event, spelling = (row.event, row.spelling or row.event) if is_metric else ("", row.event)
            added.append((row.time_s, NAN, row.value, share, row.scope, "", event, row.status, row.unit, "", spelling))
        if added:
            self.add_rows(added)

    def _is_sum(self, row: PerfRow, has_time: bool, are_waiting: bool) -> bool:
        """Whether a row repeats the sums of all intervals, as one without a time does (`--summary`): it is set aside.

        Summaries without intervals are somebody's excerpt, and the counts. are_waiting: whether rows like it are still
        to be added.
        """
        n_timed = self.n_timed + (has_time and are_waiting)
        if not n_timed or (has_time and not row.is_summary):
            return False
        self.add_sum(row, row.value)
        return True

    def add_sum(self, row: PerfRow, value: float) -> None:
        """Sets aside a sum of all intervals. value: what the row would have."""
        self.n_summary += 1
        if row.status == OK:
            self.summary[f"{row.scope} {row.event}".strip()] = value

    def add_error(self, scope: str, event: str, error: float) -> None:
        """The relative standard error of an event's count."""
        if len(self._errors) < MOST_NAMES:
            self._errors[scope, event] = error

    def add_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows as the table takes them (`TableBuilder.add_rows`), all with a time or all without, and no sums."""
        if rows[0][0] == rows[0][0]:
            self.n_timed += len(rows)
        else:
            self.n_untimed += len(rows)
        before = self.rows.n_rows
        self.rows.add_rows(rows)
        if self.rows.n_rows // CHECK_EVERY != before // CHECK_EVERY:
            self.check_size()

    def add_values(self, times: np.ndarray, values: np.ndarray, ones: Sequence[PerfRow]) -> None:
        """Ratios of many intervals. times: [n]. values: [n, len(ones)]. ones: each ratio's row for a value of 1."""
        self.rows.flush()
        n = len(times)
        columns = {"start_s": np.repeat(times, len(ones)), "value": (values * [one.value for one in ones]).ravel()}
        texts = {"source": "spelling", "event": "event", "unit": "unit", "status": "status"}
        for column, of_row in texts.items():
            codes = [self.rows.names[column].code(getattr(one, of_row)) for one in ones]
            columns[column] = np.tile(np.array(codes, dtype=np.int32), n)
        self.add_columns(columns)

    def add_values_of(
        self, ones: Sequence[PerfRow], at: np.ndarray, times: np.ndarray, values: np.ndarray, shares: np.ndarray
    ) -> None:
        """Rows that all have a time or have none; a NaN was not counted. at: [n], which of `ones`, rows for 1."""
        self.rows.flush()
        are_ratios = [one.event.startswith(METRIC_PREFIX) for one in ones]
        texts = {
            "scope": [one.scope for one in ones],
            "event": [one.event if is_ratio else "" for one, is_ratio in zip(ones, are_ratios, strict=True)],
            "unit": [one.unit for one in ones],
            "source": [one.spelling or one.event for one in ones],
        }
        names = self.rows.names
        columns = {name: np.array([names[name].code(text) for text in of])[at] for name, of in texts.items()}
        is_missing = np.isnan(values)
        columns["status"] = np.where(is_missing, names["status"].code(NOT_COUNTED), names["status"].code(OK))
        columns |= {"start_s": times, "running": np.where(is_missing, 0.0, shares)}
        columns["value"] = values * np.array([one.value for one in ones])[at]
        self.add_columns(columns)

    def add_columns(self, columns: dict[str, np.ndarray]) -> None:
        """Rows that all have a time, or have none, as columns (`TableBuilder.add_arrays`)."""
        n = len(columns["start_s"])
        if n and columns["start_s"][0] == columns["start_s"][0]:
            self.n_timed += n
        else:
            self.n_untimed += n
        before = self.rows.n_rows
        self.rows.add_arrays(columns)
        if self.rows.n_rows // CHECK_EVERY != before // CHECK_EVERY:
            self.check_size()

    def check_size(self) -> None:
        """Raises AnalysisError as soon as it is certain that there are too many names, or runs."""
        self.rows.flush()
        names = self.rows.names
        for column, what in (("source", "events"), ("scope", "scopes")):
            if len(names[column].codes) > MOST_NAMES:
                raise self.source.error(f"more than {MOST_NAMES} {what}")
        if self.rows.n_rows >= self._check_series_at:
            self._check_series_at = 2 * self.rows.n_rows
            self._check_series()
        if self._n_untimed_before + self.n_untimed > MOST_RUNS * len(names["source"].codes) * len(names["scope"].codes):
            raise self.source.error(f"more than {MOST_RUNS} runs of perf stat in one file")

    def _check_series(self) -> None:
        self.rows.flush()
        n_events, n_scopes = (len(self.rows.names[column].codes) for column in ("source", "scope"))
        if n_events * n_scopes <= MOST_SERIES:
            return
        self._check_number_of(self.rows.column("source").astype(np.int64) * n_scopes + self.rows.column("scope"))

    def _check_number_of(self, series: np.ndarray) -> None:
        """series: [rows], which of all each row is one of."""
        if len(np.unique(series)) > MOST_SERIES:
            raise self.source.error(f"more than {MOST_SERIES} counters, of all events on all scopes: name fewer")

    def table(self) -> Table:
        """The first run's table; the others stand in its `runs`."""
        if self.rows.n_rows == 0:
            raise self.source.error(f"no counts in it ({self.meta['format']})")
        if self._starts and self._starts[-1] == self.rows.n_rows:  # a title with nothing below it
            self._starts.pop()
            self.meta |= self._metas.pop()
        self._check_times()
        self._check_series()
        self._metas.append(self._closed_meta())
        runs = self._runs()
        if len(runs) > MOST_RUNS:
            raise self.source.error(f"{len(runs)} runs of perf stat in one file, more than {MOST_RUNS}")
        for begin, end, meta in runs:
            self._intervals(begin, end, meta)
        for begin, end, _ in runs:
            self._percentages(begin, end)
        self._canonical_events()
        self._groups([(begin, end) for begin, end, _ in runs])
        return self._tables(runs)

    def _check_times(self) -> None:
        if self.n_timed and self.n_untimed:
            raise self.source.error("rows with and without a time are mixed: several captures in one file?")

    def _closed_meta(self) -> dict[str, Any]:
        known = {"summary": self.summary} if self.summary else {}
        elapsed = {"elapsed_s": self.elapsed_s} if math.isfinite(self.elapsed_s) else {}
        errors = {"errors": self._errors} if self._errors else {}
        return {**self.meta, **elapsed, **known, **errors}

    def _runs(self) -> list[tuple[int, int, dict[str, Any]]]:
        """(first row, row behind the last, what is known) of every run."""
        bounds = [0, *self._starts, self.rows.n_rows]
        runs = []
        for (begin, end), meta in zip(pairwise(bounds), self._metas, strict=True):
            inner = [begin, *self._restarts(begin, end), end]
            runs += [(first, last, dict(meta)) for first, last in pairwise(inner)]
        return runs

    def _restarts(self, begin: int, end: int) -> list[int]:
        """Rows at which the time starts anew, or the same sequence of rows does."""
        ends = self.rows.column("start_s")[begin:end]
        if math.isnan(ends[0]):
            return self._repeats(begin, end)
        found: list[int] = []
        first = float(ends[0])
        for at in (np.flatnonzero(ends[1:] < ends[:-1]) + 1).tolist():
            if ends[at] > RESTART * first:
                raise self.source.error(
                    f"time goes back from {ends[at - 1]:g} to {ends[at]:g} s after {begin + at} counts: "
                    "lines of several captures in one file?"
                )
            found.append(begin + at)
            first = float(ends[at])
        return found

    def _repeats(self, begin: int, end: int) -> list[int]:
        codes = [self.rows.column(name)[begin:end].astype(np.int64) for name in ("source", "scope")]
        keys = codes[0] * len(self.rows.names["scope"].codes) + codes[1]
        again = np.flatnonzero(keys[1:] == keys[0]) + 1
        n = int(again[0]) if len(again) else 0
        if not n or len(keys) % n or len(np.unique(keys[:n])) < n or not (keys[n:] == keys[:-n]).all():
            return []
        return list(range(begin + n, end, n))

    def _intervals(self, begin: int, end: int, meta: dict[str, Any]) -> None:
        stamps = self.rows.column("start_s")[begin:end]
        durations = self.rows.column("duration_s")[begin:end]
        if math.isfinite(stamps[0]):
            starts = starts_of_intervals(stamps)
            np.subtract(stamps, starts, out=durations)
            stamps[:] = starts
            return
        seconds = meta.get("elapsed_s", NAN)
        seconds = seconds if math.isfinite(seconds) else self._duration_time(begin, end)
        if math.isfinite(seconds):
            meta["elapsed_s"] = seconds
        stamps[:], durations[:] = 0.0, seconds

    def _percentages(self, begin: int, end: int) -> None:
        """Shares of slots that a tool printed without a unit, as fractions: four that add up to 1, not to 100."""
        names, unit = self.rows.names["event"].codes, self.rows.column("unit")
        events = self.rows.column("event")[begin:end]
        codes = [names.get(METRIC_PREFIX + name, -1) for name in SLOTS_CLASSES]
        if -1 in codes:
            return
        found = [np.flatnonzero((events == code) & (unit[begin:end] == 0)) + begin for code in codes]
        values = self.rows.column("value")
        n = len(found[0])
        if n and all(len(at) == n for at in found) and 0.9 < sum(values[at].sum() for at in found) / n < 1.1:
            at = np.concatenate(found)
            values[at] *= 100
            unit[at] = self.rows.names["unit"].code("%")

    def _duration_time(self, begin: int, end: int) -> float:
        """Seconds from perf's own event `duration_time` (ns), where it was asked for."""
        code = self.rows.names["source"].codes.get("duration_time")
        if code is None:
            return NAN
        at = np.flatnonzero(self.rows.column("source")[begin:end] == code)
        return float(self.rows.column("value")[begin + at[0]]) / 1e9 if len(at) else NAN

    def _canonical_events(self) -> None:
        names = self.rows.names
        is_metric = self.rows.column("event") != 0
        ratios = self.rows.column("event")[is_metric].copy()
        spellings = list(names["source"].codes)
        events = [canonical(s) for s in spellings]
        if any(e.pmu in X86_PMUS for e in events) or any(
            s.startswith(("tma_", "topdown-")) or s == X86_TOPDOWN or (not e.pmu and is_x86(e.name))
            for s, e in zip(spellings, events, strict=True)
        ):
            self.meta["arch"] = "x86_64"
            events = [canonical(s, "x86_64") for s in spellings]
        codes = self.rows.column("source")
        for column, found in (("event", [e.name for e in events]), ("pmu", [e.pmu for e in events])):
            lookup = np.array([names[column].code(n) for n in found], dtype=np.int32)
            width = np.min_scalar_type(-max(len(names[column].codes), 1) - 1)
            self.rows.replace(column, lookup.astype(width)[codes])
        if len(ratios):
            self.rows.column("event")[is_metric] = ratios

    def _groups(self, runs: list[tuple[int, int]]) -> None:
        """Names the groups of runs in which an event is listed more than once: it belongs to its neighbours."""
        columns = {name: self.rows.column(name) for name in ("start_s", "scope", "source", "running", "event")}
        metrics = [code for name, code in self.rows.names["event"].codes.items() if name.startswith(METRIC_PREFIX)]
        groups: np.ndarray | None = None
        for begin, end in runs:
            part = {name: values[begin:end] for name, values in columns.items()}
            numbers = group_numbers(
                part["start_s"],
                part["scope"],
                part["source"],
                part["running"],
                np.isin(part["event"], metrics) if metrics else None,
            )
            if numbers is not None:
                groups = np.zeros(self.rows.n_rows, dtype=np.int32) if groups is None else groups
                groups[begin:end] = numbers
        if groups is not None:
            if groups.max() > MOST_GROUPS:
                raise self.source.error(f"events are listed again and again: more than {MOST_GROUPS} groups of them")
            of_events = groups.astype(np.int64) * len(self.rows.names["source"].codes) + columns["source"]
            self._check_number_of(of_events * len(self.rows.names["scope"].codes) + columns["scope"])
            names = ["", *(f"g{n}" for n in range(groups.max()))]
            self.rows.replace("group", np.array([self.rows.names["group"].code(n) for n in names])[groups])

    def _tables(self, runs: list[tuple[int, int, dict[str, Any]]]) -> Table:
        arch = {"arch": self.meta["arch"]} if "arch" in self.meta else {}
        notes = self.source.closing_notes()
        if self.n_summary:
            notes.append(f"{self.n_summary} summary row(s) set aside: they repeat the sums of the intervals")
        if self.source.skipped:
            notes.append(f"{self.source.skipped} line(s) around perf's table skipped")
        frame = self.rows.frame()
        tables = []
        for number, (begin, end, meta) in enumerate(runs, 1):
            of_run = frame if len(runs) == 1 else frame.iloc[begin:end].reset_index(drop=True)
            mine = {**meta, **arch, **({"run": number} if len(runs) > 1 else {})}
            tables.append(Table(of_run, mine, [*notes]))
        if len(runs) > 1:
            tables[0].runs = tables[1:]
        return tables[0]
