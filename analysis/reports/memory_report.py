"""The report of memory accesses: which tensors and how much of the KV cache they went to, and what they cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from analysis import palette
from analysis.memory_samples import LEVELS
from analysis.memory_sums import ELSEWHERE, Sum, joined
from analysis.reports.charts import Bar, Bars, Part
from analysis.reports.model import Block, Card, Cell, Column, Fold, Report, Section, Table, fixed

_IN_BARS = len(palette.SERIES)
_MOST_ROWS = 20
_LAYER = re.compile(r"\bblk\.\d{1,4}\.?")


def of_sums(title: str, sums: Mapping[str, Sequence[Sum]], notes: Sequence[str]) -> Report:
    """sums: of each phase, the range with most samples first."""
    by_kind = {phase: _over_layers(found) for phase, found in sums.items()}
    chart = _bars(by_kind)
    sections = [Section("", [chart], in_text=False)]
    sections += [_section(phase, by_kind[phase], found) for phase, found in sums.items()]
    return Report(
        title=title,
        kind="Where memory accesses went",
        facts=[],
        details=[],
        cards=[_card(phase, found) for phase, found in by_kind.items()],
        sections=sections,
        notes=notes,
        picture=[[chart]],
    )


def _over_layers(found: Sequence[Sum]) -> list[Sum]:
    """Tensors of all layers as one."""
    groups: dict[str, list[Sum]] = {}
    for one in found:
        groups.setdefault(_without_layer(one.title), []).append(one)
    return sorted((joined(title, members) for title, members in groups.items()), key=lambda one: -one.samples)


def _without_layer(title: str) -> str:
    return _LAYER.sub("", title).rstrip(", ").replace(".weight", "")


def _card(phase: str, found: Sequence[Sum]) -> Card:
    first, *more = found[:3]
    why = [f"{sum(one.samples for one in found)} samples"]
    if math.isfinite(first.mean):
        why.append(f"{first.mean:.0f} cycles an access on average, 95 % within {first.p95:.0f}")
    why += [f"{100 * one.share:.1f} % in {one.title}" for one in more]
    return Card(
        phase,
        "",
        f"{100 * first.share:.1f} % of accesses in {first.title}",
        "",
        ", ".join(why),
        "",
        palette.phase(phase),
    )


def _bars(by_kind: Mapping[str, Sequence[Sum]]) -> Bars:
    """A bar a phase: shares of its accesses."""
    order = [one.title for found in by_kind.values() for one in found[:_IN_BARS]]
    named = [title for title in dict.fromkeys(order) if title != ELSEWHERE]
    hues = dict(zip(named, palette.SERIES, strict=False))
    bars = []
    for phase, found in by_kind.items():
        parts = [
            Part(one.title, 100 * one.share, hues[one.title], f"{one.title}: {100 * one.share:.1f} %")
            for one in found[:_IN_BARS]
            if one.title in hues
        ]
        if (rest := 100 - sum(part.value for part in parts)) > 0.05:
            parts.append(Part("all others", rest, palette.OTHER, f"all others: {rest:.1f} %"))
        bars.append(Bar(phase, tuple(parts), f"{sum(one.samples for one in found)} samples"))
    return Bars("Accesses by tensor", "% of samples", tuple(bars), most=100, mark=" %")


def _section(phase: str, by_kind: Sequence[Sum], found: Sequence[Sum]) -> Section:
    blocks: list[Block] = [_table("", by_kind)]
    if len(found) > len(by_kind):
        blocks.append(Fold(f"By tensor and layer ({len(found)})", [_table("", found)], in_text=False))
    return Section(phase, blocks)


def _table(title: str, found: Sequence[Sum]) -> Table:
    rows: list[list[Cell]] = []
    for one in found:
        levels = [100 * one.levels[level] if one.levels else None for level in LEVELS]
        size = None if one.bytes is None else one.bytes / 1e6
        rows.append(
            [one.title, 100 * one.share, float(one.samples), float(one.stores), size, one.mean, one.p95, *levels]
        )
    columns = (
        Column("tensor"),
        Column("share", 1, " %"),
        Column("samples", 0, secondary=True),
        Column("stores", 0, secondary=True),
        Column("MB, estimated", fixed([row[4] for row in rows], 3), missing="-"),
        Column("cycles", 0, secondary=True, missing="-"),
        Column("95 % within", 0, secondary=True, missing="-"),
        *(Column(f"from {level}", 0, " %", secondary=True, missing="-") for level in LEVELS),
    )
    kept = [at for at, _ in enumerate(columns) if at < 2 or any(_is_told(row[at]) for row in rows)]
    rows = [[row[at] for at in kept] for row in rows]
    return Table(title, tuple(columns[at] for at in kept), rows, most=_MOST_ROWS, filtered=len(rows) > 8)


def _is_told(cell: Cell) -> bool:
    return isinstance(cell, float) and math.isfinite(cell)
