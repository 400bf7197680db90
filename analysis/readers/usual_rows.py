"""How perf's three dialects spell most of their rows: the words of a row, and its numbers.

For files in which hardly two lines are spelled alike (`shapes` has nothing to learn there): all rows with the same
words are read in the same way, whatever their numbers. A pattern takes only numbers of which that is true.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from operator import itemgetter

import numpy as np

from analysis.table import NAN

Words = tuple[Hashable, ...]
Cut = tuple[Words, list[float]]
"""Words, and numbers in the order of NUMBERS, NaN for what the row does not have."""
NUMBERS = ("time", "count", "share", "metric 0", "error")

_GROUPS_OF_THREE = r"\d{1,3}(?:,\d{3}){0,5}|\d{1,3}(?: \d{3}){1,5}|\d{4,18}"
_WORD = r"[^\s\d#()\[\]][^\s#()\[\]]{0,200}"
_TEXT = re.compile(
    r" {0,20}(?:(?P<time>\d{1,9}\.\d{9}) {1,40})?"
    r"(?:(CPU\d{1,6}|S\d{1,4}(?:-[A-Z]{1,4}\d{1,6}){0,3} {1,20}\d{1,4}|[^\s\d#<][^#]{0,63}?-\d{1,10}) {1,40})?"
    rf"(?P<count>{_GROUPS_OF_THREE}) {{1,40}}([A-Za-z][^\s#()\[\]]{{0,200}})(?: {{1,40}}(?P<second>{_WORD}))?"
    r"(?: {1,60}# {0,40}(?P<metric>\d{1,15}(?:\.\d{1,9})?) {0,8}"
    r"([^\s\d()\[\]#][^\s()\[\]#]{0,100}(?: {1,3}[^\s()\[\]#]{1,100}){0,5}))?"
    r"(?: {0,80}\( \+- {1,8}(?P<error>\d{1,3}\.\d\d)% \))?"
    r"(?: {0,80}\((?P<share>\d{1,3}\.\d\d)%\))?\s{0,200}",
    re.ASCII,
)
_WHOLE = r"(?:0|[1-9]\d{0,17})"
"""As JSON has it, without needless zeros."""
_JSON = re.compile(
    rf'\{{(?:"interval" : (?P<time>{_WHOLE}\.\d{{9}}), )?'
    rf'(?:"(cpu|core|thread)" : "([^"\\]{{0,200}})", )?(?:"(?:aggregate-number|counters)" : {_WHOLE}, )?'
    r'"counter-value" : "(?P<count>\d{1,18}(?:\.\d{1,9})?)", (?:"unit" : "([^"\\]{0,40})", )?'
    r'"event" : "([^"\\]{1,200})", (?:"cgroup" : "((?:[^"\\]|\\[^\n]){0,200})", )?'
    rf'(?:"variance" : (?P<error>{_WHOLE}\.\d\d), )?(?:"event-runtime" : {_WHOLE}, )?'
    rf'"pcnt-running" : (?P<share>{_WHOLE}\.\d\d)'
    r'(?:, "metric-value" : "(?P<metric>\d{1,15}(?:\.\d{1,9})?)", "metric-unit" : "([^"\\]{0,100})")?\}',
    re.ASCII,
)
_CSV = (
    r" {0,8}(?:(?P<time>\d{1,9}\.\d{9});)?(?:(CPU\d{1,6}|S\d{1,4}(?:-[A-Z]{1,4}\d{1,6}){0,3};\d{1,4});)?"
    r"(?P<count>\d{1,18}(?:\.\d{1,9})?);([^;\d]{0,24});([^;\d\"\s][^;\"]{0,200});"
    r"(?:((?!\d{1,3}\.\d\d%;)[^;\"]{0,200});)?(?:(?P<error>\d{1,3}\.\d\d)%;)?\d{1,18};(?P<share>\d{1,3}\.\d\d)"
    r"(?:;(?P<metric>\d{1,15}(?:\.\d{1,9})?)?;([^;\"]{0,100}))?"
)
_SEPARATORS = (",", ";", "\t", "|")


class Cutter:
    """Takes rows of one pattern apart: one at a time, or many as columns."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        named = pattern.groupindex
        are_numbers = [named[name.partition(" ")[0]] - 1 for name in NUMBERS]
        self._fullmatch = pattern.fullmatch
        self._numbers = itemgetter(*are_numbers)
        self._words = itemgetter(*sorted({*range(pattern.groups)} - {*are_numbers}))
        self._second = named.get("second", 1) - 1
        self._nothing = (None,) * pattern.groups

    def __call__(self, line: str) -> Cut | None:
        """None for a line that is spelled in another way."""
        match = self._fullmatch(line)
        if not match:
            return None
        groups = match.groups()
        time, count, share, metric, error = self._numbers(groups)
        spelled = _spelled(count) if groups[self._second] else 0
        return (*self._words(groups), spelled, time is None, share is None, metric is None, error is None), [
            float(time) if time else NAN,
            _number(count),
            float(share) / 100 if share else NAN,
            float(metric) if metric else NAN,
            float(error) / 100 if error else NAN,
        ]

    def columns(self, lines: Sequence[str]) -> tuple[list[Words], np.ndarray]:
        """The words of each line, and its numbers: [lines, NUMBERS]. The count is NaN where a line is no such row."""
        groups = [match.groups() if match else self._nothing for match in map(self._fullmatch, lines)]
        columns = list(zip(*groups, strict=True))
        time, count, share, metric, error = self._numbers(columns)
        spelled = [_spelled(text or "") if word else 0 for text, word in zip(count, columns[self._second], strict=True)]
        are_missing = [[text is None for text in column] for column in (time, share, metric, error)]
        numbers = np.empty((len(lines), len(NUMBERS)))
        numbers[:, 1] = [_number(text) if text else NAN for text in count]
        for at, column, scale in ((0, time, 1), (2, share, 100), (3, metric, 1), (4, error, 100)):
            numbers[:, at] = [float(text) if text else NAN for text in column]
            numbers[:, at] /= scale
        return list(zip(*self._words(columns), spelled, *are_missing, strict=True)), numbers


def _number(count: str) -> float:
    return float(count.replace(",", "").replace(" ", ""))


def _spelled(count: str) -> Hashable:
    """Of a count with a unit, which is the first of two words: it may have a comma for its decimals."""
    return "." if "." in count else count.count(",")


of_text, of_json = Cutter(_TEXT), Cutter(_JSON)


def of_csv(separator: str) -> Cutter | None:
    """None for a separator that may stand within an event's name."""
    if separator not in _SEPARATORS:
        return None
    return Cutter(re.compile(_CSV.replace(";", re.escape(separator)), re.ASCII))
