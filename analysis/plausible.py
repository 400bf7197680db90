"""Counts that cannot be what their names say are no evidence: of events that the core lacks, zeros beside billions.

`screened(phase, core)` is the way in: the phase, its steps and groups with such counts set aside, each with the reason,
and with raw codes under the names that the core has for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from analysis.cores import Core
from analysis.metric_names import MOST_PERCENT, SHARES, SLOTS_CLASSES
from analysis.phase import FOREIGN, IMPOSSIBLE, METRIC_PREFIX, OK, Count, GroupedCounts, Part, Phase, columns_of

_RAW = re.compile(r"r([0-9a-f]{1,16})")

Counts = Mapping[str, Count]


class Zero(NamedTuple):
    """A count of exactly 0 of `event` cannot be beside `least` or more of `beside`."""

    event: str
    beside: str
    least: float


# Work that takes so many cycles retires something, and stalls at some time in every way that the core knows.
ZEROS = (
    Zero("INST_RETIRED", "CPU_CYCLES", 1e6),
    Zero("INST_SPEC", "CPU_CYCLES", 1e6),
    Zero("OP_RETIRED", "CPU_CYCLES", 1e6),
    Zero("OP_SPEC", "CPU_CYCLES", 1e6),
    Zero("CPU_CYCLES", "INST_RETIRED", 1e3),
    Zero("CPU_CYCLES", "STALL_BACKEND", 1e3),
    Zero("STALL_BACKEND", "CPU_CYCLES", 1e8),
    Zero("STALL_FRONTEND", "CPU_CYCLES", 1e9),
    Zero("STALL_SLOT", "CPU_CYCLES", 1e8),
    Zero("STALL_SLOT_BACKEND", "CPU_CYCLES", 1e8),
    Zero("STALL_SLOT_FRONTEND", "CPU_CYCLES", 1e9),
    Zero("STALL_BACKEND_MEM", "STALL_BACKEND", 1e6),
    Zero("STALL_BACKEND_MEMBOUND", "STALL_BACKEND", 1e6),
    Zero("STALL_BACKEND_LD", "STALL_BACKEND", 1e6),
    Zero("L1D_CACHE_REFILL", "INST_RETIRED", 1e8),
    Zero("L2D_CACHE_REFILL", "L1D_CACHE_REFILL", 1e6),
    Zero("L3D_CACHE_REFILL", "L2D_CACHE_REFILL", 1e6),
    Zero("LL_CACHE_MISS_RD", "L2D_CACHE_REFILL", 1e6),
)
_ALWAYS = ("INST_RETIRED", "INST_SPEC", "OP_RETIRED", "OP_SPEC")
"""What every program counts some of."""

# More of the one than of the other, times the factor, cannot be; the slack is for counts scaled up from parts.
ABOVE = (
    ("STALL_BACKEND", "CPU_CYCLES", 1.0),
    ("STALL_FRONTEND", "CPU_CYCLES", 1.0),
    ("STALL", "CPU_CYCLES", 1.0),
    ("INST_RETIRED", "CPU_CYCLES", 16.0),
    ("INST_SPEC", "CPU_CYCLES", 24.0),
    ("OP_RETIRED", "OP_SPEC", 1.0),
    ("STALL_BACKEND_MEM", "STALL_BACKEND", 1.0),
    ("STALL_BACKEND_MEMBOUND", "STALL_BACKEND", 1.0),
    ("BR_MIS_PRED", "INST_RETIRED", 1.0),
    # no core fills more than a line or two a cycle
    ("L1I_CACHE_REFILL", "CPU_CYCLES", 2.0),
    ("L1D_CACHE_REFILL", "CPU_CYCLES", 2.0),
    ("L2D_CACHE_REFILL", "CPU_CYCLES", 1.0),
    ("L3D_CACHE_REFILL", "CPU_CYCLES", 1.0),
    ("LL_CACHE_MISS_RD", "CPU_CYCLES", 1.0),
    ("LL_CACHE_MISS_RD", "LL_CACHE_RD", 1.0),
)
SLACK = 1.05
LINE_BYTES = 64
MOST_BYTES_PER_SECOND = {"L3D_CACHE_REFILL": 2e13, "LL_CACHE_MISS_RD": 2e13, "L2D_CACHE_REFILL": 2e14}
"""Far more than any machine moves: twenty times the memory bandwidth of the fastest sockets, and of their caches."""
WHOLE = 0.10
"""How far the shares of all slots, printed with a digit or two, may sum from 100 %."""


def screened(phase: Phase, core: Core) -> tuple[Phase, list[str]]:
    """The phase with what is no evidence set aside everywhere, and a line for each reason."""
    names = _names(phase.counts, core)
    counts = {names.get(event, event): count for event, count in phase.counts.items()}
    why = _foreign(counts, core)
    why |= _impossible({event: count for event, count in counts.items() if event not in why})
    why |= _too_fast({event: count for event, count in counts.items() if event not in why}, phase.duration_s)
    why |= _shares(counts)
    known = [count.why for count in phase.counts.values() if count.status == IMPOSSIBLE and count.why]
    if not names and not why:
        return phase, list(dict.fromkeys(known))

    def clean(of_span: Counts) -> dict[str, Count]:
        named = ((names.get(event, event), count) for event, count in of_span.items())
        return {event: _aside(count, *why[event]) if event in why else count for event, count in named}

    def clean_all(groups: GroupedCounts) -> GroupedCounts:
        return {name: clean(group) for name, group in groups.items()}

    def clean_parts(parts: Mapping[str, Part]) -> dict[str, Part]:
        return {scope: Part(clean(part.counts), clean_all(part.groups)) for scope, part in parts.items()}

    found = columns_of(phase.steps) if len(set(names.values())) == len(names) else None
    if found:
        columns = found[0].screened(names, why)
        steps = [step.counted_in(columns, at) for step, at in zip(phase.steps, found[1], strict=True)]
    else:
        steps = [
            replace(step, counts=clean(step.counts), groups=clean_all(step.groups), parts=clean_parts(step.parts))
            for step in phase.steps
        ]
    reasons = [f"{event}: {text}" for event, (status, text) in why.items() if status == FOREIGN]
    reasons += dict.fromkeys([*known, *(text for status, text in why.values() if status == IMPOSSIBLE)])
    screened_phase = replace(
        phase,
        counts=clean(phase.counts),
        groups=clean_all(phase.groups),
        steps=steps,
        parts=clean_parts(phase.parts),
        averaged=clean_parts(phase.averaged),
    )
    return screened_phase, reasons


def _names(counts: Counts, core: Core) -> dict[str, str]:
    """Spelling -> the core's name of it: raw codes, and names in lower case that no other core has."""
    found = {}
    for event in counts:
        raw = _RAW.fullmatch(event)
        name = core.event_of(int(raw[1], 16)) if raw else event.upper().replace("-", "_")
        if name and name != event and core.has(name) and name not in counts:
            found[event] = name
    return found


def _aside(count: Count, status: str, text: str) -> Count:
    return replace(count, value=math.nan, status=status, why=text) if count.status == OK else count


def _foreign(counts: Counts, core: Core) -> dict[str, tuple[str, str]]:
    found = {}
    for event, count in counts.items():
        if core.lacks(event) and count.status == OK:
            found[event] = FOREIGN, f"{core.title} does not have it, so its count of {count.value:,.0f} is no evidence"
    return found


def _impossible(counts: Counts) -> dict[str, tuple[str, str]]:
    value = _values(counts)
    found: dict[str, tuple[str, str]] = {}
    for event, beside, least in ZEROS:
        if value(event) == 0 and value(beside) >= least:
            text = f"the counter returned 0: no {event} beside {value(beside):,.0f} {beside} cannot be"
            found.setdefault(event, (IMPOSSIBLE, text))
    if any(event in found for event in _ALWAYS):  # one dead counter, and the zeros of the others are as little worth
        text = next(text for event, (_, text) in found.items() if event in _ALWAYS)
        zeros = [event for event in counts if event.isupper() and value(event) == 0]
        found = dict.fromkeys(zeros, (IMPOSSIBLE, text))
    for event, beside, factor in ABOVE:
        if value(beside) > 0 and value(event) > SLACK * factor * value(beside):
            times = f"{factor:g} times " if factor != 1 else ""
            text = f"{value(event):,.0f} {event} cannot be: more than {times}the {value(beside):,.0f} {beside}"
            found.setdefault(event, (IMPOSSIBLE, text))
    return found


def _too_fast(counts: Counts, seconds: float) -> dict[str, tuple[str, str]]:
    value, found = _values(counts), {}
    for event, most in MOST_BYTES_PER_SECOND.items():
        rate = LINE_BYTES * value(event) / seconds if seconds > 0 else math.nan
        if rate > most:
            text = f"{value(event):,.0f} {event} cannot be: {rate / 1e12:,.0f} TB/s are more than any machine moves"
            found[event] = IMPOSSIBLE, text
    return found


def _shares(counts: Counts) -> dict[str, tuple[str, str]]:
    """Percentages that a tool printed: none above 100, and those of all slots sum to that."""
    value, found = _values(counts), {}
    for name in SHARES:
        share = value(METRIC_PREFIX + name)
        if share > MOST_PERCENT:
            found[METRIC_PREFIX + name] = IMPOSSIBLE, f"{name}: a share of {share:.0f} % is impossible"
    printed = [METRIC_PREFIX + name for name in SLOTS_CLASSES if math.isfinite(value(METRIC_PREFIX + name))]
    other = value(METRIC_PREFIX + "smt_contention")
    total = sum(value(event) for event in printed) + (other if math.isfinite(other) else 0.0)
    is_all = len(printed) == len(SLOTS_CLASSES)
    if total > 100 * (1 + WHOLE) or (is_all and total < 100 * (1 - WHOLE)):
        names = ", ".join(event.removeprefix(METRIC_PREFIX) for event in printed)
        text = f"{names}: shares of all slots that sum to {total:.0f} %"
        for event in printed:
            found.setdefault(event, (IMPOSSIBLE, text))
    return found


def _values(counts: Counts) -> Callable[[str], float]:
    def value(event: str) -> float:
        count = counts.get(event)
        return count.value if count is not None and count.status == OK else math.nan

    return value
