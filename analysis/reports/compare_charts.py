"""The charts of captures beside a first one: a token's time by operation in each, and what makes the difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis import palette
from analysis.calls import WAITING
from analysis.changes import Change, Comparison
from analysis.reports.charts import Bar, Bars, Chart, Part
from analysis.reports.model import fixed

MOST_IN_PICTURE = 12
"""Phases."""
MOST_PARTS = 10
"""Operations that a chart or a table shows of their own; the others are one."""


def charts_of(results: Sequence[Comparison], title: str) -> list[Chart]:
    """Of a phase of the first capture: a bar a capture, then a waterfall for each that is beside it."""
    stacks = _stacks(results, title)
    falls = [_waterfall(result, title, len(results) > 1) for result in results]
    return [chart for chart in (stacks, *falls) if chart.bars]


def in_picture(results: Sequence[Comparison], titles: Sequence[str]) -> list[list[Chart]]:
    """The charts of a picture, one below the other: of the first phases, which the last chart tells."""
    charts = [chart for title in titles[:MOST_IN_PICTURE] for chart in charts_of(results, title)]
    if charts and len(titles) > MOST_IN_PICTURE:
        told = f"{charts[-1].title} (the first {MOST_IN_PICTURE} of {len(titles)} phases)"
        charts[-1] = replace(charts[-1], title=told)
    return [[chart] for chart in charts]


def hue(name: str) -> str:
    """An operation's."""
    return palette.WAITING if name in WAITING else palette.operation(name)


def seconds_by_operation(results: Sequence[Comparison], title: str) -> dict[str, dict[str, float]]:
    """Letter -> operation -> seconds a token, of the captures that have them; A is the first."""
    found: dict[str, dict[str, float]] = {}
    for result in results:
        for change in result.of(title, "operation"):
            found.setdefault("A", {})[change.name] = change.left
            found.setdefault(result.letter, {})[change.name] = change.right
    return found


def by_size(seconds: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Operations by the longest time that one takes in any capture."""
    names = dict.fromkeys(name for times in seconds.values() for name in times)
    return sorted(names, key=lambda name: -max(times.get(name, 0.0) for times in seconds.values()))


def _stacks(results: Sequence[Comparison], title: str) -> Bars:
    """Milliseconds a token by operation, a bar a capture; no bars unless at least two have operations."""
    seconds = seconds_by_operation(results, title)
    names = by_size(seconds)
    bars = []
    for letter, times in seconds.items():
        pairs = [(name, times.get(name, 0.0)) for name in names[:MOST_PARTS]]
        if rest := names[MOST_PARTS:]:
            pairs.append(("others", sum(times.get(name, 0.0) for name in rest)))
        found = tuple(
            Part(name, 1e3 * value, hue(name), f"{letter}, {name}: {1e3 * value:.3g} ms a token")
            for name, value in pairs
            if value > 0
        )
        bars.append(Bar(letter, found, f"{1e3 * sum(times.values()):.4g} ms a token"))
    decimals = fixed([bar.total for bar in bars])
    letters = " and ".join(f"in {letter}" for letter in seconds)
    return Bars(f"{title}: a token's time {letters}", "ms a token", tuple(bars), decimals=decimals)


def _waterfall(result: Comparison, title: str, is_one_of_many: bool) -> Bars:
    """What each operation adds to the difference, the largest first: each begins where the one before it ends."""
    parts = [change for change in result.of(title, "operation") if change.difference]
    parts.sort(key=lambda change: -abs(change.difference))
    decimals = fixed([1e3 * change.difference for change in parts[:1]])
    bars: list[Bar] = []
    for change in parts[:MOST_PARTS]:
        tip = f"{change.name}: {1e3 * change.left:.3g} → {1e3 * change.right:.3g} ms a token"
        _add_step(bars, change.name, change.difference, decimals, tip, only_in(change, result.letter))
    if rest := parts[MOST_PARTS:]:
        _add_step(bars, f"{len(rest)} others", sum(change.difference for change in rest), decimals)
    if bars:
        total = bars[-1].end
        whole = Part("all together", total, palette.OTHER, f"all together: {total:+.3g} ms a token")
        bars.append(Bar("all together", (whole,), f"{total:+.{decimals}f} ms"))
    less = f"{result.letter} less A"
    name = f"{title}: {less} by operation" if is_one_of_many else f"{title}: the difference by operation"
    return Bars(name, f"ms a token, {less}", tuple(bars), decimals=decimals, has_legend=False)


def only_in(change: Change, letter: str) -> str:
    """The capture's letter where the other one lacks the operation, else ''."""
    return {"A": "A", "B": letter}.get(change.only_in, "")


def _add_step(bars: list[Bar], name: str, seconds: float, decimals: int, tip: str = "", only_in: str = "") -> None:
    value = 1e3 * seconds
    words = f"{value:+.{decimals}f} ms" + (f", only in {only_in}" if only_in else "")
    part = Part(name, value, hue(name), tip or f"{name}: {value:+.3g} ms a token")
    bars.append(Bar(name, (part,), words, start=bars[-1].end if bars else 0.0))
