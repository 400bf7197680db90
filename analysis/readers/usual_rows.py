"""How perf's three dialects spell most of their rows: the words of a row, and its numbers.

For files in which hardly two lines are spelled alike (`shapes` has nothing to learn there): all rows with the same
words are read in the same way, whatever their numbers. A pattern takes only numbers of which that is true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from operator import itemgetter

from analysis.table import NAN

Words = tuple[Hashable, ...]
Cut = tuple[Words, list[float]]
"""Words, and numbers in the order of NUMBERS, NaN for what the row does not have."""
NUMBERS = ("time", "count", "share", "metric 0", "error")

_GROUPS_OF_THREE = r"\d{1,3}(?:,\d{3}){0,5}|\d{4,18}"
_WORD = r"[^\s\d#()\[\]][^\s#()\[\]]{0,200}"
_TEXT = re.compile(
    r" {0,20}(?:(?P<time>\d{1,9}\.\d{9}) {1,40})?"
    r"(?:(CPU\d{1,6}|S\d{1,4}(?:-[A-Z]{1,4}\d{1,6}){0,3} {1,20}\d{1,4}) {1,40})?"
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
    r'"event" : "([^"\\]{1,200})", (?:"cgroup" : "([^"\\]{0,200})", )?'
    rf'(?:"variance" : (?P<error>{_WHOLE}\.\d\d), )?(?:"event-runtime" : {_WHOLE}, )?'
    rf'"pcnt-running" : (?P<share>{_WHOLE}\.\d\d)'
    r'(?:, "metric-value" : "(?P<metric>\d{1,15}(?:\.\d{1,9})?)", "metric-unit" : "([^"\\]{0,100})")?\}',
    re.ASCII,
)
_CSV = (
    r" {0,8}(?:(?P<time>\d{1,9}\.\d{9});)?(?:(CPU\d{1,6}|S\d{1,4}(?:-[A-Z]{1,4}\d{1,6}){0,3};\d{1,4});)?"
    r"(?P<count>\d{1,18}(?:\.\d{1,9})?);([^;\d]{0,24});([^;\d\"\s][^;\"]{0,200});(?:([^;\"]{0,200});)?"
    r"(?:(?P<error>\d{1,3}\.\d\d)%;)?\d{1,18};(?P<share>\d{1,3}\.\d\d)"
    r"(?:;(?P<metric>\d{1,15}(?:\.\d{1,9})?)?;([^;\"]{0,100}))?"
)
_SEPARATORS = (",", ";", "\t", "|")


def _cutter(pattern: re.Pattern[str]) -> Callable[[str], Cut | None]:
    named = pattern.groupindex
    numbers = itemgetter(*(named[name.partition(" ")[0]] - 1 for name in NUMBERS))
    are_words = {*range(1, pattern.groups + 1)} - {named[name.partition(" ")[0]] for name in NUMBERS}
    words = itemgetter(*(at - 1 for at in sorted(are_words)))
    second = named.get("second", 1) - 1

    def cut(line: str) -> Cut | None:
        """None for a line that is spelled in another way."""
        match = pattern.fullmatch(line)
        if not match:
            return None
        groups = match.groups()
        time, count, share, metric, error = numbers(groups)
        # a count with a unit, which is the first of two words, may have a comma for its decimals
        spelled = "." if "." in count else count.count(",") if groups[second] else 0
        return (words(groups), spelled, time is None, share is None, metric is None, error is None), [
            float(time) if time else NAN,
            float(count.replace(",", "")),
            float(share) / 100 if share else NAN,
            float(metric) if metric else NAN,
            float(error) / 100 if error else NAN,
        ]

    return cut


of_text, of_json = _cutter(_TEXT), _cutter(_JSON)


def of_csv(separator: str) -> Callable[[str], Cut | None] | None:
    """None for a separator that may stand within an event's name."""
    if separator not in _SEPARATORS:
        return None
    return _cutter(re.compile(_CSV.replace(";", re.escape(separator)), re.ASCII))
