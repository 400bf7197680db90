"""`perf stat --metric-only` and `--topdown`: a line of names, then lines of values, one column a metric."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.errors import printable
from analysis.readers.locale_numbers import with_point
from analysis.readers.perf_rows import Malformed, PerfRow, grouped_scope, named_metric, number
from analysis.table import NAN

MOST_COLUMNS = 256

_TIME = re.compile(r"\d{1,12}[.,]\d{9}")
_VALUE = re.compile(r"-?(?:\d{1,18}(?:[.,]\d{1,9})?|nan|inf)%?")
_PLAIN = re.compile(r"\d{1,18}(?:\.\d{1,18})?")
_UNIT = re.compile(r"%|percent of [\w/]+(?: [\w/]+){0,2}|per [\w,/ ]{1,40}")
_PHRASE = re.compile(
    r"(GHz|insns? per cycle|stalled cycles per insn|(?:front|back)end +cycles idle|CPUs utilized"
    r"|[\w./:-]{1,60} of all [\w-]{1,40}(?: (?:hits|accesses|refs))?)(?: |$)"
)
"""Perf's own metrics before they had names: longer than their columns, so that one blank parts some of them."""
_PLACES = re.compile(r"\s*(?:CPU|core|die|socket|node|cluster|cache|comm-pid)?(?:\s+cpus)?(?=\s|$)")


@dataclass
class MetricColumns:
    """names: (name, unit) of each column."""

    names: list[tuple[str, str]]

    def rows(self, line: str) -> list[PerfRow]:
        """The ratios of a line of values. Raises Malformed where it has other columns than the names."""
        time_s, scope, values = split(line.split())
        if len(values) != len(self.names):
            raise Malformed(f"{len(values)} values below the names of {len(self.names)} metrics")
        found = [metric_of(time_s, scope, n, text, unit) for (n, unit), text in zip(self.names, values, strict=True)]
        return [row for row in found if row is not None]


def metric_of(time_s: float, scope: str, name: str, text: str, unit: str = "") -> PerfRow | None:
    """A ratio of its own column. None where perf divided by a count of zero or printed nothing."""
    digits = with_point(text.rstrip("%"))
    if not digits or digits.lstrip("-") in ("nan", "inf") or digits.startswith("-"):
        return None
    value = float(digits) if _PLAIN.fullmatch(digits) else number(digits, f"metric {printable(name)}")
    prefix, _, rest = name.partition("  ")
    if rest and _UNIT.fullmatch(prefix):
        unit, name = prefix, rest
    is_share = text.endswith("%") or unit.startswith(("%", "percent"))
    return named_metric(time_s, scope, value, name, "%" if is_share else unit)


def is_value(text: str) -> bool:
    return _VALUE.fullmatch(text) is not None


def columns_of(text: str) -> MetricColumns | None:
    """The columns that a line of names announces; None where it announces counts, or nothing."""
    text = text[_PLACES.match(text).end() :] if _PLACES.match(text) else text  # type: ignore[union-attr]
    names: list[tuple[str, str]] = []
    unit = ""
    for piece in re.split(r"\s{2,}|\t", text.strip()):
        if _UNIT.fullmatch(piece):
            unit = piece
        elif piece:
            inner = re.fullmatch(r"% (\S+)", piece)
            phrases = _phrases(piece)
            names += [(phrase, "") for phrase in phrases] or [(inner[1], "%") if inner else (piece, unit)]
            unit = ""
    if not names or len(names) > MOST_COLUMNS or text.split()[0] == "counts":
        return None
    return MetricColumns(names)


def _phrases(piece: str) -> list[str]:
    """The names in words that a piece is made of; [] for any other."""
    found, at = [], 0
    while at < len(piece) and (match := _PHRASE.match(piece, at)):
        found.append(match[1])
        at = match.end()
    return found if at >= len(piece) else []


def is_value_line(text: str) -> bool:
    """Whether a line holds nothing but values, behind a time and a scope if it has them."""
    words = text.split()
    if not 0 < len(words) <= MOST_COLUMNS + 4:
        return False
    _, _, values = split(words)
    return bool(values) and all(is_value(word) for word in values)


def split(words: list[str]) -> tuple[float, str, list[str]]:
    """(time, scope, values)."""
    time_s, scope = NAN, ""
    if len(words) > 1 and _TIME.fullmatch(words[0]):
        time_s, words = number(words[0].replace(",", "."), "the time"), words[1:]
    if len(words) > 1 and (group := grouped_scope(words[0])):
        scope, words = group, words[1:]
        if not group.startswith("cpu:") and len(words) > 1 and words[0].isdigit():
            words = words[1:]
    elif len(words) > 1 and re.fullmatch(r".+-\d+", words[0]) and not _VALUE.fullmatch(words[0]):
        scope, words = f"thread:{words[0]}", words[1:]
    return time_s, scope, words
