"""Rows of counters by their shape: what the careful parser found of one line holds for all lines like it.

Two lines are of one shape where they differ in the digits of numbers that stand alone, and in nothing else. The first
of a shape goes through the careful parser several times, each time with another of its numbers changed: that tells
which number is the time, the count, the ratio and the share of time. What does not come out exactly stays careful.
Lines of whole blocks are taken together by `shape_blocks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from analysis.phase import NOT_SUPPORTED
from analysis.readers import usual_rows
from analysis.readers.perf_rows import Malformed, PerfRow
from analysis.readers.perf_text_row import TextLine, parse
from analysis.readers.usual_rows import NUMBERS, Cutter, Words
from analysis.table import NAN

MOST_SHAPES = 4096
SIGHTS = 2
"""Lines of a shape until it is learnt, which takes several parses."""
MOST_UNLEARNT = 1 << 14
TRIED, FEW_FOUND = 8192, 0.25
"""After so many lines of which fewer are of a known shape, no more are looked up: a look costs a fourth of a parse."""
MOST_NUMBERS = 8
MOST_DIGITS = 19
MOST_OF_WORDS = 1 << 15
METRIC = NUMBERS.index("metric 0")

_NUMBER = re.compile("(?<![\\w./:,+'’-])(\\d[\\d.,'’\u00a0\u202f\u2009]*)(?![\\w/:-])")
_TO_ZERO = str.maketrans("123456789", "000000000")
_MARKS = re.compile(r"[^\d]")
_LEADING_ZERO = re.compile(r"0\d")

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
    """What lines of one shape hold. time, amount, share, error: which of the readings; -1 where the example's own value
    holds for all.

    metrics: (which reading, the example's row) of each. row: None where a line holds ratios alone. bracketed: the
    example's share in brackets, None where it has none. error: the variance of repeated runs.
    """

    row: PerfRow | None
    readings: tuple[Reading, ...]
    time: int
    amount: int
    share: int
    error: int
    metrics: tuple[tuple[int, PerfRow], ...]
    group: str
    bracketed: float | None

    def time_s(self, values: Values) -> float:
        return values[self.time] if self.time >= 0 else NAN

    def running(self, values: Values) -> float | None:
        """More than 1 where the careful parser has to look. None where ratios alone have no share of their own."""
        return values[self.share] if self.share >= 0 else self.row.running if self.row else self.bracketed

    def value(self, values: Values) -> float:
        """Of a line with a count."""
        assert self.row
        return values[self.amount] if self.amount >= 0 else self.row.value

    def line(self, values: Values, running: float | None) -> TextLine:
        """A line of ratios alone."""
        return TextLine(None, self.ratios(values, self.time_s(values)), self.group, running)

    def ratios(self, values: Values, time_s: float) -> list[PerfRow]:
        """The ratios of a line."""
        return [PerfRow(time_s, row.scope, values[at], *row[3:]) for at, row in self.metrics]


Values = Sequence[float]
"""What the readings of a shape are on one line."""
Found = tuple[Shape, Values]
Key = tuple[str, ...]


def _parsed_text(line: str) -> TextLine | None:
    return parse(line.rstrip())


def with_another_digit(text: str) -> str:
    """The number with another first digit."""
    return ("1" if text[0] == "0" else "0") + text[1:]


class Kind(NamedTuple):
    """How a format is learnt.

    number: a pattern for what may differ, one group around it. parse: the careful parser. has_errors: whether the
    reader takes a variance. is_strict: a number that begins with a needless 0 is for the careful parser. cut: into the
    words and numbers of a usual row.
    """

    number: re.Pattern[str]
    parse: Callable[[str], TextLine | None]
    has_errors: bool = False
    is_strict: bool = False
    cut: Cutter | None = None


TEXT = Kind(_NUMBER, _parsed_text, has_errors=True, cut=usual_rows.of_text)


class Shapes:
    """The shapes of one file. is_plain: whether the reader has nothing to say of a line before it is parsed."""

    def __init__(self, is_plain: Callable[[str], bool], kind: Kind = TEXT) -> None:
        self.is_plain = is_plain
        self.kind = kind
        self._split = kind.number.split
        self._known: dict[Key, Shape | None] = {}
        self._seen: dict[Key, int] = {}  # how often, before it is learnt
        self._of_words: dict[Words, Shape | None] = {}
        self._n_tried = self._n_found = 0

    def find(self, line: str) -> Found | None:
        """The line's shape and its values; None for a line that the careful parser has to take."""
        if self._n_tried > TRIED and self._n_found < FEW_FOUND * self._n_tried:
            return None
        self._n_tried += 1
        parts = self._split(line)
        texts = parts[1::2]
        if self.kind.is_strict and any(map(_LEADING_ZERO.match, texts)):
            return None
        parts[1::2] = [text.translate(_TO_ZERO) for text in texts]
        key = tuple(parts)
        shape = self._known[key] if key in self._known else self._seen_again(key, line)
        if shape is None:
            return None
        self._n_found += 1
        return shape, [reading.value(texts) for reading in shape.readings]

    def by_words(self, line: str) -> Found | None:
        """The same for a usual row, however it is spelled: the first with its words is read with care."""
        cut = self.kind.cut(line) if self.kind.cut else None
        if cut is None:
            return None
        words, values = cut
        shape = self.of_words(words, values, line)
        return (shape, values) if shape else None

    def of_words(self, words: Words, values: Values, line: str) -> Shape | None:
        """The shape of rows with these words; line: one of them, with its numbers."""
        if (shape := self._of_words.get(words)) or words in self._of_words:
            return shape
        if len(self._of_words) >= MOST_OF_WORDS or not self.is_plain(line):
            return None
        example = _parsed(line, self.kind)
        if example and example.metrics and not values[METRIC] > 0:
            return None  # 0 is 0 in any unit: the next one tells more
        shape = self._of_words[words] = _of_words(example, values) if example else None
        return shape

    def _seen_again(self, key: Key, line: str) -> Shape | None:
        sights = self._seen.get(key, 0) + 1
        if sights < SIGHTS:
            if len(self._seen) < MOST_UNLEARNT:
                self._seen[key] = sights
            return None
        if len(self._known) >= MOST_SHAPES:
            return None
        shape = self._known[key] = _learned(line, self.kind) if self.is_plain(line) else None
        return shape


def _of_words(example: TextLine, values: Values) -> Shape | None:
    """The shape of rows with these words, where the careful parser finds the pattern's numbers in the example."""
    found = dict(zip(NUMBERS, values, strict=True))
    fields = _fields(example)
    place = {name: at for at, name in enumerate(NUMBERS) if found[name] == found[name]}
    told = {name: value for name, value in fields.items() if value == value and (name in place or name != "share")}
    if example.row is None or any(found.get(name) != value for name, value in told.items()):
        return None
    if any(name not in told for name in place if name != "metric 0"):
        return None
    time, amount, share, error = (place.get(name, -1) for name in ("time", "count", "share", "error"))
    metrics = tuple((METRIC, metric) for metric in example.metrics)
    return Shape(example.row, (), time, amount, share, error, metrics, example.group, example.running)


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
        changed[at] = with_another_digit(text)
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
    time_s = _fields(example).get("time", NAN)
    if time_s == time_s and "time" not in found:
        return None
    place = {name: number for number, name in enumerate(found)}
    metrics = tuple((place[name], metric) for name, metric in zip(ratios, example.metrics, strict=True))
    time, amount, share, error = (place.get(name, -1) for name in ("time", "count", "share", "error"))
    readings = tuple(found.values())
    return Shape(example.row, readings, time, amount, share, error, metrics, example.group, example.running)


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


def added(shape: Shape, values: Values, time_s: float, running: float) -> list[Added]:
    """The rows of a line, as the table takes them."""
    row = shape.row
    assert row
    shown = 0.0 if row.status == NOT_SUPPORTED else running
    rows: list[Added] = [
        (time_s, NAN, shape.value(values), shown, row.scope, "", "", row.status, row.unit, "", row.event)
    ]
    for at, metric in shape.metrics:
        share = metric.running if metric.running == metric.running else running
        named = (metric.scope, "", metric.event, metric.status, metric.unit, "", metric.spelling)
        rows.append((time_s, NAN, values[at], share, *named))
    return rows


def pending_row(shape: Shape, values: Values, time_s: float, running: float) -> tuple[PerfRow, list[PerfRow]]:
    """The count and the ratios of a line, for a reader whose next line may add to them."""
    assert shape.row
    error = values[shape.error] if shape.error >= 0 else NAN
    row = shape.row._replace(time_s=time_s, value=shape.value(values), running=running, error=error)
    return row, [metric._replace(time_s=time_s, value=values[at]) for at, metric in shape.metrics]
