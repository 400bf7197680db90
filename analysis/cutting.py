"""Cuts a table into phases and their steps.

Three sources of boundaries, in this order: the calls of our own captures; markers given (`--markers FILE`); markers
found in the capture (Streamline's log). Without any the capture is one phase `all`. Counts of different PMUs are never
added: on big.LITTLE each phase comes once for every PMU.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.calls import Calls, EventColumn, scaled_counts
from analysis.errors import AnalysisError
from analysis.events import is_software
from analysis.phase import (
    METRIC_PREFIX,
    NOT_COUNTED,
    NOT_SUPPORTED,
    OK,
    Count,
    GroupedCounts,
    Marker,
    Phase,
    Step,
    best_of_groups,
    summed,
)
from analysis.series import Series, series_of
from analysis.spans import Span, extent, known_extent, spans_of_calls, spans_of_markers
from analysis.table import NAN, Table, summarise
from analysis.tally import Tally

STRADDLE = ("split", "drop")
CGROUP = "cgroup:"
# PMUs that count for several cores and all that runs on them, by the names that Linux gives them.
_UNCORE = re.compile(
    r"(?:arm_(?:dsu|cmn|cmn600|ccn|cci|smmu\w*)|smmuv3_pmcg|dmc620|hisi_\w*|nvidia_\w*|arm_cspmu\w*|uncore_\w*|ali_drw\w*"
    r"|imx\d?_ddr|xgene_\w*|tx2_\w*|meson_ddr\w*|cstate_\w*|power|msr)_?\d*"
)
# Scopes of which each holds those behind it, from the whole machine to one CPU.
_NESTED = ("", "node", "socket", "die", "cluster", "cache", "core", "cpu")


def cut(
    table: Table,
    markers: Sequence[Marker] | None = None,
    offset_s: float | None = None,
    straddle: str = "split",
    by_scope: bool = False,
) -> list[Phase]:
    """The table's phases in order of time, one for each PMU (and scope, if `by_scope`).

    markers: from `readers.markers_file.read_markers`. offset_s: the time on the markers' clock at which the capture's
    time 0 lies, seconds; needed where the two clocks differ. straddle: what becomes of an interval that holds a
    boundary, `split` pro rata or `drop`. Raises AnalysisError where markers and capture do not go together.
    """
    if straddle not in STRADDLE:
        raise AnalysisError(f"--straddle is one of {', '.join(STRADDLE)}, not '{straddle}'")
    if table.calls is not None:
        phases = _phases_of_calls(table)
        if markers:
            phases[0].notes.append("the capture has calls of its own; the markers are not used")
        return phases
    if table.frame.empty and table.markers and markers is None:
        return _phases_of_markers(table.markers)
    if table.frame.empty:
        raise AnalysisError("no counts in it, nothing to cut into phases", path=table.meta.get("path"))
    found = list(markers) if markers is not None else list(table.markers)
    if not found:
        return _whole_capture(table, by_scope)
    shifted = _on_clock_of(table, found, offset_s, given=markers is not None)
    spans = spans_of_markers(shifted, *extent(table.frame))
    return _phases_of_spans(table, spans, straddle, by_scope)


def _on_clock_of(table: Table, markers: list[Marker], offset_s: float | None, given: bool) -> list[Marker]:
    if offset_s is None:
        if given and table.meta.get("clock") != "CLOCK_MONOTONIC_RAW":
            raise AnalysisError(
                "the markers are on CLOCK_MONOTONIC_RAW, the capture counts from its own start; say with --offset "
                "SECONDS where on the markers' clock it started",
                path=table.meta.get("path"),
            )
        return markers
    return [replace(m, time_s=m.time_s - offset_s) for m in markers]


# Captures of our own: every call has its counts.


def _phases_of_calls(table: Table) -> list[Phase]:
    assert table.calls is not None
    spans = spans_of_calls(table.calls)
    groups = table.meta.get("groups", {})
    pmus = _core_pmus([g["pmu"] for g in groups.values() if g["pmu"] != "software"]) or [""]
    phases = []
    for pmu in pmus:
        by_call = _counts_by_call(table.calls, _columns_of(table.calls, groups, pmu, pmus))
        for span in spans:
            phases.append(_phase_of_calls(span, by_call, pmu))
            if len(pmus) > 1:
                phases[-1].notes.append(_several_pmus(pmus))
    return phases


def _columns_of(calls: Calls, groups: dict[str, dict[str, Any]], pmu: str, pmus: list[str]) -> list[EventColumn]:
    """Columns of the groups of `pmu`; software events belong to every PMU."""
    found = []
    for column in calls.events:
        of_group = groups[column.group]["pmu"] if column.group in groups else None
        if of_group in (pmu, "software") or (len(pmus) == 1 and of_group == ""):
            found.append(column)
    return found


def _counts_by_call(calls: Calls, columns: list[EventColumn]) -> dict[int, GroupedCounts]:
    """call number -> group -> event -> count."""
    rows = calls.whole
    by_call: dict[int, GroupedCounts] = {int(c): {} for c in rows["call"]}
    for column, event, group in columns:
        scaled, running = scaled_counts(rows, column, group)
        measured = rows[column].to_numpy(dtype=np.float64)
        for call, value, raw, share in zip(rows["call"], scaled, measured, running, strict=True):
            status = NOT_COUNTED if math.isnan(value) else OK
            samples, shown = (1, float(raw)) if status == OK else (0, NAN)
            count = Count(float(value), float(share), group, status, samples, shown)
            by_call[int(call)].setdefault(group, {})[event] = count
    return by_call


def _phase_of_calls(span: Span, by_call: dict[int, GroupedCounts], pmu: str) -> Phase:
    steps = []
    for step in span.steps:
        groups = by_call[step.call or 0]
        steps.append(replace(step, counts=best_of_groups(groups), groups=groups))
    counts, groups = summed(steps)
    phase = Phase(
        span.label,
        span.generation,
        sum(s.n_eval for s in steps),
        span.start_s,
        sum(s.duration_s for s in steps),
        steps,
        counts,
        groups,
        pmu=pmu,
        warmup=span.warmup,
        notes=list(span.notes),
    )
    partly = sorted(e for e, c in phase.counts.items() if c.status == OK and c.samples < len(steps))
    if partly:
        phase.notes.append(f"counted in some of the {len(steps)} calls and scaled to all by time: {', '.join(partly)}")
    return phase


# Markers alone: when each step began, and what it evaluated.


def _phases_of_markers(markers: Sequence[Marker]) -> list[Phase]:
    """Phases with the times of their steps and no counts. A last step without an end mark takes no time."""
    last = math.nextafter(markers[-1].time_s, math.inf)
    phases = []
    for span in spans_of_markers(markers, markers[0].time_s, last):
        tokens = sum(step.n_eval for step in span.steps)
        length = span.end_s - span.start_s
        phases.append(Phase(span.label, span.generation, tokens, span.start_s, length, span.steps, warmup=span.warmup))
        phases[-1].notes = [*span.notes, "markers alone, no counts: the times of the steps are all there is"]
    return phases


# Captures of other tools: intervals cut by markers.


def _whole_capture(table: Table, by_scope: bool) -> list[Phase]:
    begin, end = known_extent(table.frame)
    whole = Span("all", 0, False, [Step(0, 0, begin, end - begin)])
    phases = _phases_of_spans(table, [whole], "split", by_scope)
    for phase in phases:
        phase.steps, phase.n_tokens = [], 0
    return phases


def _phases_of_spans(table: Table, spans: list[Span], straddle: str, by_scope: bool) -> list[Phase]:
    series, notes = series_of(table.frame)
    series, uncore = _of_cores(series)
    notes += uncore
    bin_s = _bin(series)
    pmus = _core_pmus([s.pmu for s in series])
    owners = _owners(series, pmus)
    part_of = _part_of(series, by_scope)
    scopes = list(dict.fromkeys(part_of(s.scope) for s in series))
    phases = []
    for pmu in owners:
        for scope in scopes:
            mine = [s for s in owners[pmu] if part_of(s.scope) == scope]
            if mine:
                cut_phases = _count_spans(spans, mine, straddle, pmu, scope)
                for phase in cut_phases:
                    phase.bin_s = bin_s
                    if len(pmus) > 1:
                        phase.notes.append(_several_pmus(pmus))
                phases += cut_phases
    if phases:
        phases[0].notes += notes
    phases.sort(key=lambda p: p.start_s)
    return phases


def pmus_of_cores(table: Table) -> list[str]:
    """The PMUs that count for one core each, in the capture's order."""
    return [pmu for pmu in table.pmus if not _UNCORE.match(pmu)]


def _of_cores(series: list[Series]) -> tuple[list[Series], list[str]]:
    """The series without those of a cluster, an interconnect or a memory controller, beside those of cores; a note."""
    kept = [s for s in series if not _UNCORE.match(s.pmu)]
    if not any(s.pmu or not is_software(s.event) for s in kept):
        return series, []
    names = list(dict.fromkeys(s.pmu for s in series if _UNCORE.match(s.pmu)))
    return kept, [f"no cores, so not judged: {summarise(names)}"] if names else []


def _part_of(series: list[Series], by_scope: bool) -> Callable[[str], str]:
    """Which scopes are judged apart: all if `by_scope`; else control groups, which are different programs."""
    if by_scope:
        return lambda scope: scope
    if any(CGROUP in s.scope for s in series):
        return lambda scope: CGROUP + scope.partition(CGROUP)[2] if CGROUP in scope else ""
    return lambda scope: ""


def _several_pmus(pmus: list[str]) -> str:
    return f"several PMUs ({', '.join(pmus)}): counted apart, never added"


def _core_pmus(names: list[str]) -> list[str]:
    return [n for n in dict.fromkeys(names) if n]


def _owners(series: list[Series], pmus: list[str]) -> dict[str, list[Series]]:
    """PMU -> its series. Software events belong to all; events without a PMU to the only one, else to none ('')."""
    if len(pmus) <= 1:
        return {pmus[0] if pmus else "": series}
    owners: dict[str, list[Series]] = {pmu: [s for s in series if s.pmu == pmu] for pmu in pmus}
    for one in series:
        if not one.pmu:
            if is_software(one.event):
                for pmu in pmus:
                    owners[pmu].append(one)
            else:
                owners.setdefault("", []).append(one)
    return owners


def _bin(series: list[Series]) -> float:
    lengths = series[0].lengths() if series and series[0].has_intervals else np.empty(0)
    return float(np.median(lengths)) if len(lengths) > 1 else NAN


def _count_spans(spans: list[Span], series: list[Series], straddle: str, pmu: str, scope: str) -> list[Phase]:
    steps = [step for span in spans for step in span.steps]
    step_begin = np.array([s.start_s for s in steps])
    step_end = np.array([s.start_s + s.duration_s for s in steps])
    span_begin = np.array([s.start_s for s in spans])
    span_end = np.array([s.end_s for s in spans])
    begin, end = np.concatenate((step_begin, span_begin)), np.concatenate((step_end, span_end))
    series, notes = _without_parts(series)
    counted = _counts(series, begin, end, straddle)
    of_steps, of_spans = counted[: len(steps)], counted[len(steps) :]
    straddling = _straddling(series, spans, straddle)
    phases, at = [], 0
    for number, span in enumerate(spans):
        mine = []
        for step in span.steps:
            counts, groups, kept_s = of_steps[at]
            length = step.duration_s if straddle == "split" else kept_s
            mine.append(replace(step, counts=counts, groups=groups, duration_s=length))
            at += 1
        counts, groups, kept_s = of_spans[number]
        length = span.end_s - span.start_s if straddle == "split" else kept_s
        tokens = sum(s.n_eval for s in mine)
        phase = Phase(span.label, span.generation, tokens, span.start_s, length, mine, counts, groups, scope, pmu)
        phase.warmup = span.warmup
        phase.notes = [*span.notes, *_scopes_note(series), *notes, *straddling[number]]
        phases.append(phase)
    return phases


def _without_parts(series: list[Series]) -> tuple[list[Series], list[str]]:
    """The series without those that others hold already: a total is never added to its parts. And a note on it."""
    widest: dict[tuple[str, str], int] = {}
    for one in series:
        if (level := _level(one.scope)) is not None:
            key = (one.event, one.source)
            widest[key] = min(level, widest.get(key, level))
    kept = [s for s in series if (level := _level(s.scope)) is None or level == widest[s.event, s.source]]
    events = list(dict.fromkeys(s.event for s in series if s not in kept)) if len(kept) < len(series) else []
    return kept, [f"both total and parts are listed, the total is used: {summarise(events)}"] if events else []


def _level(scope: str) -> int | None:
    """How far down the machine a scope lies; None for one that is no part of it, such as a thread."""
    kind = scope.partition(CGROUP)[0].strip().partition(":")[0]
    return _NESTED.index(kind) if kind in _NESTED else None


def _scopes_note(series: list[Series]) -> list[str]:
    scopes = list(dict.fromkeys(s.scope for s in series))
    if len(scopes) < 2:
        return []
    return [f"summed over {len(scopes)} scopes ({scopes[0]} to {scopes[-1]})"]


def _straddling(series: list[Series], spans: list[Span], straddle: str) -> list[list[str]]:
    """For each span a note on the intervals that hold one of its boundaries, if there are any."""
    one = next((s for s in series if s.has_intervals), None)
    if one is None or len(spans) < 2:
        return [[] for _ in spans]
    intervals = one.intervals()
    fate = "divided pro rata by time" if straddle == "split" else "set aside"
    numbers = [intervals.straddling(np.array([s.start_s, s.end_s])) for s in spans]
    return [[f"{n} interval(s) straddle the phase's boundaries: {fate}"] if n else [] for n in numbers]


def _counts(
    series: list[Series], begin: np.ndarray, end: np.ndarray, straddle: str
) -> list[tuple[dict[str, Count], GroupedCounts, float]]:
    """For each span: its counts, summed over scopes; the same by group; the time that its kept intervals cover."""
    by_event: dict[str, dict[str, dict[str, list[Series]]]] = {}
    for one in series:
        by_event.setdefault(one.event, {}).setdefault(one.source, {}).setdefault(one.group, []).append(one)
    counts: list[dict[str, Count]] = [{} for _ in begin]
    groups: list[GroupedCounts] = [{} for _ in begin]
    kept = np.zeros(len(begin))
    for event, by_source in by_event.items():
        of_sources: list[list[Count]] = [[] for _ in begin]
        for by_group in by_source.values():
            of_groups: list[list[Count]] = [[] for _ in begin]
            for group, parts in by_group.items():
                per_scope = [_counts_of_series(p, begin, end, straddle) for p in parts]
                for i in range(len(begin)):
                    count = _sum_over_scopes([c[i] for c, _ in per_scope], event)
                    of_groups[i].append(replace(count, group=group) if group else count)
                    if group and len(by_source) == 1:
                        groups[i].setdefault(group, {})[event] = of_groups[i][-1]
                kept = np.maximum.reduce([kept, *(covered for _, covered in per_scope)])
            for i, readings in enumerate(of_groups):
                of_sources[i].append(max(readings, key=lambda c: (c.status == OK, c.running or 0.0)))
        for i, parts_of_event in enumerate(of_sources):
            counts[i][event] = _sum_over_scopes(parts_of_event, event)
    return [(counts[i], groups[i], float(kept[i])) for i in range(len(begin))]


def _counts_of_series(one: Series, begin: np.ndarray, end: np.ndarray, straddle: str) -> tuple[list[Count], np.ndarray]:
    if not one.has_intervals:  # a sum over the whole capture
        return [one.total] * len(begin), np.zeros(len(begin))
    intervals = one.intervals()
    tally = intervals.split(begin, end) if straddle == "split" else intervals.whole(begin, end)
    return [_count(one, tally, i, begin, end) for i in range(len(begin))], tally.covered_s


def _count(one: Series, tally: Tally, i: int, begin: np.ndarray, end: np.ndarray) -> Count:
    """The tally as a count, scaled to the covered time where other events had the counters in some intervals."""
    covered, counted, samples = float(tally.covered_s[i]), float(tally.counted_s[i]), int(tally.samples[i])
    if covered <= 0 or counted <= 0 or not one.has_values:
        return Count(NAN, 0.0, None, one.total.status if not one.has_values else NOT_COUNTED, 0, unit=one.total.unit)
    measured = float(tally.measured[i])
    running = float(tally.weighted_s[i] / covered)
    share = None if math.isnan(running) else min(running, 1.0)
    if one.event.startswith(METRIC_PREFIX):
        mean = measured / counted
        return Count(mean, share, None, OK, samples, mean, one.total.unit)
    scale = covered / counted if counted < covered * (1 - 1e-9) else 1.0
    return Count(measured * scale, share, None, OK, samples, measured, one.total.unit)


def _sum_over_scopes(counts: list[Count], event: str) -> Count:
    """Sums of counts, means of ratios; an event is as badly multiplexed as on the mean of its scopes."""
    good = [c for c in counts if c.status == OK]
    if len(counts) == 1 or not good:
        unsupported = all(c.status == NOT_SUPPORTED for c in counts)
        return counts[0] if len(counts) == 1 or unsupported else replace(counts[0], status=NOT_COUNTED)
    shares = [c.running for c in good if c.running is not None]
    running = sum(shares) / len(shares) if shares else None
    value = sum(c.value for c in good)
    measured = sum(c.measured or 0.0 for c in good)
    if event.startswith(METRIC_PREFIX):
        value, measured = value / len(good), measured / len(good)
    return Count(value, running, None, OK, max(c.samples for c in good), measured, good[0].unit)
