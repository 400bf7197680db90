"""Charts as SVG inside a page: twice, for a phone and for a desk, of which the page shows the one that fits.

Text and axes have the page's own colour (`currentColor`), hues are classes of the page's style, every mark has its
value as a title. All text is escaped here.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence

from analysis.errors import printable
from analysis.reports.charts import (
    MOST_LABELS,
    Axis,
    Bands,
    Bar,
    Bars,
    Box,
    Boxes,
    Chart,
    Heat,
    Kind,
    Placed,
    Plot,
    Point,
    Series,
    tick_label,
)
from analysis.terminal import shortened

Place = Callable[[Point], Point]
"""Where a point of the data lies in the picture."""

WIDTHS = {"narrow": 340, "wide": 920}
_LETTER = 6.9  # px that a character takes at most, as good as always
_BAR, _LINE, _GAP = 24, 18, 16
_HEIGHTS = {"narrow": 250, "wide": 320}


def text(value: object, longest: int = 2000) -> str:
    """A value of a capture as HTML text: printable, of bounded length, escaped for elements and attributes alike.

    A number and its percent sign stay on one line.
    """
    return html.escape(printable(str(value), longest).replace(" %", "\u00a0%"), quote=True)


def figure(chart: Chart) -> str:
    """The chart with its title and legend; escaped."""
    drawn = "".join(_svg(chart, size) for size in WIDTHS)
    return f"<figure><figcaption>{text(chart.title)}</figcaption>{drawn}{''.join(_legend(chart))}</figure>"


def _svg(chart: Chart, size: str) -> str:
    width = WIDTHS[size]
    if isinstance(chart, Bars):
        height, shapes = _bars(chart, width)
    elif isinstance(chart, Boxes):
        height, shapes = _boxes(chart, width)
    elif isinstance(chart, Heat):
        height, shapes = _heat(chart, width)
    else:
        height, shapes = _HEIGHTS[size], list(_plot(chart, width, _HEIGHTS[size]))
    head = f'class="chart {size}" viewBox="0 0 {width} {height}" role="img" aria-label="{text(chart.title)}"'
    return f"<svg {head}>{''.join(shapes)}</svg>"


def _legend(chart: Chart) -> Iterator[str]:
    """Names of hues, where there is more than one to tell apart."""
    if isinstance(chart, Boxes | Heat):
        return
    if isinstance(chart, Bars):
        entries = [f'<i class="swatch {hue}"></i>{text(name)}' for name, hue in chart.legend]
    else:
        entries = [f"{_sample(series)}{text(series.name)}" for series in chart.legend]
        entries += [f'<i class="swatch {hue}"></i>{text(name)}' for name, hue in chart.parts]
    if len(entries) > 1:
        yield f'<ul class="legend">{"".join(f"<li>{entry}</li>" for entry in entries)}</ul>'


def _sample(series: Series) -> str:
    """A piece of a series for the legend."""
    shapes = []
    if series.kind is not Kind.DOTS:
        shapes.append(_path("M1 7H27", series))
    if series.kind in (Kind.LINE, Kind.DOTS):
        shapes.append(_mark(14, 7, series.mark, 4.5))
    return f'<svg class="sample {series.hue}" viewBox="0 0 28 14" aria-hidden="true">{"".join(shapes)}</svg>'


def _n(value: float) -> str:
    """A coordinate, a tenth of a pixel exact."""
    return f"{value:.1f}".removesuffix(".0")


def _label(x: float, y: float, words: str, anchor: str = "start", style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{_n(x)}" y="{_n(y)}"{at}{kind}>{text(words)}</text>'


def _fit(words: str, pixels: float) -> str:
    return shortened(words, max(4, int(pixels / _LETTER)))


def _bars(chart: Bars, width: int) -> tuple[int, list[str]]:
    """(height, shapes)."""
    left, right = 14.0, width - 14.0
    across = Placed(*chart.range)
    step = _LINE + _BAR + _GAP
    bottom = step * len(chart.bars)

    def x(value: float) -> float:
        return left + (right - left) * min(1.0, max(0.0, across(value)))

    shapes = []
    for tick in chart.ticks:
        shapes.append(f'<path class="grid" d="M{_n(x(tick))} {_LINE}V{bottom}"/>')
        shapes.append(_label(x(tick), bottom + 15, tick_label(tick), "middle", "tick"))
    for row, bar in enumerate(chart.bars):
        shapes += _bar(bar, chart, step * row, x, (left, right))
    shapes.append(_label(width / 2, bottom + 33, _fit(chart.unit, width), "middle"))
    return bottom + 40, shapes


def _boxes(chart: Boxes, width: int) -> tuple[int, list[str]]:
    """(height, shapes)."""
    left, right = 14.0, width - 14.0
    across = Placed(*chart.range, chart.log)
    step = _LINE + _BAR + 6
    bottom = step * len(chart.boxes)

    def x(value: float) -> float:
        return left + (right - left) * min(1.0, max(0.0, across(value)))

    shapes = []
    for tick in chart.ticks:
        shapes.append(f'<path class="grid" d="M{_n(x(tick))} 0V{bottom}"/>')
        shapes.append(_label(x(tick), bottom + 15, tick_label(tick), "middle", "tick"))
    for row, box in enumerate(chart.boxes):
        shapes += _box(box, step * row, x, (left, right))
    shapes.append(_label(width / 2, bottom + 33, _fit(chart.unit, width), "middle"))
    return bottom + 40, shapes


def _box(box: Box, top: float, x: Callable[[float], float], sides: Point) -> Iterator[str]:
    room = sides[1] - sides[0]
    label = _fit(box.label, room * (0.6 if box.note else 1))
    least, first, middle, third, most = map(x, box.values)
    y, tall = top + _LINE, 16
    yield f'<g class="mark {box.hue}"><title>{text(box.tip)}</title>'
    yield _label(sides[0], top + 13, label, style="said")
    if box.note:
        yield _label(sides[1], top + 13, _fit(box.note, room - _LETTER * (len(label) + 2)), "end", "said")
    yield f'<path class="line" d="M{_n(least)} {_n(y + tall / 2)}H{_n(most)}"/>'
    yield f'<rect x="{_n(first)}" y="{_n(y)}" width="{_n(max(1.5, third - first))}" height="{tall}"/>'
    yield f'<path class="median" d="M{_n(middle)} {_n(y - 2)}V{_n(y + tall + 2)}"/></g>'


def _heat(chart: Heat, width: int) -> tuple[int, list[str]]:
    """(height, shapes)."""
    left = 14 + _LETTER * min(24, max([len(name) for name in chart.rows], default=1))
    top, tall = 40.0, 30
    wide = (width - 4 - left) / max(1, len(chart.columns))
    shapes = [_label(2, 14, _fit(f"{chart.y} below, {chart.x} across: {chart.unit}", width))]
    for column, name in enumerate(chart.columns):
        shapes.append(_label(left + (column + 0.5) * wide, top - 6, _fit(name, wide), "middle", "tick"))
    for row, (name, values) in enumerate(zip(chart.rows, chart.values, strict=True)):
        y = top + row * tall
        shapes.append(_label(left - 8, y + tall / 2 + 4, _fit(name, left - 8), "end", "tick"))
        for column, value in enumerate(values):
            shapes += _cell(chart, (left + column * wide, y, wide, tall), value, f"{name}, {chart.columns[column]}")
    return int(top + tall * len(chart.rows) + 8), shapes


def _cell(chart: Heat, place: tuple[float, float, float, float], value: float | None, name: str) -> Iterator[str]:
    x, y, wide, tall = place
    size = f'x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(tall)}"'
    if value is None:
        yield f'<rect class="none" {size}/>'
        return
    shade = 0.1 + 0.75 * chart.shade(value)
    yield f'<g class="mark {chart.hue}"><title>{text(f"{name}: {value:.4g} {chart.unit}")}</title>'
    yield f'<rect {size} fill-opacity="{shade:.2f}"/>'
    if wide > _LETTER * 4:
        yield _label(x + wide / 2, y + tall / 2 + 4, f"{value:.3g}", "middle", "said")
    yield "</g>"


def _bar(bar: Bar, chart: Bars, top: float, x: Callable[[float], float], sides: Point) -> Iterator[str]:
    left, right = sides
    room = right - left
    label = _fit(bar.label, room * (0.5 if bar.note else 1))
    yield _label(left, top + 13, label, style="name")
    if bar.note:
        yield _label(right, top + 13, _fit(bar.note, room - _LETTER * (len(label) + 2)), "end")
    if not bar.parts:
        yield f'<rect class="none" x="{_n(left)}" y="{top + _LINE}" width="{_n(room)}" height="{_BAR}"/>'
        yield _label((left + right) / 2, top + _LINE + 17, _fit(bar.empty, room), "middle")
        return
    at = bar.start
    for part in bar.parts:
        begin, end = sorted((x(at), x(at + part.value)))
        at += part.value
        if end - begin < 0.05:
            continue
        number = f"{part.value:,.{chart.decimals}f}{chart.mark}"
        inside = end - begin > _LETTER * len(number) + 4
        yield f'<g class="mark {part.hue}"><title>{text(part.tip)}</title>'
        yield f'<rect x="{_n(begin)}" y="{top + _LINE}" width="{_n(end - begin)}" height="{_BAR}"/>'
        if inside:
            yield _label((begin + end) / 2, top + _LINE + 17, number, "middle", "ink")
        yield "</g>"


def _plot(chart: Plot, width: int, height: int) -> Iterator[str]:
    most = 5 if width < 500 else 9
    ticks = chart.ticks_of(chart.x, 0, most), chart.ticks_of(chart.y, 1, 5)
    left = 12 + _LETTER * max([len(tick_label(tick)) for tick in ticks[1]], default=1)
    box = (left, 26.0, width - 14.0, height - 40.0)
    across, up = (Placed(*chart.ends(axis, which), axis.log) for which, axis in enumerate((chart.x, chart.y)))

    def at(point: Point) -> Point:
        return box[0] + (box[2] - box[0]) * across(point[0]), box[3] - (box[3] - box[1]) * up(point[1])

    yield _label(2, 14, _fit(chart.y.label, width))
    yield _label((box[0] + box[2]) / 2, height - 6, _fit(chart.x.label, width - box[0]), "middle")
    if chart.empty:
        size = f'width="{_n(box[2] - box[0])}" height="{_n(box[3] - box[1])}"'
        yield f'<rect class="none" x="{_n(box[0])}" y="{_n(box[1])}" {size}/>'
        yield from _lines(chart.empty, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], "middle")
        return
    yield from _grid(chart.x, chart.y, ticks, at, box)
    for bands in chart.bands:
        yield from _bands(bands, at, box)
    for series in chart.series:
        yield from _series(series, at)
    yield from _labels(chart.series, at, box)
    if chart.remark:
        yield from _lines(chart.remark, box[0] + 6, box[1] + 14, box[2] - box[0] - 12, "start")


def _lines(words: str, x: float, y: float, room: float, anchor: str) -> Iterator[str]:
    """Text in as many lines as it takes."""
    most, line, lines = max(12, int(room / _LETTER)), "", []
    for word in words.split():
        if line and len(line) + 1 + len(word) > most:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    lines.append(line)
    for number, one in enumerate(lines):
        yield _label(x, y + 17 * (number - (len(lines) - 1) / 2 * (anchor == "middle")), one, anchor, "said")


def _grid(x: Axis, y: Axis, ticks: tuple[list[float], list[float]], at: Place, box: Sequence[float]) -> Iterator[str]:
    for tick in ticks[0]:
        place = at((tick, y.low or 1.0))[0]
        yield f'<path class="grid" d="M{_n(place)} {_n(box[1])}V{_n(box[3])}"/>'
        yield _label(place, box[3] + 16, tick_label(tick), "middle", "tick")
    for tick in ticks[1]:
        place = at((x.low or 1.0, tick))[1]
        yield f'<path class="grid" d="M{_n(box[0])} {_n(place)}H{_n(box[2])}"/>'
        yield _label(box[0] - 5, place + 4, tick_label(tick), "end", "tick")


def _path(outline: str, series: Series) -> str:
    return f'<path class="line{" dashed" if series.dashed else ""}" d="{outline.strip()}"/>'


def _series(series: Series, at: Place) -> Iterator[str]:
    places = [at(point) for point in series.points]
    tips = series.tips or ("",) * len(places)
    yield f'<g class="{series.hue}">'
    if series.kind is Kind.SPANS:
        for (begin, end), tip in zip(zip(places[::2], places[1::2], strict=True), tips, strict=False):
            # a level no longer than a point is still to be seen
            outline = f"M{_n(begin[0])} {_n(begin[1])}H{_n(max(end[0], begin[0] + 1.5))}"
            yield f'<g class="mark"><title>{text(tip)}</title><path class="span" d="{outline}"/></g>'
    elif series.kind is not Kind.DOTS and len(places) > 1:
        yield _path("M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in places), series)
    if series.kind in (Kind.LINE, Kind.DOTS):
        sizes = series.sizes or (1.0,) * len(places)
        for (x, y), tip, size in zip(places, tips, sizes, strict=True):
            yield f'<g class="mark"><title>{text(tip)}</title>{_mark(x, y, series.mark, 4.5 * size)}</g>'
    yield "</g>"


def _mark(x: float, y: float, number: int, size: float) -> str:
    """One of eight shapes, `size` from its middle to its rim."""
    a, b = _n(size), _n(2 * size)
    slim = _n(size * 0.6)
    outlines = (
        f"M{_n(x - size)} {_n(y)}a{a} {a} 0 1 0 {b} 0a{a} {a} 0 1 0 -{b} 0Z",
        f"M{_n(x - size * 0.9)} {_n(y - size * 0.9)}h{_n(size * 1.8)}v{_n(size * 1.8)}h-{_n(size * 1.8)}Z",
        f"M{_n(x)} {_n(y - size)}l{a} {_n(size * 1.8)}h-{b}Z",
        f"M{_n(x)} {_n(y - size * 1.2)}l{a} {_n(size * 1.2)}l-{a} {_n(size * 1.2)}l-{a} -{_n(size * 1.2)}Z",
        f"M{_n(x)} {_n(y + size)}l{a} -{_n(size * 1.8)}h-{b}Z",
        f"M{_n(x - size)} {_n(y - size / 3)}h{b}v{_n(size / 1.5)}h-{b}Z",
        f"M{_n(x - size / 3)} {_n(y - size)}h{_n(size / 1.5)}v{b}h-{_n(size / 1.5)}Z",
        f"M{_n(x - size)} {_n(y)}l{a} -{slim}l{a} {slim}l-{a} {slim}Z",
    )
    return f'<path class="dot" d="{outlines[number % len(outlines)]}"/>'


def _labels(all_series: Sequence[Series], at: Place, box: Sequence[float]) -> Iterator[str]:
    """Names beside points, moved down where two would lie on each other."""
    dots = [at(point) for series in all_series if series.kind is Kind.DOTS for point in series.points]
    taken = [(y + 4, x - 5, x + 5) for x, y in dots]  # (base line, begin, end) of what lies there
    for series in all_series:
        for point, words in zip(series.points, series.labels, strict=False):
            if not words or len(taken) >= len(dots) + MOST_LABELS:
                continue
            x, y = at(point)
            words = shortened(words, 34)
            room = _LETTER * len(words)
            left = x + 9 if x + 9 + room <= box[2] else max(box[0], x - 9 - room)
            y = y + 18 if series.below else max(y - 6, box[1] + 10)
            while y < box[3] - 4 and any(
                abs(y - other) < 14 and left < end and begin < left + room for other, begin, end in taken
            ):
                y += 4
            taken.append((y, left, left + room))
            yield _label(left, y, words, style="beside")


def _bands(bands: Bands, at: Place, box: Sequence[float]) -> Iterator[str]:
    edges = [(at((begin, 1.0))[0], at((end, 1.0))[0]) for begin, end in bands.spans]
    sums = [0.0] * len(edges)
    for column, (_, hue) in enumerate(bands.parts):
        outline = []
        for row, (left, right) in enumerate(edges):
            value = bands.values[row][column]
            if not value > 0:
                continue
            low, high = at((1.0, sums[row]))[1], at((1.0, sums[row] + value))[1]
            sums[row] += value
            outline.append(f"M{_n(left)} {_n(low)}V{_n(high)}H{_n(max(right, left + 0.5))}V{_n(low)}Z")
        if outline:
            yield f'<path class="area {hue}" d="{"".join(outline)}"/>'
    for (left, right), tip in zip(edges, bands.tips, strict=True):
        size = f'x="{_n(left)}" y="{_n(box[1])}" width="{_n(max(0.5, right - left))}" height="{_n(box[3] - box[1])}"'
        yield f'<g class="mark"><title>{text(tip)}</title><rect class="hit" {size}/></g>'
