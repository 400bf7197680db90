"""What a capture is cut into: phases, their steps, and the counts of each. Plain data, standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

OK = "ok"
NOT_COUNTED = "not counted"
NOT_SUPPORTED = "not supported"
STATUSES = (OK, NOT_COUNTED, NOT_SUPPORTED)
FOREIGN, IMPOSSIBLE = "foreign", "impossible"
"""What `analysis.plausible` makes of counts that are no evidence: of an event that the core lacks, or untrue."""

METRIC_PREFIX = "metric:"
"""Events of this prefix are ratios a tool printed (`metric:Retiring`). They are averaged over time, never added."""


@dataclass(frozen=True)
class Count:
    """One event over one phase or step.

    value: the estimate for the whole span, scaled up where the event was counted for a part of it; NaN where never.
    running: share of the span, 0..1, in which the event was counted; None where the capture does not tell.
    group: name of the events counted together with it (`g0`), None where the capture does not tell.
    status: one of STATUSES, FOREIGN or IMPOSSIBLE.  samples: how many intervals or calls contributed.
    measured: what was counted before this package scaled it (a tool such as perf may have scaled it already).
    unit: '' for events, else as the capture says (`msec`, `%`).  why: what makes a count no evidence, '' for others.
    level: of privilege at which it was counted: '' for all, else `u`, `k`, `h`, … as perf's modifiers say.
    doubt: what a ratio that a tool printed is the plain mean of, for want of weights; '' for all else.
    error: relative standard error over repeated runs (`perf stat -r`), NaN where the capture tells none.
    """

    value: float
    running: float | None = None
    group: str | None = None
    status: str = OK
    samples: int = 1
    measured: float | None = None
    unit: str = ""
    why: str = ""
    level: str = ""
    doubt: str = ""
    error: float = math.nan


GroupedCounts = dict[str, dict[str, Count]]


@dataclass(frozen=True)
class Part:
    """What one CPU, thread or interval counted, where it cannot be had from the sum. groups: as of a phase."""

    counts: dict[str, Count]
    groups: GroupedCounts = field(default_factory=dict)

    def counted(self, event: str) -> bool:
        return event in self.counts and self.counts[event].status == OK


def counted_together(
    counts: dict[str, Count], groups: GroupedCounts, events: Iterable[str], parts: Mapping[str, Part] | None = None
) -> dict[str, Count] | None:
    """The counts of `events` fit for a ratio: all of one group where some group has them all, else `counts`' own.

    None if any of them was not counted at all, or only at another level of privilege than the others. Where `parts`
    (by scope) say that some scopes lack one of them, the sum over those that have all. A caller sees by the `group` of
    the counts which of these it got.
    """
    wanted = list(events)
    if not all(event in counts for event in wanted):
        return None  # what stands in a group or a part stands in `counts`
    if parts and len(wanted) > 1 and (whole := scopes_with_all(parts, wanted)) != set(parts):
        return _over_parts([parts[scope] for scope in parts if scope in whole], wanted)
    candidates = [g for g in groups.values() if all(e in g and g[e].status == OK for e in wanted)]
    if candidates and wanted:
        best = max(candidates, key=lambda g: (not g[wanted[0]].level, g[wanted[0]].running or 0.0))
        return {e: best[e] for e in wanted}
    if all(e in counts and counts[e].status == OK for e in wanted) and len({counts[e].level for e in wanted}) <= 1:
        return {e: counts[e] for e in wanted}
    return None


def scopes_with_all(parts: Mapping[str, Part], events: Iterable[str]) -> set[str]:
    """The scopes that counted all the events; every scope where each of those that counted any has them all."""
    counted = [{scope for scope, part in parts.items() if part.counted(event)} for event in events]
    common = set.intersection(*counted) if counted else set()
    return set(parts) if common == set().union(*counted) else common


def _over_parts(parts: Sequence[Part], wanted: Sequence[str]) -> dict[str, Count] | None:
    of_parts = [found for part in parts if (found := counted_together(part.counts, part.groups, wanted))]
    if not of_parts or len({found[wanted[0]].level for found in of_parts}) > 1:
        return None
    return {event: added([found[event] for found in of_parts]) for event in wanted}


def added(counts: Sequence[Count]) -> Count:
    """Counts of several scopes as one: as badly multiplexed as on the mean of them. All are of status `ok`."""
    if len(counts) == 1:
        return counts[0]
    shares = [c.running for c in counts if c.running is not None]
    errors = [c.error * c.value for c in counts if math.isfinite(c.error)]
    value, groups = sum(c.value for c in counts), {c.group for c in counts}
    return Count(
        value=value,
        running=sum(shares) / len(shares) if shares else None,
        group=groups.pop() if len(groups) == 1 else None,
        samples=max(c.samples for c in counts),
        measured=sum(c.measured or 0.0 for c in counts),
        unit=counts[0].unit,
        level=counts[0].level,
        error=math.hypot(*errors) / value if errors and value else math.nan,
    )


class Columns(Protocol):
    """Counts of many steps in columns, as `analysis.step_columns` has them."""

    def have_any(self, events: AbstractSet[str]) -> bool: ...

    def groups_at(self, at: int) -> GroupedCounts: ...

    def summed(self, at: Sequence[int], lengths: Sequence[float]) -> GroupedCounts: ...

    def together(self, at: Sequence[int], events: Sequence[str]) -> tuple[Any, Any]: ...

    def screened(self, names: Mapping[str, str], why: Mapping[str, tuple[str, str]]) -> Columns: ...


@dataclass(slots=True)
class Step:
    """One decode call: a batch of the prompt or one generated token.

    n_past: positions in the KV cache before the call.  n_eval: tokens evaluated by it.
    start_s: on the capture's clock.  duration_s: seconds, of the kept intervals where straddling ones were dropped.
    call: the call's number in the capture, where it has one (finds its rows in `Table.calls`).
    parts: as of a phase.  forgotten: of the tokens evaluated, those whose positions a later step took.  sequences: that
    the tokens belong to, each of which has positions of its own.
    columns, at: where the counts come from and at which place there; `counts` and `groups` are made of them when they
    are first asked for, and are not to be changed then.

    Of many steps most are never asked for their counts: `timed` and `counted_in` make no room for them before.
    """

    n_past: int
    n_eval: int
    start_s: float
    duration_s: float
    counts: dict[str, Count] = field(default_factory=dict)
    groups: GroupedCounts = field(default_factory=dict)
    call: int | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    forgotten: int = 0
    sequences: int = 1
    columns: Columns | None = field(default=None, init=False, repr=False, compare=False)
    at: int = field(default=-1, init=False, repr=False, compare=False)

    @staticmethod
    def timed(n_past: int, n_eval: int, start_s: float, duration_s: float) -> Step:
        """A step of which nothing was counted."""
        step = object.__new__(Step)
        step.n_past, step.n_eval, step.start_s, step.duration_s = n_past, n_eval, start_s, duration_s
        step.call, step.forgotten, step.sequences, step.columns, step.at = None, 0, 1, None, -1
        return step

    def counted_in(self, columns: Columns, at: int) -> Step:
        """The same step with its counts from these columns, which tell nothing of parts."""
        found = Step.timed(self.n_past, self.n_eval, self.start_s, self.duration_s)
        found.call, found.forgotten, found.sequences = self.call, self.forgotten, self.sequences
        found.columns, found.at = columns, at
        return found

    def passing(self) -> Step:
        """The same for one use: counts made of columns stay with it and go with it."""
        return self if self.columns is None else self.counted_in(self.columns, self.at)

    def __getattr__(self, name: str) -> Any:
        """What is not there: `counts`, `groups` and `parts` that nobody has asked for yet."""
        if name not in ("counts", "groups", "parts"):
            raise AttributeError(f"a step has no {name}")
        if name == "parts" or self.columns is None:
            setattr(self, name, {})
        else:
            self.groups = self.columns.groups_at(self.at)
            self.counts = best_of_groups(self.groups)
        return getattr(self, name)

    @property
    def n_kept(self) -> int:
        return self.n_eval - self.forgotten

    @property
    def end(self) -> int:
        """Position behind its last token, of the sequence that has the most."""
        return self.n_past + -(-self.n_eval // self.sequences)

    def together(self, *events: str) -> dict[str, Count] | None:
        return counted_together(self.counts, self.groups, events, self.parts)


@dataclass
class Phase:
    """A span of the capture of one kind, on one scope and one PMU.

    label: a free name for people (`prefill`, `decode`, `warmup`, `all`). No verdict may depend on it.
    generation: 0, 1, … for the prompts of a capture, in order; -1 for warm-up.
    n_tokens: tokens evaluated; 0 where not known.
    duration_s: seconds; NaN where the capture does not tell.
    counts: by canonical event.  groups: the same by group of events counted together, where the capture has groups.
    scope: '' for the sum over everything, else as in the table.  pmu: '' where the capture names none.
    bin_s: median length of the capture's intervals, NaN where it has none: what a step's length is compared with.
    warmup: True for steps that the capture calls warm-up, to be left out of every verdict.
    parts: the scopes by name, where not all of them counted the same events; {} where the sum tells as much.
    averaged: the scopes or intervals that plain means stand for, where nothing tells how much each of them did.
    left_out: of the first phase that is cut out, what became of those that were too many; '' where there were none.
    """

    label: str
    generation: int
    n_tokens: int
    start_s: float
    duration_s: float
    steps: list[Step] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=dict)
    groups: GroupedCounts = field(default_factory=dict)
    scope: str = ""
    pmu: str = ""
    bin_s: float = float("nan")
    warmup: bool = False
    notes: list[str] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    averaged: dict[str, Part] = field(default_factory=dict)
    left_out: str = ""

    @property
    def n_kept(self) -> int:
        """Of `n_tokens`, those that were not forgotten: how far the text got."""
        return self.n_tokens - sum([step.forgotten for step in self.steps])

    def together(self, *events: str) -> dict[str, Count] | None:
        return counted_together(self.counts, self.groups, events, self.parts)


@dataclass(frozen=True, slots=True)
class StepFacts:
    """Of one step: its frequency in Hz (NaN if unknown) and how often its threads changed CPU (0 if unknown)."""

    frequency: float = math.nan
    migrations: float = 0.0


class Marker(NamedTuple):
    """`past N, n_eval M` at a time of the capture's clock. n_eval 0 marks the end of the call before."""

    time_s: float
    n_past: int
    n_eval: int
    label: str | None = None


def best_of_groups(groups: GroupedCounts) -> dict[str, Count]:
    """Each event once: from the group in which it was counted for the largest share."""
    best: dict[str, Count] = {}
    for counts in groups.values():
        for event, count in counts.items():
            known = best.get(event)
            if known is None or (count.running or 0.0) > (known.running or 0.0):
                best[event] = count
    return best


def summed(steps: Sequence[Step]) -> tuple[dict[str, Count], GroupedCounts]:
    """(counts, groups) over all steps, scaled up by time for the steps in which an event was not counted.

    An event that stands in groups has the count of the group which counted it for the largest share.
    """
    lengths = [step.duration_s for step in steps]
    if known := columns_of(steps):
        columns, at = known
        found = columns.summed(at, lengths)
        return best_of_groups(found), found
    names = dict.fromkeys(group for step in steps for group in step.groups)
    groups = {name: _over_steps([step.groups.get(name, {}) for step in steps], lengths) for name in names}
    counts = best_of_groups(groups)
    others = [{event: count for event, count in step.counts.items() if event not in counts} for step in steps]
    return _over_steps(others, lengths) | counts, groups


def columns_of(steps: Sequence[Step | Phase]) -> tuple[Columns, list[int]] | None:
    """The columns that all these steps have their counts from, and the places there; None without, or of several."""
    first = steps[0] if steps else None
    if not isinstance(first, Step) or first.columns is None:
        return None
    columns = first.columns
    places = [step.at for step in steps if isinstance(step, Step) and step.columns is columns]
    return (columns, places) if len(places) == len(steps) else None


def parts_over(steps: Sequence[Step]) -> dict[str, Part]:
    """The steps' parts by scope, summed as `summed` does; {} where no step has any."""
    lengths = [step.duration_s for step in steps]
    found = {}
    for scope in dict.fromkeys(scope for step in steps for scope in step.parts):
        mine = [step.parts.get(scope, Part({})) for step in steps]
        names = dict.fromkeys(name for part in mine for name in part.groups)
        groups = {name: _over_steps([part.groups.get(name, {}) for part in mine], lengths) for name in names}
        found[scope] = Part(_over_steps([part.counts for part in mine], lengths), groups)
    return found


def _over_steps(counts: Sequence[dict[str, Count]], lengths: Sequence[float]) -> dict[str, Count]:
    events = dict.fromkeys(event for of_step in counts for event in of_step)
    return {event: _sum([of_step.get(event) for of_step in counts], lengths) for event in events}


def _sum(counts: Sequence[Count | None], lengths: Sequence[float]) -> Count:
    """One event over steps of these lengths in seconds."""
    total = sum(lengths)
    pairs = [(count, length) for count, length in zip(counts, lengths, strict=True) if count is not None]
    counted = [(count, length) for count, length in pairs if count.status == OK]
    covered = sum(length for _, length in counted)
    if not counted or covered <= 0 < total:
        seen = pairs[0][0]
        status = seen.status if seen.status != OK else NOT_COUNTED
        return Count(math.nan, 0.0, seen.group, status, 0, unit=seen.unit)
    tells = any(count.running is not None for count, _ in counted) or covered < total
    share = sum((1.0 if count.running is None else count.running) * length for count, length in counted)
    value, groups = sum(count.value for count, _ in counted), {count.group for count, _ in counted}
    return Count(
        value=value * total / covered if covered < total else value,
        running=(share / total if total > 0 else 1.0) if tells else None,
        group=groups.pop() if len(groups) == 1 else None,
        samples=sum(count.samples for count, _ in counted),
        measured=sum(count.measured or 0.0 for count, _ in counted),
        unit=counted[0][0].unit,
        level=counted[0][0].level,
    )
