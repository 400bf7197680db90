"""The report of a sweep: what is fastest and by how much that is known, then every setup, every comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis import medians, palette
from analysis.errors import printable
from analysis.reports import sweep_charts as charts
from analysis.reports import sweep_parts
from analysis.reports.charts import Chart
from analysis.reports.model import Block, Card, Cell, Column, Fact, Fold, Report, Section, Table, Warn, fixed
from analysis.sweep_pairs import MOST_PAIRS, Change, Pair, pairs
from analysis.sweep_results import SweepResults, Times, said, varied

_MOST_ROWS = 60
_MOST_PAGE_ROWS = 1500
_VERDICT_HUES = {"faster": palette.BETTER, "slower": palette.WAITING}


def of_sweep(results: SweepResults, changes: Sequence[Change] | None = None, against: str = "") -> Report:
    """``changes``: what differs from an older sweep, whose file is ``against``."""
    measured = [times for phase, times in results.times.items() if phase != "load"]
    sections = [_changes(changes, against)] if changes is not None else []
    # setups of a damaged file may be alike, or differ in what one of them is not told of
    neighbours = {times.phase: pairs(times, only_neighbours=True) for times in measured}
    found = {phase: [pair for pair in compared if len(pair.axes) == 1] for phase, compared in neighbours.items()}
    sections += [_section(results, times, found[times.phase]) for times in measured]
    if "load" in results.times:
        sections.append(Section("load", [table(results.times["load"])], "until the model can be used", in_text=False))
    return Report(
        title=results.name,
        kind="A sweep",
        facts=_facts(results),
        details=_details(results),
        cards=[_card(times, found[times.phase]) for times in measured],
        sections=sections,
        warnings=_warnings(results),
        picture=[row for times in measured for row in _picture(times)],
    )


def _facts(results: SweepResults) -> list[str]:
    runs = ", ".join(f"{count} {state}" for state, count in results.states.items())
    blocks = max((times.seconds.shape[1] for times in results.times.values()), default=0)
    facts = [f"{len(results.setups)} setups in {blocks} blocks", f"runs: {runs}"]
    facts += list(dict.fromkeys(printable(str(machine["cpu"])) for machine in results.machines if machine.get("cpu")))
    return facts + ([f"commit {', '.join(results.commits)}"] if results.commits else [])


def _details(results: SweepResults) -> list[str]:
    constant = results.setups[0].values if results.setups else {}
    several = results.varied()
    same = [said(axis, value) for axis, value in constant.items() if axis not in several and value not in (None, "")]
    reasons = sorted(results.reasons.items(), key=lambda item: -item[1])[:6]
    found = [f"the same in all: {', '.join(same)}"] if same else []
    return found + [f"{count} × {reason}" for reason, count in reasons]


def _warnings(results: SweepResults) -> list[str]:
    found = []
    several = len({setup.values["machine"] for setup in results.setups})
    if len(results.machines) > several:
        of = f" of {several} machines" if several > 1 else " of machine or software"
        found.append(f"the runs are of {len(results.machines)} states{of}: they may not be comparable")
    if lost := sum(results.states.get(state, 0) for state in ("failed", "timeout")):
        found.append(f"{lost} runs have no result")
    total = sum(results.states.values())
    if total and results.states.get("noisy", 0) > total / 4:
        found.append(
            f"{results.states['noisy']} of {total} runs were disturbed: others' load, throttling or migrations"
        )
    return found


def _card(times: Times, found: Sequence[Pair]) -> Card:
    """The fastest setup, and how many comparisons show something."""
    axes = varied(times.setups)
    best = max(range(len(times.setups)), key=lambda row: charts.rate(times, row))
    setup, values = times.setups[best], times.of(best)
    ends = medians.interval(values)
    known = f"{1 / ends[1]:.4g} to {1 / ends[0]:.4g} with 95 %" if ends else f"{len(values)} blocks: no interval"
    shown = sum(pair.differs for pair in found)
    compared = f"; of {len(found)} pairs that differ in one axis {shown} show a difference" if found else ""
    return Card(
        times.phase,
        f"{charts.rate(times, best):.4g} {charts.unit(times.phase)}",
        f"fastest: {setup.name(axes)}" if axes else "one setup",
        "",
        f"{known}{compared}",
        "",
        palette.phase(times.phase),
    )


def _section(results: SweepResults, times: Times, found: Sequence[Pair]) -> Section:
    blocks: list[Block] = [*charts.speed_ups(times), *charts.speeds(times), table(times, results.noisy)]
    if (law := sweep_parts.laws_table(times)) is not None:
        blocks.append(law)
    if (stacked := charts.parts(results, times)) is not None:
        blocks.append(stacked)
    if (shares := sweep_parts.shares_table(results, times)) is not None:
        blocks.append(shares)
    blocks += [*sweep_parts.part_speed_ups(results, times), *sweep_parts.parts_over(results, times)]
    blocks += sweep_parts.each_token(results, times)
    blocks += [chart for chart in (charts.front(times), sweep_parts.quality(times)) if chart is not None]
    blocks += [*charts.heats(times), charts.spread(times)]
    blocks.append(comparisons(found))
    if times.seconds.shape[1] < medians.LEAST:
        blocks.insert(0, Warn(f"{times.seconds.shape[1]} blocks: intervals need {medians.LEAST}"))
    return Section(times.phase, blocks)


def table(times: Times, noisy: dict[str, int] | None = None) -> Table:
    """Every setup: the median speed with its interval, how far samples spread, how many runs it has."""
    axes = varied(times.setups)
    scored = any(setup.perplexity for setup in times.setups)
    rows: list[list[Cell]] = []
    for row, setup in enumerate(times.setups):
        values = times.of(row)
        ends = medians.interval(values)
        middle = float(np.median(values))
        half = 100 * (ends[1] - ends[0]) / 2 / middle if ends else None
        first, third = np.percentile(times.samples[row], (25, 75))
        named: list[Cell] = [_cell(axis, setup.values[axis]) for axis in axes]
        low, high = (1 / ends[1], 1 / ends[0]) if ends else (None, None)
        doubtful = float((noisy or {}).get(setup.known_by, 0))
        rows.append(
            [*named, 1 / middle, low, high, half, 100 * float(third - first) / middle, float(len(values)), doubtful]
        )
        if scored:
            rows[-1].append(setup.perplexity)
    places = fixed([row[len(axes)] for row in rows], 4)
    columns = (
        *(Column(axis, 0 if axis in charts.NUMBERS else None, missing="-") for axis in axes),
        Column(charts.unit(times.phase), places),
        Column("95 % from", places, secondary=True, missing="-"),
        Column("to", places, secondary=True, missing="-"),
        Column("±", 1, " %", missing="-"),
        Column("half within", 1, " %", secondary=True),
        Column("blocks", 0, secondary=True),
        Column("doubtful", 0, secondary=True),
        *([Column("perplexity", 3, missing="-")] if scored else []),
    )
    return Table("", columns, rows, most=_MOST_ROWS, filtered=len(rows) > 8)


def _cell(axis: str, value: object) -> Cell:
    if axis in charts.NUMBERS:
        return None if not isinstance(value, int) else float(value)
    return "-" if value is None else said(axis, value).removeprefix(f"{axis} ")


def comparisons(found: Sequence[Pair]) -> Fold:
    """Pairs that differ in one axis, those that show something first."""
    ordered = sorted(found, key=lambda pair: (not pair.differs, pair.axes, -abs(np.log(pair.ratio))))
    setups = [setup for pair in found for setup in (pair.one, pair.other)]
    axes = varied(setups)
    rows: list[list[Cell]] = []
    for pair in ordered[:_MOST_PAGE_ROWS]:
        (axis,) = pair.axes
        low, high = pair.interval or (None, None)
        sides = [said(axis, side.values[axis]) for side in (pair.one, pair.other)]
        same = pair.one.name([each for each in axes if each != axis]) if len(axes) > 1 else "-"
        rows.append([*sides, same, pair.ratio, low, high, pair.verdict])
    columns = (
        Column("this"),
        Column("against"),
        Column("both with", secondary=True),
        Column("times as fast", 3),
        Column("96 % from", 3, missing="-"),
        Column("to", 3, missing="-"),
        Column("so"),
    )
    hues = [_VERDICT_HUES.get(str(row[-1]), palette.OTHER) for row in rows]
    n = len(found)
    said_of_chance = (
        f"of {n} comparisons at 96 % about {n / 25:.0f} would show a difference by chance" if n >= 25 else ""
    )
    blocks: list[Block] = [Fact("By chance", said_of_chance)] if said_of_chance else []
    first = "the first " if n == MOST_PAIRS else ""
    title = f"Comparisons: {first}{n} pairs that differ in one axis, block by block"
    shown = Table(title, columns, rows, hues, most=_MOST_ROWS, filtered=len(rows) > 8)
    return Fold(title, [*blocks, shown])


def _changes(changes: Sequence[Change], against: str) -> Section:
    setups = [change.setup for change in changes]
    axes = varied(setups)
    rows: list[list[Cell]] = []
    for change in sorted(changes, key=lambda change: (not change.is_shown, change.ratio)):
        low, high = change.interval or (None, None)
        name = change.setup.name(axes) if axes else "all"
        rows.append(
            [name, change.phase, 1 / change.old, 1 / change.new, change.ratio, low, high, change.chance, change.verdict]
        )
    columns = (
        Column("setup"),
        Column("phase"),
        Column("then", fixed([row[2] for row in rows], 4), secondary=True),
        Column("now", fixed([row[3] for row in rows], 4)),
        Column("times as fast", 3),
        Column("95 % from", 3, secondary=True, missing="-"),
        Column("to", 3, secondary=True, missing="-"),
        Column("chance", 4, secondary=True, missing="-"),
        Column("so"),
    )
    slower = sum(change.is_regression for change in changes)
    lead = f"{len(changes)} setups and phases that both have; {slower or 'none'} shown to be slower"
    hues = [_VERDICT_HUES.get(str(row[-1]), palette.OTHER) for row in rows]
    return Section(
        f"Against {against}", [Table("", columns, rows, hues, most=_MOST_ROWS, filtered=len(rows) > 8)], lead
    )


def _picture(times: Times) -> list[list[Chart]]:
    """The leading charts of a phase, in rows of two."""
    found: list[Chart] = [*list(charts.speed_ups(times))[:2], *list(charts.speeds(times))[:2]]
    found += list(charts.heats(times))[:2]
    rows = [found[at : at + 2] for at in range(0, len(found), 2)]
    return [*rows, [charts.spread(times)]]
