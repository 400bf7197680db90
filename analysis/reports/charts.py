"""Charts as plain data, which pages draw as SVG (`reports.svg`) and pictures with matplotlib (`reports.drawing`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

T = TypeVar("T")
Point = tuple[float, float]

LABELLED_PERCENT = 6.0
"""A part of a bar has its number on it from this share of the axis on."""


@dataclass(frozen=True)
class Part:
    """One part of a bar. tip: what a reader who points at it is told."""

    name: str
    value: float
    hue: str
    tip: str


@dataclass(frozen=True)
class Bar:
    """parts: stacked from `start` on; a bar with a value below 0 has one part.  note: what stands beside the label.

    empty: said in place of the parts where there are none.
    """

    label: str
    parts: tuple[Part, ...]
    note: str = ""
    empty: str = ""
    start: float = 0.0

    @property
    def total(self) -> float:
        return sum(part.value for part in self.parts)

    @property
    def end(self) -> float:
        return self.start + self.total


@dataclass(frozen=True)
class Bars:
    """Bars below each other along one axis. most: end of the axis, the longest bar's without.  decimals: of numbers.

    unit: of the axis, in words.  mark: behind the number on a part.
    """

    title: str
    unit: str
    bars: tuple[Bar, ...]
    most: float | None = None
    mark: str = ""
    decimals: int = 0
    has_legend: bool = True

    @property
    def range(self) -> Point:
        """Both ends of the axis; 0 is on it."""
        ends = [end for bar in self.bars for end in (bar.start, bar.end)]
        return min([0.0, *ends]), self.most or max([0.0, *ends]) or 1.0

    @property
    def legend(self) -> list[tuple[str, str]]:
        """(name, hue) of every part, in the order in which they are stacked."""
        if not self.has_legend:
            return []
        return list(dict.fromkeys((part.name, part.hue) for bar in self.bars for part in bar.parts))

    @property
    def ticks(self) -> list[float]:
        return nice_ticks(*self.range, 5)


class Kind(Enum):
    """How a series is drawn."""

    LINE = "line"
    DOTS = "dots"
    RULE = "rule"
    """A line without marks: a roof, an ideal, a median."""
    SPANS = "spans"
    """Pairs of points, each a level from the one to the other."""


@dataclass(frozen=True)
class Series:
    """Points of one hue. tips: one a point (of spans one a pair), or none.  labels: beside points, '' for none.

    mark: number of the mark's shape.  dashed: for what was not measured.  sizes: of dots, 1 is usual.
    below: labels stand under their points, as they must beside a line that rises.
    """

    name: str
    hue: str
    points: tuple[Point, ...]
    kind: Kind = Kind.LINE
    tips: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    mark: int = 0
    dashed: bool = False
    sizes: tuple[float, ...] = ()
    below: bool = False


@dataclass(frozen=True)
class Bands:
    """Shares over time: from each span's start to its end a stack of parts, which add up to the axis' end.

    values: a row a span, NaN where nothing is known.
    """

    parts: tuple[tuple[str, str], ...]
    spans: tuple[Point, ...]
    values: tuple[tuple[float, ...], ...]
    tips: tuple[str, ...]


@dataclass(frozen=True)
class Axis:
    """low, high: its ends, from the data where None.  ticks: from the data where ()."""

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """Series over two axes. remark: what a reader must know of it, within the picture.  empty: said without series."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...] = ()
    bands: tuple[Bands, ...] = ()
    remark: str = ""
    empty: str = ""

    @property
    def legend(self) -> list[Series]:
        """The series that have a name, one for each."""
        named = {series.name: series for series in self.series if series.name}
        return list(named.values())

    @property
    def parts(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys(part for bands in self.bands for part in bands.parts))

    def ends(self, axis: Axis, which: int) -> Point:
        """Both ends of an axis (`which`: 0 for x), with some air around what is drawn. Logarithmic ones are above 0."""
        values = [point[which] for series in self.series for point in series.points]
        if which == 0:
            values += [end for bands in self.bands for span in bands.spans for end in span]
        known = [value for value in values if math.isfinite(value) and (value > 0 or not axis.log)]
        low, high = (min(known), max(known)) if known else (1.0, 10.0)
        if axis.log:
            low, high = low / 1.4, high * 1.4
        else:
            low, high = min(0.0, low), high * 1.06 if high > 0 else 1.0
        low, high = axis.low if axis.low is not None else low, axis.high if axis.high is not None else high
        return low, high if high > low else low + 1.0

    def ticks_of(self, axis: Axis, which: int, most: int = 6) -> list[float]:
        """Where an axis has a number: its own ticks, else some round ones."""
        low, high = self.ends(axis, which)
        if axis.ticks:
            shown = [tick for tick in axis.ticks if low <= tick <= high]
            return shown[:: -(-len(shown) // (most + 2))] if len(shown) > most + 2 else shown
        return log_ticks(low, high, most) if axis.log else nice_ticks(low, high, most)


@dataclass(frozen=True)
class Box:
    """values: least, first quarter, median, third quarter, largest.  note: what stands beside the label."""

    label: str
    values: tuple[float, float, float, float, float]
    hue: str
    tip: str
    note: str = ""


@dataclass(frozen=True)
class Boxes:
    """How values spread: boxes below each other along one axis, which is logarithmic where they lie far apart."""

    title: str
    unit: str
    boxes: tuple[Box, ...]

    @property
    def log(self) -> bool:
        low, high = self._reach
        return low > 0 and high / low > 30

    @property
    def _reach(self) -> Point:
        ends = [end for box in self.boxes for end in (box.values[0], box.values[-1])]
        return (min(ends), max(ends)) if ends else (0.0, 1.0)

    @property
    def range(self) -> Point:
        """Both ends of the axis, with some air."""
        low, high = self._reach
        if self.log:
            return low / 1.15, high * 1.15
        air = 0.06 * (high - low or abs(high) or 1.0)
        return max(0.0, low - air) if low >= 0 else low - air, high + air

    @property
    def ticks(self) -> list[float]:
        return log_ticks(*self.range, 5) if self.log else nice_ticks(*self.range, 5)


@dataclass(frozen=True)
class Heat:
    """A number for each row and column, None where there is none; the darker, the larger.

    unit: of the numbers, in words.  x, y: what columns and rows are.
    """

    title: str
    unit: str
    x: str
    y: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    hue: str

    def shade(self, value: float) -> float:
        """0 to 1: where it lies between the least and the largest, by their ratio where they lie far apart."""
        known = [each for row in self.values for each in row if each is not None]
        low, high = min(known), max(known)
        if not high > low:
            return 0.5
        return Placed(low, high, low > 0 and high / low > 30)(value)


Chart = Bars | Plot | Boxes | Heat


@dataclass
class Placed:
    """A chart's place on an axis: value -> 0..1."""

    low: float
    high: float
    log: bool = False
    _span: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        self._span = math.log(self.high / self.low) if self.log else self.high - self.low

    def __call__(self, value: float) -> float:
        if self.log:
            return math.log(max(value, 1e-300) / self.low) / self._span
        return (value - self.low) / self._span


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers from `low` to `high`, 1, 2 or 5 times a power of ten apart."""
    if not high > low or not math.isfinite(high - low):
        return [low]
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of each power of ten between two numbers above 0, or fewer of them where those are too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most)] if len(ticks) > most else ticks


def tick_label(value: float) -> str:
    """A round number as short as it is."""
    return f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.6g}"


MOST_LABELS = 100
"""Names beside the points of a plot: of more nothing can be read, and each is moved past all others."""


def fewer(n: int, most: int) -> int:
    """How many neighbours become one so that `n` are at most `most`."""
    return max(1, -(-n // most))


def grouped(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Runs of `size` neighbours."""
    return (values[at : at + size] for at in range(0, len(values), size))
