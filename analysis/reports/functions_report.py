"""The report of functions: what each phase's time and events went to, the largest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

from analysis import palette
from analysis.errors import printable
from analysis.function_shares import Share
from analysis.reports.charts import Bar, Bars, Part
from analysis.reports.model import Card, Cell, Column, Report, Section, Table

_IN_BARS = len(palette.SERIES)
"""Functions with a hue of their own in one chart."""
_IN_CARD = 3
_LONGEST = 100
_MOST_NAMES = 1000
"""Functions, the largest, that may be among those with a hue: names that are too long become alike."""
_MOST_BARS = 24
"""Phases in one chart, as the turns of a chat are many."""
OTHERS = "all others"


def of_shares(path: Path, found: Sequence[Share], notes: Sequence[str], top: int) -> Report:
    """found: largest first within each phase and event. top: rows that the text has of each table."""
    cut: dict[tuple[str, str], list[Share]] = {}
    of_events: dict[str, dict[str, list[Share]]] = {}
    for share in found:
        rows = of_events.setdefault(share.event, {}).setdefault(share.phase, [])
        rows.append(share)
        cut[share.phase, share.event] = rows
    leading = next(iter(of_events), "")
    hues = {event: _hues(chain.from_iterable(phases.values())) for event, phases in of_events.items()}
    charts = [_bars(phases, event, hues[event]) for event, phases in of_events.items()]
    sections = [Section("", charts, in_text=False)]
    sections += [_section(phase, event, rows, top, hues[event]) for (phase, event), rows in cut.items()]
    return Report(
        title=printable(path.name, 200),
        kind="What each phase ran",
        facts=[],
        details=[],
        cards=[_card(phase, rows) for (phase, event), rows in cut.items() if event == leading],
        sections=sections,
        notes=[printable(note, 1000) for note in notes],
        picture=[[chart] for chart in charts],
    )


def _name(share: Share) -> str:
    return _shown(share.symbol)


@lru_cache(1 << 18)
def _shown(symbol: str) -> str:
    return printable(symbol, _LONGEST)


def _samples(rows: Sequence[Share]) -> str:
    """Of how many samples, '' where a report tells shares alone."""
    counts = [share.samples for share in rows if share.samples is not None]
    return f"{sum(counts)} sample{'s' if sum(counts) != 1 else ''}" if counts else ""


def _card(phase: str, rows: Sequence[Share]) -> Card:
    """The function that a phase's time went to."""
    first, *more = rows[:_IN_CARD]
    then = ", ".join(f"{_name(share)} {100 * share.share:.1f} %" for share in more)
    why = [f"by {printable(first.event)}", *([f"then {then}"] if then else []), *filter(None, [_samples(rows)])]
    verdict = f"{100 * first.share:.1f} % in {_name(first)}"
    return Card(printable(phase), "", verdict, "", ", ".join(why), "", palette.phase(phase))


def _hues(rows: Iterable[Share]) -> dict[str, str]:
    """The largest functions of an event in any phase, each with one hue: its operation's, where its name tells one."""
    of_symbols: dict[str, float] = {}
    for share in rows:
        of_symbols[share.symbol] = max(of_symbols.get(share.symbol, 0.0), share.share)
    most: dict[str, float] = {}
    for symbol in sorted(of_symbols, key=lambda symbol: (-of_symbols[symbol], symbol))[:_MOST_NAMES]:
        most.setdefault(printable(symbol, _LONGEST), of_symbols[symbol])
    shown = sorted(most, key=lambda name: (-most[name], name))[:_IN_BARS]
    hues: dict[str, str] = {}
    for name in shown:
        told = palette.function(name)
        if told and told not in hues.values():
            hues[name] = told
    free = (hue for hue in palette.SERIES if hue not in hues.values())
    return {name: hues.get(name) or next(free) for name in shown}


def _bars(phases: dict[str, list[Share]], event: str, hues: dict[str, str]) -> Bars:
    """A bar a phase."""
    bars = []
    for phase, rows in [*phases.items()][:_MOST_BARS]:
        sums = dict.fromkeys(hues, 0.0)
        for share in rows[:_MOST_NAMES]:
            if _name(share) in sums:
                sums[_name(share)] += 100 * share.share
        values = [(name, sums[name], hue) for name, hue in hues.items()]
        values.append((OTHERS, max(0.0, 100 - sum(sums.values())), palette.OTHER))
        parts = (Part(name, value, hue, f"{name}: {value:.1f} %") for name, value, hue in values if value > 0.05)
        bars.append(Bar(printable(phase), tuple(parts), _samples(rows)))
    title = f"Functions by {printable(event)}" + (f", first {_MOST_BARS} phases" if len(phases) > _MOST_BARS else "")
    return Bars(title, f"% of {printable(event)}", tuple(bars), most=100, mark=" %")


def _section(phase: str, event: str, rows: Sequence[Share], top: int, hues: dict[str, str]) -> Section:
    has_samples = any(share.samples is not None for share in rows)
    columns = (
        Column("function"),
        Column("share", 2, " %"),
        *([Column("samples", 0, secondary=True)] if has_samples else []),
        Column("of", secondary=True),
    )
    # of a path the file's name; --json has all of it
    cells: list[list[Cell]] = [
        [
            _name(share),
            100 * share.share,
            *([float(share.samples or 0)] if has_samples else []),
            printable(share.image.rsplit("/", 1)[-1]),
        ]
        for share in rows[:top]
    ]
    if rest := rows[top:]:
        numbers = [float(sum(share.samples or 0 for share in rest))] if has_samples else []
        cells.append([f"{len(rest)} more functions", 100 * sum(share.share for share in rest), *numbers, ""])
    title = f"{printable(phase)}, by {printable(event)}" + (f", {_samples(rows)}" if has_samples else "")
    return Section(title, [Table("", columns, cells, [hues.get(str(row[0]), "") for row in cells])])
