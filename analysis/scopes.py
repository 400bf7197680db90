"""Counts of spans over CPUs, threads and groups: what may be added is added, what may not is kept apart.

Counts add up over scopes, and a ratio needs scopes that have all of its events. Ratios that a tool printed are averaged
by weight. Readings of one event at several levels of privilege or in several groups are never mixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.events import is_software
from analysis.metric_names import MOST_PERCENT, SHARES
from analysis.phase import (
    IMPOSSIBLE,
    METRIC_PREFIX,
    NOT_COUNTED,
    NOT_SUPPORTED,
    OK,
    Count,
    GroupedCounts,
    Part,
    added,
    scopes_with_all,
)
from analysis.series import Series, contradiction, differ, is_throughout
from analysis.table import NAN, summarise
from analysis.tally import Tally
from analysis.weights import Weights

CGROUP = "cgroup:"
# Scopes of which each holds those behind it, from the whole machine to one CPU.
_NESTED = ("", "node", "socket", "die", "cluster", "cache", "core", "cpu")
_KINDS = {"cpu": "CPUs", "core": "cores", "thread": "threads", "socket": "sockets", "die": "dies", "node": "nodes"}
_MOST_NAMED_SPANS = 64
_MOST_INTERVALS = 200
"""Intervals, evenly spread, that stand for all of them where they are compared with each other."""


@dataclass
class Counted:
    """One span. covered_s: the time of its kept intervals. parts, averaged: as in a phase."""

    counts: dict[str, Count] = field(default_factory=dict)
    groups: GroupedCounts = field(default_factory=dict)
    covered_s: float = 0.0
    parts: dict[str, Part] = field(default_factory=dict)
    averaged: dict[str, Part] = field(default_factory=dict)


_Weighted = list[tuple[Count, float | None, str]]
"""Readings of one ratio with their weights, None where not known, and scopes."""


def without_parts(series: list[Series]) -> tuple[list[Series], list[str]]:
    """The series without those that others hold already: a total is never added to its parts. And a note on it."""
    widest: dict[tuple[str, str], int] = {}
    for one in series:
        if (level := _nesting(one.scope)) is not None:
            key = (one.event, one.source)
            widest[key] = min(level, widest.get(key, level))
    kept = [s for s in series if (level := _nesting(s.scope)) is None or level == widest[s.event, s.source]]
    events = list(dict.fromkeys(s.event for s in series if s not in kept)) if len(kept) < len(series) else []
    return kept, [f"both total and parts are listed, the total is used: {summarise(events)}"] if events else []


def _nesting(scope: str) -> int | None:
    """How far down the machine a scope lies; None for one that is no part of it, such as a thread."""
    kind = scope.partition(CGROUP)[0].strip().partition(":")[0]
    return _NESTED.index(kind) if kind in _NESTED else None


def count_spans(series: list[Series], begin: np.ndarray, end: np.ndarray, straddle: str) -> list[Counted]:
    """For each span: its counts summed over scopes, the same by group and level, and what cannot be had from a sum."""
    weights = Weights(series)
    views = list(dict.fromkeys((s.group, s.level) for s in series if _is_counter(s.event)))
    spans: list[dict[str, GroupedCounts]] = [{} for _ in begin]
    shares: list[dict[str, _Weighted]] = [{} for _ in begin]
    found = [Counted() for _ in begin]
    for one in series:
        is_ratio = one.event.startswith(METRIC_PREFIX)
        weight = weights.of(one) if is_ratio else None
        counts, totals, covered = _of_series(one, begin, end, straddle, weight)
        view = _view(one.group, one.level)
        for i, count in enumerate(counts):
            here = spans[i].setdefault(one.scope, {}).setdefault(view, {})
            if is_ratio and one.event not in here:
                shares[i].setdefault(one.event, []).append((count, totals[i], one.scope))
            is_in_group = bool(one.group or one.level)
            named = replace(count, group=one.group or None, level=one.level) if is_in_group else count
            _keep(here, one.event, named)
            found[i].covered_s = max(found[i].covered_s, float(covered[i]))
    for i, of_scopes in enumerate(spans):
        _sum_up(found[i], of_scopes, shares[i], several=len(views) > 1)
    return found


def _is_counter(event: str) -> bool:
    return not event.startswith(METRIC_PREFIX) and not is_software(event)


def _view(group: str, level: str) -> str:
    return f"{group}:{level}" if level else group


def _keep(counts: dict[str, Count], event: str, count: Count) -> None:
    """Of two readings of one event on one scope, such as under two names of its PMU, the first that is one."""
    known = counts.get(event)
    if known is None or (known.status != OK and count.status == OK):
        counts[event] = count
    elif _deny(known, count):
        counts[event] = _contradicting(event, known, count)


def _deny(first: Count, second: Count) -> bool:
    are_counts = first.status == second.status == OK and first.level == second.level
    throughout = is_throughout(first.running) and is_throughout(second.running)
    return are_counts and throughout and differ(first.value, second.value)


def _contradicting(event: str, first: Count, second: Count) -> Count:
    why = contradiction(event, first.value, second.value)
    return replace(first, value=NAN, status=IMPOSSIBLE, why=why)


def _sum_up(found: Counted, scopes: dict[str, GroupedCounts], shares: dict[str, _Weighted], several: bool) -> None:
    scopes = _by_thread(scopes)
    for views in scopes.values():
        _deny_groups(views)
        _add_levels(views)
    parts = {scope: Part(_one_each(views), views if several else {}) for scope, views in scopes.items()}
    events = list(dict.fromkeys(event for part in parts.values() for event in part.counts))
    for event in events:
        readings = [part.counts[event] for part in parts.values() if event in part.counts]
        if event in shares:
            found.counts[event] = _mean(event, shares[event])
        else:
            found.counts[event] = _sum(readings)
    if several:
        for view in dict.fromkeys(view for views in scopes.values() for view in views):
            of_view = [views[view] for views in scopes.values() if view in views]
            names = dict.fromkeys(event for counts in of_view for event in counts if _is_counter(event))
            found.groups[view] = {e: _sum([counts[e] for counts in of_view if e in counts]) for e in names}
    if len(parts) > 1:
        counters = [e for e in events if _is_counter(e) and any(p.counted(e) for p in parts.values())]
        nesting = {_nesting(scope) for scope, part in parts.items() if any(part.counted(e) for e in counters)}
        if len(nesting) == 1 and scopes_with_all(parts, counters) != set(parts):
            found.parts = parts
        if any(count.doubt for count in found.counts.values()):
            found.averaged = parts


def _by_thread(scopes: dict[str, GroupedCounts]) -> dict[str, GroupedCounts]:
    """The scopes, those of one thread under several names as one: threads change their names as they run."""
    found: dict[str, GroupedCounts] = {}
    names: dict[str, str] = {}
    for scope, views in scopes.items():
        name, _, number = scope.rpartition("-")
        known = names.setdefault(number, scope) if name.startswith("thread:") else scope
        if known == scope:
            found[scope] = views
            continue
        for view, counts in views.items():
            into = found[known].setdefault(view, {})
            for event, count in counts.items():
                other = into.get(event)
                if other is None or other.status != OK:
                    into[event] = count
                elif count.status == OK:
                    into[event] = added([other, count])
    return found


def _deny_groups(views: GroupedCounts) -> None:
    """Marks an event whose readings in several groups cannot all be true."""
    seen: dict[tuple[str, str], Count] = {}
    for counts in views.values():
        for event, count in counts.items():
            first = seen.setdefault((event, count.level), count)
            if first is not count and not event.startswith(METRIC_PREFIX) and _deny(first, count):
                seen[event, count.level] = _contradicting(event, first, count)
    untrue = {key: count for key, count in seen.items() if count.status == IMPOSSIBLE}
    for counts in views.values():
        for event, count in counts.items():
            if (event, count.level) in untrue:
                counts[event] = replace(untrue[event, count.level], group=count.group)


def _add_levels(views: GroupedCounts) -> None:
    """User and kernel together are all, where nothing counted all at once."""
    for view in [view for view in views if view.endswith(":u")]:
        user, kernel = views[view], views.get(f"{view[:-1]}k", {})
        everywhere = views.get(view[:-2], {})
        for event, count in user.items():
            other = kernel.get(event)
            if event not in everywhere and other is not None and count.status == other.status == OK:
                views.setdefault(view[:-2], {})[event] = replace(added([count, other]), level="")


def _one_each(views: GroupedCounts) -> dict[str, Count]:
    """Each event once: of all levels together if there is such a reading, from the group that counted it longest."""
    best: dict[str, Count] = {}
    for counts in views.values():
        for event, count in counts.items():
            known = best.get(event)
            if known is None or _rank(count) > _rank(known):
                best[event] = count
    return best


def _rank(count: Count) -> tuple[bool, bool, float]:
    return count.status == OK, not count.level, 1.0 if count.running is None else count.running


def _of_series(
    one: Series, begin: np.ndarray, end: np.ndarray, straddle: str, weight: np.ndarray | None
) -> tuple[list[Count], list[float | None], np.ndarray]:
    """(counts, total weights, covered time) of each span."""
    if one.contradicts:
        count = Count(NAN, one.total.running, None, IMPOSSIBLE, 0, unit=one.total.unit, why=one.contradicts)
        return [count] * len(begin), [None] * len(begin), np.zeros(len(begin))
    if not one.has_intervals:  # a sum over the whole capture
        known = None if weight is None else float(weight[0])
        return [one.total] * len(begin), [known] * len(begin), np.zeros(len(begin))
    intervals = one.intervals(weight)
    tally = intervals.split(begin, end) if straddle == "split" else intervals.whole(begin, end)
    totals = [None if weight is None else float(total) for total in tally.weight]
    counts = [_count(one, tally, i) for i in range(len(begin))]
    if weight is None and one.event.startswith(METRIC_PREFIX):
        counts = [
            replace(count, doubt=_doubt(count, one, begin[i], end[i], len(begin))) if count.samples > 1 else count
            for i, count in enumerate(counts)
        ]
    return counts, totals, tally.covered_s


def _doubt(count: Count, one: Series, begin: float, end: float, n_spans: int) -> str:
    text = f"unweighted mean of {count.samples} intervals"
    if n_spans > _MOST_NAMED_SPANS:
        return text
    starts, values = one.starts(), one.values()
    within = values[(starts < end) & (starts + np.nan_to_num(one.lengths()) > begin) & np.isfinite(values)]
    return f"{text}{_spread(within, count.unit)}" if len(within) else text


def _spread(values: np.ndarray, unit: str) -> str:
    low, high, sign = float(np.min(values)), float(np.max(values)), " %" if unit == "%" else ""
    return f", {low:.1f} to {high:.1f}{sign}"


def _count(one: Series, tally: Tally, i: int) -> Count:
    """The tally as a count, scaled to the covered time where other events had the counters in some intervals."""
    covered, counted, samples = float(tally.covered_s[i]), float(tally.counted_s[i]), int(tally.samples[i])
    if covered <= 0 or counted <= 0 or not one.has_values:
        return Count(NAN, 0.0, None, one.total.status if not one.has_values else NOT_COUNTED, 0, unit=one.total.unit)
    measured = float(tally.measured[i])
    running = float(tally.weighted_s[i] / covered)
    share = None if math.isnan(running) else min(running, 1.0)
    if one.event.startswith(METRIC_PREFIX):
        total = float(tally.weight[i])
        if total <= 0:
            return Count(NAN, 0.0, None, NOT_COUNTED, 0, unit=one.total.unit)
        mean = measured / total
        return Count(mean, share, None, OK, samples, mean, one.total.unit)
    scale = covered / counted if counted < covered * (1 - 1e-9) else 1.0
    return Count(measured * scale, share, None, OK, samples, measured, one.total.unit, error=one.total.error)


def _sum(counts: Sequence[Count]) -> Count:
    """Counts of one event over scopes; where none is one, why."""
    untrue = next((count for count in counts if count.status == IMPOSSIBLE), None)
    if untrue is not None:
        return untrue
    good = [count for count in counts if count.status == OK]
    if not good:
        unsupported = all(count.status == NOT_SUPPORTED for count in counts)
        return counts[0] if len(counts) == 1 or unsupported else replace(counts[0], status=NOT_COUNTED)
    return added(good)


def _mean(event: str, readings: _Weighted) -> Count:
    """A ratio over scopes by their weights; by none where one of them is not known, which is said."""
    good = [reading for reading in readings if reading[0].status == OK]
    if len(good) < 2:
        return good[0][0] if good else _sum([count for count, _, _ in readings])
    values = np.array([count.value for count, _, _ in good])
    name = event.removeprefix(METRIC_PREFIX)
    largest, _, where = good[int(np.argmax(values))]
    if name in SHARES and largest.value > MOST_PERCENT:
        text = f"{name}: a share of {largest.value:.0f} % on {where} is impossible"
        return replace(largest, value=NAN, status=IMPOSSIBLE, why=text)
    whole = added([count for count, _, _ in good])
    known = [weight for _, weight, _ in good if weight is not None]
    if len(known) == len(good) and sum(known) > 0:
        mean = float(np.average(values, weights=known))
        doubt = next((count.doubt for count, _, _ in good if count.doubt), "")
        return replace(whole, value=mean, measured=mean, error=NAN, doubt=doubt)
    mean = float(values.mean())
    kinds = {_KINDS.get(scope.partition(":")[0], "scopes") for _, _, scope in good}
    text = f"unweighted mean of {len(good)} {kinds.pop() if len(kinds) == 1 else 'scopes'}"
    return replace(whole, value=mean, measured=mean, error=NAN, doubt=f"{text}{_spread(values, whole.unit)}")


def intervals_of_means(
    series: list[Series], counted: Counted, begin: float, end: float, straddle: str
) -> dict[str, Part]:
    """What the intervals say each for itself, where plain means over them are all there is; else {}."""
    if not any("intervals" in count.doubt for count in counted.counts.values()):
        return {}
    ratio = next(s for s in series if s.event.startswith(METRIC_PREFIX) and counted.counts[s.event].doubt)
    starts = ratio.starts()
    ends = starts + np.nan_to_num(ratio.lengths())
    within = np.flatnonzero((starts < end) & (ends > begin))
    within = within[:: max(1, math.ceil(len(within) / _MOST_INTERVALS))]
    if len(within) < 2:
        return {}
    spans = count_spans(series, np.maximum(starts[within], begin), np.minimum(ends[within], end), straddle)
    return {f"interval {n + 1}": Part(one.counts) for n, one in zip(within, spans, strict=True)}
