"""A report as a picture: its cards, then its charts, drawn by matplotlib in the colours of the pages."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis import palette
from analysis.reports import figure as draw
from analysis.reports.charts import (
    MOST_LABELS,
    Axis,
    Bands,
    Bar,
    Bars,
    Boxes,
    Chart,
    Heat,
    Kind,
    Placed,
    Plot,
    Series,
    tick_label,
)
from analysis.reports.model import Card, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_WIDTH = 10.0
_MARKERS = ("o", "s", "^", "D", "v", "_", "|", "d")
_UNFILLED = ("_", "|")
_CARDS_ACROSS, _MOST_CARDS, _LETTERS = 2, 6, 74
_MOST_NAMED = 16  # entries of a legend that have room beside a chart


def picture(report: Report, form: str = "png") -> bytes:
    """The report's picture: png or svg."""
    cards = list(report.cards[:_MOST_CARDS])
    rows = [cards[at : at + _CARDS_ACROSS] for at in range(0, len(cards), _CARDS_ACROSS)]
    words = [[_words(card, len(row)) for card in row] for row in rows]
    heights = [0.4 + 0.19 * (2 + max(len(lines) for lines in row)) for row in words]
    top = 0.45 + 0.2 * len(report.warnings) + sum(heights)
    parts = [max(map(_height, charts)) for charts in report.picture]
    drawn = draw.figure(_WIDTH, top + sum(parts))
    head, *below = drawn.subfigures(1 + len(parts), 1, height_ratios=[top, *parts], squeeze=False)[:, 0]
    _head(head, report, rows, words, top)
    for row, charts in zip(below, report.picture, strict=True):
        for sub, chart in zip(row.subfigures(1, len(charts), squeeze=False)[0], charts, strict=True):
            _chart(sub, chart, len(charts))
    return draw.save(drawn, form)


def _words(card: Card, across: int) -> list[str]:
    letters = _LETTERS if across > 1 else 2 * _LETTERS
    lines = textwrap.wrap(card.why, letters, max_lines=4, placeholder=" …")
    return lines + (textwrap.wrap(f"Next: {card.next}", letters, max_lines=2, placeholder=" …") if card.next else [])


def _height(chart: Chart) -> float:
    if isinstance(chart, Plot):
        return 3.4
    if isinstance(chart, Heat):
        return 1.2 + 0.36 * max(1, len(chart.rows))
    if isinstance(chart, Boxes):
        return 1.1 + 0.36 * max(1, len(chart.boxes))
    return 1.15 + 0.2 * (len(chart.legend) > 4) + 0.58 * max(1, len(chart.bars))


def _head(
    sub: SubFigure, report: Report, rows: Sequence[Sequence[Card]], words: Sequence[Sequence[list[str]]], height: float
) -> None:
    """Title and cards; places are inches from the top."""

    def y(inches: float) -> float:
        return 1 - inches / height

    def say(x: float, inches: float, text: str, size: float, **style: Any) -> None:
        sub.text(x, y(inches), draw.label(text, 400), fontsize=size, va="baseline", **style)

    from matplotlib.patches import Rectangle

    say(0.012, 0.28, f"{report.title}: {report.kind}", 12, fontweight="bold")
    at = 0.45
    for warning in report.warnings:
        say(0.012, at, warning, 9, color=palette.colour(palette.WAITING), fontweight="bold")
        at += 0.2
    for row, texts in zip(rows, words, strict=True):
        size = 0.3 + 0.19 * (2 + max(len(lines) for lines in texts))
        width = 0.976 / len(row)
        for column, (card, lines) in enumerate(zip(row, texts, strict=True)):
            left = 0.012 + column * width
            inner = width - 0.012 * (len(row) > 1)
            face = palette.PAGE["raised"][0]
            corner = (left, y(at + size))
            sub.add_artist(Rectangle(corner, inner, size / height, facecolor=face, transform=sub.transSubfigure))
            edge = (0.006, size / height)
            hue = palette.colour(card.hue or palette.OTHER)
            sub.add_artist(Rectangle(corner, *edge, facecolor=hue, transform=sub.transSubfigure))
            say(left + 0.016, at + 0.24, "  ".join(part for part in (card.title, card.speed) if part), 10)
            sure = f" ({card.confidence} confidence)" if card.confidence else ""
            say(left + 0.016, at + 0.47, card.verdict + sure, 10.5, fontweight="bold")
            for number, line in enumerate(lines):
                say(left + 0.016, at + 0.68 + 0.19 * number, line, 8.2)
        at += size + 0.1


def _chart(sub: SubFigure, chart: Chart, beside: int) -> None:
    """beside: how many charts share the row."""
    axes = sub.subplots()
    axes.set_title(draw.label(chart.title, 90), loc="left", fontsize=11)
    if isinstance(chart, Bars):
        _bars(axes, chart)
    elif isinstance(chart, Boxes):
        _boxes(axes, chart)
    elif isinstance(chart, Heat):
        _heat(axes, chart)
    else:
        _plot(axes, chart)
    draw.tidy(axes)
    parts = [] if isinstance(chart, Boxes | Heat) else chart.legend if isinstance(chart, Bars) else chart.parts
    if len(parts) > 1:
        draw.legend_below(sub, parts, 8 // beside)


def _bars(axes: Axes, chart: Bars) -> None:
    for row, bar in enumerate(chart.bars):
        _bar(axes, row, bar, chart)
    axes.set_yticks(range(len(chart.bars)), [draw.label(bar.label, 36) for bar in chart.bars])
    axes.set_ylim(len(chart.bars) - 0.4, -0.75)
    axes.set_xlim(*chart.range)
    axes.set_xticks(chart.ticks, [tick_label(tick) for tick in chart.ticks])
    axes.set_xlabel(draw.label(chart.unit, 90))
    axes.grid(axis="x", color=palette.PAGE["rule"][0])


def _bar(axes: Axes, row: int, bar: Bar, chart: Bars) -> None:
    low, high = chart.range
    axes.text(low, row - 0.33, " " + draw.label(bar.note, 100), fontsize=9, va="bottom")
    if not bar.parts:
        axes.barh(
            row, high - low, left=low, height=0.6, color=palette.PAGE["page"][0], edgecolor=draw.GREY, hatch="///"
        )
        box = {"facecolor": palette.PAGE["page"][0], "edgecolor": "none"}
        axes.text((low + high) / 2, row, bar.empty, ha="center", va="center", fontsize=9, bbox=box)
        return
    at = bar.start
    for part in bar.parts:
        look: dict[str, Any] = {
            "color": palette.colour(part.hue),
            "edgecolor": palette.PAGE["page"][0],
            "linewidth": 0.6,
        }
        axes.barh(row, part.value, left=at, height=0.6, hatch="//" if part.hue == palette.WAITING else None, **look)
        number = f"{part.value:,.{chart.decimals}f}{chart.mark}"
        if abs(part.value) > (high - low) * 0.011 * (len(number) + 1):
            back: dict[str, Any] = {"facecolor": palette.colour(part.hue), "edgecolor": "none", "pad": 1.5}
            look = {
                "fontsize": 9,
                "color": palette.ink(part.hue),
                "bbox": back if part.hue == palette.WAITING else None,
            }
            axes.text(at + part.value / 2, row, number, ha="center", va="center", **look)
        at += part.value


def _boxes(axes: Axes, chart: Boxes) -> None:
    from matplotlib.ticker import NullLocator

    for row, box in enumerate(chart.boxes):
        least, first, middle, third, most = box.values
        colour = palette.colour(box.hue)
        axes.hlines(row, least, most, color=colour, linewidth=1.5)
        axes.barh(row, third - first, left=first, height=0.5, color=colour, edgecolor=colour, linewidth=1.2)
        axes.vlines(middle, row - 0.34, row + 0.34, color=palette.PAGE["text"][0], linewidth=2)
    axes.set_yticks(range(len(chart.boxes)), [draw.label(box.label, 44) for box in chart.boxes], fontsize=9)
    axes.set_ylim(len(chart.boxes) - 0.4, -0.6)
    axes.set_xscale("log" if chart.log else "linear")
    axes.set_xlim(*chart.range)
    axes.set_xticks(chart.ticks, [tick_label(tick) for tick in chart.ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(draw.label(chart.unit, 90))
    axes.grid(axis="x", color=palette.PAGE["rule"][0])


def _heat(axes: Axes, chart: Heat) -> None:
    from matplotlib.patches import Rectangle

    white = palette.PAGE["page"][0]
    for row, values in enumerate(chart.values):
        for column, value in enumerate(values):
            if value is None:
                axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center", color=draw.GREY)
                continue
            look: dict[str, Any] = {"facecolor": palette.colour(chart.hue), "edgecolor": white}
            axes.add_patch(Rectangle((column, row), 1, 1, alpha=0.1 + 0.75 * chart.shade(value), **look))
            axes.text(column + 0.5, row + 0.5, f"{value:.3g}", ha="center", va="center", fontsize=9)
    axes.set_xticks([n + 0.5 for n in range(len(chart.columns))], [draw.label(name, 20) for name in chart.columns])
    axes.set_yticks([n + 0.5 for n in range(len(chart.rows))], [draw.label(name, 36) for name in chart.rows])
    axes.set(xlim=(0, len(chart.columns)), ylim=(len(chart.rows), 0))
    axes.tick_params(length=0)
    axes.set_xlabel(draw.label(f"{chart.x} ({chart.unit} in the cells)", 90))
    axes.set_ylabel(draw.label(chart.y, 40))


def _plot(axes: Axes, chart: Plot) -> None:
    axes.set_xlabel(draw.label(chart.x.label, 90))
    axes.set_ylabel(draw.label(chart.y.label, 60))
    if chart.empty:
        axes.set(xticks=[], yticks=[])
        said = textwrap.fill(draw.label(chart.empty, 400), 80)
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center")
        return
    for which, axis in enumerate((chart.x, chart.y)):
        _axis(axes, chart, axis, which)
    axes.grid(color=palette.PAGE["rule"][0])
    for bands in chart.bands:
        _bands(axes, bands)
    for series in chart.series:
        _series(axes, series)
    _labels(axes, chart)
    if chart.remark:
        said = textwrap.fill(draw.label(chart.remark, 400), 100)
        axes.text(0.01, 0.97, said, transform=axes.transAxes, va="top", fontsize=9)
    if len(chart.legend) > 1:
        handles, names = axes.get_legend_handles_labels()
        title = f"{_MOST_NAMED} of {len(names)}" if len(names) > _MOST_NAMED else None
        look: dict[str, Any] = {"fontsize": 8, "title": title, "title_fontsize": 8, "frameon": False}
        axes.legend(handles[:_MOST_NAMED], names[:_MOST_NAMED], loc="center left", bbox_to_anchor=(1.0, 0.5), **look)


def _axis(axes: Axes, chart: Plot, axis: Axis, which: int) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    ends, ticks = chart.ends(axis, which), chart.ticks_of(axis, which, 9 - 3 * which)
    name = "xy"[which]
    axes.set(**{f"{name}scale": "log" if axis.log else "linear", f"{name}lim": ends})
    drawn = axes.xaxis if which == 0 else axes.yaxis
    drawn.set_major_locator(FixedLocator(ticks))
    drawn.set_minor_locator(NullLocator())
    drawn.set_major_formatter(lambda value, _: tick_label(value))


def _line_colour(hue: str) -> str:
    return palette.PAGE["text"][0] if hue == palette.FAINT else palette.colour(hue)


def _series(axes: Axes, series: Series) -> None:
    colour, x, y = _line_colour(series.hue), [p[0] for p in series.points], [p[1] for p in series.points]
    style = "--" if series.dashed else "-"
    marker = _MARKERS[series.mark % len(_MARKERS)]
    if series.kind is Kind.SPANS:
        axes.hlines(y[::2], x[::2], x[1::2], color=colour, linewidth=2.5, label=draw.label(series.name, 40))
    elif series.kind is Kind.RULE:
        axes.plot(x, y, style, color=colour, linewidth=1.5, label=draw.label(series.name, 40) or None)
    elif series.kind is Kind.LINE:
        axes.plot(x, y, style, color=colour, marker=marker, markersize=6, label=draw.label(series.name, 40))
    else:
        sizes = [40 * size**2 for size in series.sizes] or 40
        white = palette.PAGE["page"][0]
        look: dict[str, Any] = {"color": colour, "marker": marker, "linewidth": 0.6}
        look |= {} if marker in _UNFILLED else {"edgecolor": white}
        axes.scatter(x, y, sizes, label=draw.label(series.name, 40), zorder=3, **look)


def _labels(axes: Axes, chart: Plot) -> None:
    """Names beside points, moved down where two would lie on each other; places in points of the picture."""
    across, up = (Placed(*chart.ends(axis, which), axis.log) for which, axis in enumerate((chart.x, chart.y)))
    width, height = 600.0, 190.0  # of the axes, about
    dots = [point for series in chart.series if series.kind is Kind.DOTS for point in series.points]
    taken = [(up(y) * height - 3, across(x) * width - 5, across(x) * width + 5) for x, y in dots]
    for series in chart.series:
        for point, words in zip(series.points, series.labels, strict=False):
            if not words or len(taken) >= len(dots) + MOST_LABELS:
                continue
            x, y, room = across(point[0]) * width, up(point[1]) * height, 5.2 * min(len(words), 34)
            left = 8.0 if x + 8 + room <= width else -8.0 - room
            lower = y - 14 if series.below else y + 4
            while lower > 4 and any(
                abs(lower - other) < 12 and x + left < end and begin < x + left + room for other, begin, end in taken
            ):
                lower -= 3
            taken.append((lower, x + left, x + left + room))
            offset = (left, lower - y)
            axes.annotate(draw.label(words, 34), point, xytext=offset, textcoords="offset points", fontsize=8.5)


def _bands(axes: Axes, bands: Bands) -> None:
    from matplotlib.collections import PolyCollection

    sums = [0.0] * len(bands.spans)
    for column, (_, hue) in enumerate(bands.parts):
        corners = []
        for row, (left, right) in enumerate(bands.spans):
            value = bands.values[row][column]
            if math.isfinite(value) and value > 0:
                low, high = sums[row], sums[row] + value
                corners.append([(left, low), (left, high), (right, high), (right, low)])
                sums[row] = high
        colour = palette.colour(hue)
        hatch = "//" if hue == palette.WAITING else None
        axes.add_collection(
            PolyCollection(corners, facecolor=colour, edgecolor=palette.PAGE["page"][0], linewidth=0, hatch=hatch)
        )
