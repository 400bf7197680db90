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

from analysis.calls import Calls, EventColumn
from analysis.errors import AnalysisError
from analysis.events import is_software
from analysis.phase import (
    METRIC_PREFIX,
    OK,
    Marker,
    Phase,
    Step,
    parts_over,
    summed,
)
from analysis.scopes import CGROUP, count_spans, intervals_of_means, without_parts
from analysis.series import Series, series_of
from analysis.spans import Span, extent, known_extent, spans_of_calls, spans_of_markers
from analysis.step_columns import Column, Columns
from analysis.table import NAN, Table, summarise

STRADDLE = ("split", "drop")
MOST_PHASES, MOST_WITH_OPERATIONS = 1600, 200
"""Each has verdicts of its own, and its operations where they were timed; of more the first are judged, which a note
tells."""
MOST_PMUS = 64
MOST_APART = 1024
"""Scopes or control groups, each of which has verdicts of its own."""
# PMUs that count for several cores and all that runs on them, by the names that Linux gives them.
_UNCORE = re.compile(
    r"(?:arm_(?:dsu|cmn|cmn600|ccn|cci|smmu\w*)|smmuv3_pmcg|dmc620|hisi_\w*|nvidia_\w*|arm_cspmu\w*|uncore_\w*|ali_drw\w*"
    r"|imx\d?_ddr|xgene_\w*|tx2_\w*|meson_ddr\w*|cstate_\w*|power|msr)_?\d*"
)


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
    return [m._replace(time_s=m.time_s - offset_s) for m in markers]


# Captures of our own: every call has its counts.


def _phases_of_calls(table: Table) -> list[Phase]:
    assert table.calls is not None
    spans = spans_of_calls(table.calls)
    groups = table.meta.get("groups", {})
    pmus = _core_pmus([g["pmu"] for g in groups.values() if g["pmu"] != "software"]) or [""]
    spans, left_out = _first(spans, len(pmus), MOST_PHASES if table.calls.parts.empty else MOST_WITH_OPERATIONS)
    places = table.calls.places
    phases = []
    for pmu in pmus:
        by_call = _counts_by_call(table.calls, _columns_of(table.calls, groups, pmu, pmus))
        for span in spans:
            if pmu != pmus[-1]:  # whose phases take the spans' own steps
                span = replace(span, steps=list(span.steps))
            phases.append(_phase_of_calls(span, by_call, places, pmu))
            if len(pmus) > 1:
                phases[-1].notes.append(_several_pmus(pmus))
    phases[0].left_out = left_out
    return phases


def _first(spans: list[Span], n_apart: int, most: int) -> tuple[list[Span], str]:
    """The spans that are judged, each of them so many times, and what is to be said where others are left out."""
    most = max(1, most // max(1, n_apart))
    if len(spans) <= most:
        return spans, ""
    return spans[:most], f"the first {most} of {len(spans)} phases are judged, the others left out"


def _columns_of(calls: Calls, groups: dict[str, dict[str, Any]], pmu: str, pmus: list[str]) -> list[EventColumn]:
    """Columns of the groups of `pmu`; software events belong to every PMU."""
    found = []
    for column in calls.events:
        of_group = groups[column.group]["pmu"] if column.group in groups else None
        if of_group in (pmu, "software") or (len(pmus) == 1 and of_group == ""):
            found.append(column)
    return found


def _counts_by_call(calls: Calls, columns: list[EventColumn]) -> Columns:
    """The counts of these columns, an entry a call."""
    found: dict[str, dict[str, Column]] = {}
    for column in columns:
        found.setdefault(column.group, {})[column.event] = Column(*calls.scaled(column), calls.measured(column))
    return Columns(found)


def _phase_of_calls(span: Span, by_call: Columns, places: dict[int, int], pmu: str) -> Phase:
    """The span, its steps counted. by_call: counts of every call.  places: call number -> its place there."""
    steps = span.steps
    for at, step in enumerate(steps):  # one after the other, for there may be very many
        steps[at] = step.counted_in(by_call, places[step.call or 0])
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
    spans, left_out = _first(spans_of_markers(markers, markers[0].time_s, last), 1, MOST_PHASES)
    for span in spans:
        tokens = sum(step.n_eval for step in span.steps)
        length = span.length_s
        phases.append(Phase(span.label, span.generation, tokens, span.start_s, length, span.steps, warmup=span.warmup))
        phases[-1].notes = [*span.notes, "markers alone, no counts: the times of the steps are all there is"]
    phases[0].left_out = left_out
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
    errors = table.meta.get("errors", {})
    for one in series if errors else []:
        one.total = replace(one.total, error=errors.get((one.scope, one.source), math.nan))
    series, uncore = _of_cores(series)
    notes += uncore
    bin_s = _bin(series)
    pmus = _core_pmus([s.pmu for s in series])
    owners = _owners(series, pmus)
    part_of = _part_of(series, by_scope)
    scopes = list(dict.fromkeys(part_of(s.scope) for s in series))
    if len(scopes) > MOST_APART:
        raise AnalysisError(f"{len(scopes)} control groups or scopes to judge apart, more than {MOST_APART}")
    parts: dict[tuple[str, str], list[Series]] = {}
    for pmu in owners:
        mine: dict[str, list[Series]] = {scope: [] for scope in scopes}
        for one in owners[pmu]:
            mine[part_of(one.scope)].append(one)
        parts |= {(pmu, scope): found for scope, found in mine.items() if found}
    spans, left_out = _first(spans, len(parts), MOST_PHASES)
    phases = []
    for (pmu, scope), of_part in parts.items():
        cut_phases = _count_spans(spans, of_part, straddle, pmu, scope)
        for phase in cut_phases:
            phase.bin_s = bin_s
            if len(pmus) > 1:
                phase.notes.append(_several_pmus(pmus))
        phases += cut_phases
    if phases:
        phases[0].notes += notes
        phases[0].left_out = left_out
    phases.sort(key=lambda p: p.start_s)
    return phases


def pmus_of_cores(table: Table) -> list[str]:
    """The PMUs that count for one core each, in the capture's order."""
    return [pmu for pmu in table.pmus if not _UNCORE.match(pmu)]


def _of_cores(series: list[Series]) -> tuple[list[Series], list[str]]:
    """The series without those of a cluster, an interconnect or a memory controller, beside those of cores; a note."""
    kept = [s for s in series if not _UNCORE.match(s.pmu)]
    names = list(dict.fromkeys(s.pmu for s in series if _UNCORE.match(s.pmu)))
    notes = [f"no cores, so not judged: {summarise(names)}"] if names else []
    return (kept if any(s.pmu or not is_software(s.event) for s in kept) else series), notes


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
    """AnalysisError where there are more than any machine has: each has phases of its own."""
    found = [n for n in dict.fromkeys(names) if n]
    if len(found) > MOST_PMUS:
        raise AnalysisError(f"counts of {len(found)} PMUs, more than the {MOST_PMUS} that any machine has")
    return found


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
    series, notes = without_parts(series)
    counted = count_spans(series, begin, end, straddle)
    notes += _levels_note(series)
    of_steps, of_spans = counted[: len(steps)], counted[len(steps) :]
    straddling = _straddling(series, spans, straddle)
    phases, at = [], 0
    for number, span in enumerate(spans):
        mine = []
        for step in span.steps:
            of_step = of_steps[at]
            length = step.duration_s if straddle == "split" else of_step.covered_s
            counts, groups = of_step.counts, of_step.groups
            mine.append(replace(step, counts=counts, groups=groups, parts=of_step.parts, duration_s=length))
            at += 1
        whole = of_spans[number]
        length = span.length_s if straddle == "split" else whole.covered_s
        tokens, start = sum(s.n_eval for s in mine), span.start_s
        phase = Phase(span.label, span.generation, tokens, start, length, mine, whole.counts, whole.groups, scope, pmu)
        phase.parts = whole.parts
        if not span.contiguous:
            phase.duration_s = sum(step.duration_s for step in mine)
            phase.counts, phase.groups = summed(mine)
            phase.parts = parts_over(mine)
        phase.averaged = whole.averaged or intervals_of_means(series, whole, start, span.end_s, straddle)
        phase.warmup = span.warmup
        phase.notes = [*span.notes, *_scopes_note(series), *notes, *straddling[number]]
        phases.append(phase)
    return phases


def _scopes_note(series: list[Series]) -> list[str]:
    scopes = list(dict.fromkeys(s.scope for s in series))
    if len(scopes) < 2:
        return []
    return [f"summed over {len(scopes)} scopes ({scopes[0]} to {scopes[-1]})"]


_LEVELS = {"u": "user space", "k": "the kernel", "h": "the hypervisor", "G": "guests", "H": "the host"}


def _levels_note(series: list[Series]) -> list[str]:
    levels = {s.level for s in series if not is_software(s.event) and not s.event.startswith(METRIC_PREFIX)}
    if len(levels) != 1 or levels == {""}:
        return []
    level = levels.pop()
    return [f"counted in {' and '.join(_LEVELS.get(letter, letter) for letter in level)} alone (:{level})"]


def _straddling(series: list[Series], spans: list[Span], straddle: str) -> list[list[str]]:
    """For each span a note on the intervals that hold one of its boundaries, if there are any."""
    one = next((s for s in series if s.has_intervals), None)
    if one is None or len(spans) < 2:
        return [[] for _ in spans]
    intervals = one.intervals()
    fate = "divided pro rata by time" if straddle == "split" else "set aside"
    numbers = [intervals.straddling(np.array([s.start_s, s.end_s])) for s in spans]
    return [[f"{n} interval(s) straddle the phase's boundaries: {fate}"] if n else [] for n in numbers]
