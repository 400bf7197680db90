"""The report of captures over threads and prompt lengths: speed-up first, then what a token's time is made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from analysis import combinations, palette
from analysis.calls import WAITING
from analysis.combinations import KINDS, Combination
from analysis.reports import scaling_charts
from analysis.reports.model import Block, Card, Cell, Column, Fold, Report, Section, Table, Warn, fixed

NOISE = 0.05
"""A speed-up this far from ideal, or from none, is one."""


def of_combinations(found: Sequence[Combination], title: str, facts: Sequence[str] = ()) -> Report:
    """title: what ran."""
    mine = {kind: combinations.of_kind(found, kind) for kind in KINDS}
    mine = {kind: entries for kind, entries in mine.items() if entries}
    picture = [[chart(entries, kind) for kind, entries in mine.items()] for chart in scaling_charts.LEADING]
    return Report(
        title=title,
        kind="How it scales over threads and prompt lengths",
        facts=facts,
        details=[],
        cards=[_card(kind, entries) for kind, entries in mine.items()],
        sections=[_section(kind, entries) for kind, entries in mine.items()],
        picture=picture,
    )


def flags(mine: Sequence[Combination]) -> list[str]:
    """What cannot be, or should not: faster than the threads are many, slower than with fewer."""
    if not mine:
        return []
    found = []
    base, *more = combinations.threads_in(mine)
    for prompt in combinations.prompts_in(mine):
        for threads in more:
            gain = combinations.speed_up(mine, threads, prompt)
            what = f"{threads} threads at {prompt} tokens"
            if gain > (1 + NOISE) * threads / base:
                ideal = f"{threads / base:g} would be ideal"
                found.append(
                    f"super-linear: {what} are {gain:.2f} times as fast as {_threads(base)}, where {ideal}: "
                    "the runs differ in more than threads (clock, caches, other programs)"
                )
            elif gain < 1 - NOISE:
                found.append(f"slower than {_threads(base)}: {what} reach {gain:.2f} of its speed")
    return found


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _card(kind: str, mine: Sequence[Combination]) -> Card:
    """The best speed of the longest prompt, and what its time goes to."""
    base, prompt = combinations.threads_in(mine)[0], combinations.prompts_in(mine)[-1]
    entries = [entry for entry in mine if entry.prompt == prompt and math.isfinite(entry.rate)]
    if not entries:
        return Card(kind, "", "speed not known", "", "", "", palette.phase(kind))
    best = max(entries, key=lambda entry: entry.rate)
    gain = combinations.speed_up(mine, best.threads, prompt)
    verdict = f"{gain:.2f} times as fast with {_threads(best.threads)}" if best.threads > base else ""
    ideal = f", {100 * gain * base / best.threads:.0f} % of ideal" if best.threads > base else ""
    rows = scaling_charts.seconds_by_part(best, scaling_charts.leading([best]))
    spent = sorted(((seconds, name) for name, seconds in rows.items() if seconds > 0), reverse=True)[:2]
    total = sum(rows.values())
    parts = " and ".join(f"{name} {100 * seconds / total:.0f} %" for seconds, name in spent)
    why = f"at {prompt} tokens{ideal}" + (f"; {parts} of the time" if parts else "")
    doubts = flags(mine)
    return Card(
        kind,
        f"{best.rate:.1f} tokens/s",
        verdict or f"no faster with more than {_threads(base)}",
        "",
        why,
        doubts[0].split(":")[0] + f" in {len(doubts)} of the combinations, see below" if doubts else "",
        palette.WAITING if doubts else palette.phase(kind),
    )


def _section(kind: str, mine: Sequence[Combination]) -> Section:
    blocks: list[Block] = [Warn(flag) for flag in flags(mine)]
    blocks += [chart(mine, kind) for chart in scaling_charts.LEADING[:2]]
    blocks.append(table(mine))
    blocks += [chart(mine, kind) for chart in scaling_charts.LEADING[2:]]
    more: list[Block] = [chart(mine, kind) for chart in scaling_charts.DETAILS]
    blocks.append(Fold("Components and every step", [*more, _spread(mine[-1])], in_text=False))
    return Section(kind, blocks)


def table(mine: Sequence[Combination]) -> Table:
    """Speed and speed-up by prompt length and threads, and each component's share of the time."""
    base = combinations.threads_in(mine)[0]
    components = combinations.leading_components(mine)
    rows: list[list[Cell]] = []
    for entry in sorted(mine, key=lambda entry: (entry.prompt, entry.threads)):
        gain = combinations.speed_up(mine, entry.threads, entry.prompt)
        shares = [100 * entry.share(name) if entry.share(name) > 0 else None for name in components]
        known = [gain, 100 * gain * base / entry.threads]
        rows.append([float(entry.prompt), float(entry.threads), entry.rate, *known, *shares])
    columns = (
        Column("prompt", 0),
        Column("threads", 0),
        Column("tokens/s", 1, missing="-"),
        Column(f"speed-up over {base}", 2, missing="-"),
        Column("of ideal", 0, " %", missing="-"),
        *(Column(name, 1, " %", secondary=True, missing="-") for name in components),
    )
    return Table("", columns, rows)


def _spread(entry: Combination) -> Table:
    """Each component's time a step: median and percentiles."""
    rows: list[list[Cell]] = []
    for name in combinations.leading_components([entry]):
        low, median, high = (float(value) for value in 1e3 * np.percentile(entry.components[name], (5, 50, 95)))
        rows.append([name, 100 * entry.share(name), median, low, high])
    decimals = fixed([row[4] for row in rows], 4)
    columns = (
        Column(f"ms a step, {entry.prompt} tokens, {_threads(entry.threads)}"),
        Column("share", 1, " %"),
        Column("median", decimals),
        Column("p5", decimals, secondary=True),
        Column("p95", decimals),
    )
    hues = [palette.WAITING if row[0] in WAITING else palette.operation(str(row[0])) for row in rows]
    return Table("", columns, rows, hues)
