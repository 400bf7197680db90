"""Breakdowns as tables, and what time and the model's size tell in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import metrics, palette, projection
from analysis.breakdown import Breakdown, LeastTraffic, Part, least_traffic, step_seconds
from analysis.calls import WAITING
from analysis.judging import Capture, JudgedPhase
from analysis.phase import METRIC_PREFIX, NOT_COUNTED, NOT_SUPPORTED, Count
from analysis.projection import Assumed, Projection
from analysis.reports.model import Cell, Column, Table, fixed


def has_counts(phase: JudgedPhase) -> bool:
    """Whether any event was counted that a rule or a metric reads, be it worth something or not."""
    return any(count.status not in (NOT_COUNTED, NOT_SUPPORTED) for count in _read(phase).values())


def _read(phase: JudgedPhase) -> dict[str, Count]:
    """The phase's counts of events that some rule or metric has a use for, and ratios that a tool printed."""
    names = metrics.events_read(phase.context.core)
    counts = phase.evidence.subject.counts
    return {name: count for name, count in counts.items() if name in names or name.startswith(METRIC_PREFIX)}


def table(found: Breakdown, parts: Sequence[Part], title: str, most: int) -> Table:
    """A row for each part, the largest first. title: of the first column.  most: rows that the text has."""
    hues = [palette.operation(part.name) for part in parts] if parts is found.operations else []
    if not found.of_time:
        of_instructions = (Column(title), Column("share of instructions", 1, " %"), Column("instructions/token", 0))
        return Table("", of_instructions, [[part.name, 100 * part.share, part.amount] for part in parts], hues, most)
    rows: list[list[Cell]] = [
        [part.name, 100 * part.share, 1e3 * part.amount, part.bandwidth / 1e9, part.rate / 1e9, _source(part)]
        for part in parts
    ]
    digits = [fixed([row[column] for row in rows], digits) for column, digits in ((2, 4), (3, 3), (4, 4))]
    columns = (
        Column(title),
        Column("share of time", 1, " %"),
        Column("ms/token", digits[0]),
        Column("GB/s", digits[1], secondary=True),
        Column("GOP/s", digits[2], secondary=True),
        Column("bytes by", secondary=True),
    )
    return Table("", columns, rows, hues, most)


def _source(part: Part) -> str:
    """By what the bytes are known; of waiting what it is."""
    return WAITING.get(part.name, part.source)


def lines(phase: JudgedPhase) -> list[tuple[str, str]]:
    """What time and the model's size tell, as (name, text)."""
    found = []
    lengths = step_seconds(phase)
    if lengths and not phase.context.emulated:
        low, middle, high = (f"{1e3 * value:.3g}" for value in lengths)
        found.append(("steps", f"median {middle} ms, 90 % of them between {low} and {high} ms"))
    traffic = least_traffic(phase)
    if traffic:
        found.append(("weights", _traffic(phase, traffic)))
    return found


def _traffic(phase: JudgedPhase, traffic: LeastTraffic) -> str:
    one_each = all(step.n_eval == 1 for step in phase.evidence.steps)
    rate = f"{traffic.per_call / 1e6:.1f} MB a {'token' if one_each else 'call'} make {traffic.rate / 1e9:.2f} GB/s"
    peak = f", {100 * traffic.of_peak:.1f} % of the read peak" if math.isfinite(traffic.of_peak) else ""
    if traffic.above_peak:
        peak = ", more than the read peak, which so was not this run's: the share is withheld"
    return f"{rate}{peak}; indicative: from the model's size, not from counters"


def projected(phase: JudgedPhase, capture: Capture) -> Projection | None:
    """The phase on the machine that the command line assumes, None without one or without operations."""
    if capture.assume is None:
        return None
    return projection.of_phase(phase, capture.table, Assumed(*capture.assume))


def projection_title(found: Projection) -> str:
    """What was assumed, in a sentence that no one takes for a measurement."""
    assumed, seconds = found.assumed, found.seconds
    total = f": {1e3 * seconds:.3g} ms a token, {1 / seconds:.3g} tokens/s at best" if seconds > 0 else ""
    lacking = f"; without {', '.join(found.left_out)}" if found.left_out else ""
    machine = f"{assumed.bandwidth / 1e9:g} GB/s and {assumed.arithmetic / 1e9:g} GOP/s"
    return f"PROJECTION, not measured, on an assumed machine of {machine}{total}{lacking}"


def projection_table(found: Projection) -> Table:
    """Operation, share of the projected time, ms a token, what limits it and by which bytes."""
    rows: list[list[Cell]] = []
    for part in found.parts:
        limit = f"{part.limit}, bytes by {part.source}" if part.source else part.limit
        rows.append([part.name, 100 * part.seconds / found.seconds, 1e3 * part.seconds, limit])
    columns = (
        Column("projected"),
        Column("share", 1, " %"),
        Column("ms/token", fixed([row[2] for row in rows])),
        Column("limit"),
    )
    return Table("", columns, rows, [palette.operation(part.name) for part in found.parts])
