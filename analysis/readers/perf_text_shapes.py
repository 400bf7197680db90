"""Rows of `perf stat` by their shape: what the careful parser found of one line holds for all lines like it.

Two lines are of one shape where they differ in the digits of numbers that stand alone, and in nothing else. The first
of a shape goes through the careful parser several times, each time with another of its numbers changed: that tells
which number is the time, the count, the ratio and the share of time. What does not come out exactly stays careful.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from analysis.phase import NOT_SUPPORTED
from analysis.readers.perf_rows import Malformed, PerfRow
from analysis.readers.perf_text_row import TextLine, parse
from analysis.table import NAN

MOST_SHAPES = 4096
MOST_NUMBERS = 8
MOST_DIGITS = 19

_NUMBER = re.compile("(?<![\\w./:,+'’-])(\\d[\\d.,'’\u00a0\u202f\u2009]*)(?![\\w/:-])")
_TO_ZERO = str.maketrans("123456789", "000000000")
_MARKS = re.compile(r"[^\d]")

Added = tuple[float, float, float, float, str, str, str, str, str, str, str]
"""A row as `TableBuilder` takes it."""


class Reading(NamedTuple):
    """How a number becomes a value. at: which number of the line. drop: the mark of thousands. scale: 1 or 0.01."""

    at: int
    drop: str
    point: str
    scale: float

    def value(self, texts: list[str]) -> float:
        text = texts[self.at]
        if self.drop:
            text = text.replace(self.drop, "")
        if self.point:
            text = text.replace(self.point, ".")
        return float(text) / 100 if self.scale < 1 else float(text)


class Shape(NamedTuple):
    """What lines of one shape hold. Readings of None: the example's own value holds for all.

    metrics: (reading, the example's row) of each. row: None where a line holds ratios alone. bracketed: the example's
    share in brackets, None where it has none. error: the variance of repeated runs.
    """

    row: PerfRow | None
    time: Reading | None
    amount: Reading | None
    share: Reading | None
    metrics: tuple[tuple[Reading, PerfRow], ...]
    group: str
    bracketed: float | None
    error: Reading | None = None

    def time_s(self, texts: list[str]) -> float:
        return self.time.value(texts) if self.time else NAN

    def running(self, texts: list[str]) -> float | None:
        """More than 1 where the careful parser has to look. None where ratios alone have no share of their own."""
        return self.share.value(texts) if self.share else self.row.running if self.row else self.bracketed

    def line(self, texts: list[str], running: float | None) -> TextLine:
        """A line of ratios alone."""
        time_s = self.time_s(texts)
        metrics = [row._replace(time_s=time_s, value=reading.value(texts)) for reading, row in self.metrics]
        return TextLine(None, metrics, self.group, running)


Key = tuple[str, ...]


def _parsed_text(line: str) -> TextLine | None:
    return parse(line.rstrip())


def with_another_digit(text: str) -> str:
    """The number with another first digit."""
    return ("1" if text[0] == "0" else "0") + text[1:]


class Kind(NamedTuple):
    """How a format is learnt.

    number: a pattern for what may differ, one group around it. parse: the careful parser. changed: another number of
    the same form. has_errors: whether the reader takes a variance.
    """

    number: re.Pattern[str]
    parse: Callable[[str], TextLine | None]
    changed: Callable[[str], str] = with_another_digit
    has_errors: bool = False


TEXT = Kind(_NUMBER, _parsed_text)


class Shapes:
    """The shapes of one file. is_plain: whether the reader has nothing to say of a line before it is parsed."""

    def __init__(self, is_plain: Callable[[str], bool], kind: Kind = TEXT) -> None:
        self.is_plain = is_plain
        self.kind = kind
        self._split = kind.number.split
        self._known: dict[Key, Shape | None] = {}

    def find(self, line: str) -> tuple[Shape, list[str]] | None:
        """The line's shape and its numbers; None for a line that the careful parser has to take."""
        parts = self._split(line)
        texts = parts[1::2]
        parts[1::2] = [text.translate(_TO_ZERO) for text in texts]
        key = tuple(parts)
        try:
            shape = self._known[key]
        except KeyError:
            if len(self._known) >= MOST_SHAPES:
                return None
            shape = self._known[key] = _learned(line, self.kind) if self.is_plain(line) else None
        return (shape, texts) if shape else None


def _learned(line: str, kind: Kind) -> Shape | None:
    parts = kind.number.split(line)
    texts = parts[1::2]
    if len(texts) > MOST_NUMBERS or any(len(_MARKS.sub("", text)) > MOST_DIGITS - 1 for text in texts):
        return None
    example = _parsed(line, kind)
    if example is None:
        return None
    found: dict[str, Reading] = {}
    for at, text in enumerate(texts):
        changed = [*texts]
        changed[at] = kind.changed(text)
        twin = "".join(part for pair in zip(parts[::2], [*changed, ""], strict=True) for part in pair)
        other = _parsed(twin, kind)
        names = _differing(example, other) if other else None
        if other is None or names is None:
            return None
        for name in names:
            reading = _reading(at, text, changed[at], _fields(example)[name], _fields(other)[name])
            if reading is None or name in found:
                return None
            found[name] = reading
    ratios = [name for name in _fields(example) if name.startswith("metric")]
    if any(name not in found for name in ratios) or ("error" in found and not kind.has_errors):
        return None
    metrics = tuple((found[name], metric) for name, metric in zip(ratios, example.metrics, strict=True))
    readings = found.get("time"), found.get("count"), found.get("share")
    return Shape(example.row, *readings, metrics, example.group, example.running, found.get("error"))


def _parsed(line: str, kind: Kind) -> TextLine | None:
    try:
        return kind.parse(line)
    except Malformed:
        return None


def _fields(line: TextLine) -> dict[str, float]:
    """The numbers of a line by name."""
    if row := line.row:
        fields = {"time": row.time_s, "count": row.value, "share": row.running, "error": row.error}
    else:
        fields = {"time": line.metrics[0].time_s} if line.metrics else {}
        fields |= {} if line.running is None else {"share": line.running}
    return fields | {f"metric {n}": metric.value for n, metric in enumerate(line.metrics)}


def _differing(one: TextLine, other: TextLine) -> list[str] | None:
    """Names of the numbers that differ, None where anything else does as well."""
    if (other.row is None) != (one.row is None) or len(one.metrics) != len(other.metrics) or _bare(one) != _bare(other):
        return None
    ours, theirs = _fields(one), _fields(other)
    return [name for name in ours if ours[name] != theirs[name] and ours[name] == ours[name]]


def _bare(line: TextLine) -> object:
    """All of a line that is no number of its fields."""
    metrics = [metric._replace(value=0.0, time_s=0.0, running=0.0) for metric in line.metrics]
    row = line.row
    if row:
        row = row._replace(value=0.0, time_s=0.0, running=0.0, error=0.0 if row.error == row.error else NAN)
    return row, metrics, line.group, line.running is None


def _reading(at: int, text: str, changed: str, value: float, other: float) -> Reading | None:
    """How text and its changed twin become the two values; None where in no simple way."""
    marks = "".join(dict.fromkeys(_MARKS.findall(text)))
    for point in ("", *marks):
        rest = [mark for mark in marks if mark != point]
        if len(rest) > 1 or (point and text.count(point) > 1):
            continue
        for scale in (1.0, 0.01):
            reading = Reading(at, rest[0] if rest else "", point if point != "." else "", scale)
            try:
                if (reading.value([text] * (at + 1)), reading.value([changed] * (at + 1))) == (value, other):
                    return reading
            except ValueError:
                continue
    return None


def added(shape: Shape, texts: list[str], time_s: float, running: float) -> list[Added]:
    """The rows of a line, as the table takes them."""
    row = shape.row
    assert row
    value = shape.amount.value(texts) if shape.amount else row.value
    shown = 0.0 if row.status == NOT_SUPPORTED else running
    rows: list[Added] = [(time_s, NAN, value, shown, row.scope, "", "", row.status, row.unit, "", row.event)]
    for reading, metric in shape.metrics:
        share = metric.running if metric.running == metric.running else running
        number = reading.value(texts)
        named = (metric.scope, "", metric.event, metric.status, metric.unit, "", metric.spelling)
        rows.append((time_s, NAN, number, share, *named))
    return rows


def pending_row(shape: Shape, texts: list[str], time_s: float, running: float) -> tuple[PerfRow, list[PerfRow]]:
    """The count and the ratios of a line, for a reader whose next line may add to them."""
    assert shape.row
    value = shape.amount.value(texts) if shape.amount else shape.row.value
    row = shape.row._replace(time_s=time_s, value=value, running=running)
    return row, [metric._replace(time_s=time_s, value=reading.value(texts)) for reading, metric in shape.metrics]
