"""Objects of `perf stat -j`, which not every version of perf, nor every locale, writes as JSON has it.

Perf prints an object a line; other tools lay the same objects out over several lines, or put them into a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from analysis.errors import printable
from analysis.readers.perf_rows import LONGEST_ROW, Malformed

Pairs = list[tuple[str, Any]]

KEYS = frozenset(("counter-value", "metric-value", "metricgroup", "metric-unit", "unit", "interval", "event"))
LONGEST = 1 << 24
"""Characters of an object over several lines."""

_TRAILING_COMMA = re.compile(r",\s{0,8}(?=\})")
_DECIMAL_COMMA = re.compile(r"(: ?-?\d{1,24}),(\d{1,12})(?=\s?[,}])")
_NO_NUMBER = re.compile(r"(: ?)-?(?:nan|inf)(?=\s?[,}])")
_NO_COMMA = re.compile(r'(?<=\w")(?="\w)')
_BETWEEN = re.compile(r"[\s,\]]{0,64}")
_OPENERS, _BEGINS, _BLANK = ("{", "["), ("{", "[{", "[ {"), ("", "[", "]", "],")


class Documents:
    """The objects of a file's lines. is_open: whether the line that was read last stands within an object."""

    def __init__(self) -> None:
        self.is_open = False

    def of(self, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, bool]]:
        """(row, text, False) of each that is a line; (row of the first, text, True) where a tool has spread it."""
        kept: list[str] = []
        first, depth, size, is_cut = 0, 0, 0, False
        for row, line in lines:
            text = line.strip()
            begins = text.startswith(_BEGINS)
            if kept and is_cut and begins:  # the next one, of an object that lacks its end
                yield first, " ".join(kept), True
                kept, depth, size, self.is_open = [], 0, 0, False
            if not kept:
                is_cut = begins and _is_cut(text)
                if not is_cut and not (begins and text.endswith(_OPENERS)):
                    if text not in _BLANK:
                        yield row, line, False
                    continue
                first, self.is_open = row, True
            kept.append(text)
            depth += text.count("{") - text.count("}")
            size += len(text)
            if depth <= 0 or size > (LONGEST_ROW if is_cut else LONGEST):
                yield first, " ".join(kept), True
                kept, depth, size, self.is_open = [], 0, 0, False
        if kept:
            yield first, " ".join(kept), True


def _is_cut(text: str) -> bool:
    """Whether an object that begins here does not end in its line: a mail or a terminal broke it."""
    return not text.endswith(("}", *_OPENERS)) and text.count("{") > text.count("}")


def records(text: str) -> list[Pairs]:
    """The objects of a text, each as its pairs: usually one, with `--metric-only` several. Raises Malformed.

    Read as well: objects in a list, a comma before a closing brace or none after a core, no numbers (`nan`), and
    numbers with a decimal comma, as perf's locale has them.
    """
    first: Malformed | None = None
    for spelled in _SPELLED:
        try:
            return _parsed(spelled(text))
        except Malformed as problem:
            first = first or problem
    assert first is not None
    if _DECIMAL_COMMA.search(text):
        raise Malformed(f"{first}; its numbers seem to have decimal commas: record with LC_ALL=C") from None
    raise first


def _as_json(text: str) -> str:
    return _NO_NUMBER.sub(r"\1null", _NO_COMMA.sub(", ", _TRAILING_COMMA.sub("", text)))


def _with_points(text: str) -> str:
    return _DECIMAL_COMMA.sub(r"\1.\2", text)


_SPELLED: tuple[Callable[[str], str], ...] = (str, _as_json, _with_points, lambda text: _with_points(_as_json(text)))


def _parsed(text: str) -> list[Pairs]:
    found: list[Pairs] = []
    at = 0
    while at < len(text):
        try:
            record, at = _DECODER.raw_decode(text, at)
            found += _records_in(record)
        except (ValueError, RecursionError) as problem:
            reason = problem.msg if isinstance(problem, json.JSONDecodeError) else str(problem)
            raise Malformed(f"not a JSON object: {printable(reason)}") from None
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
    if not found:
        raise Malformed("expected a JSON object with counts")
    return found


class _Object(list[Any]):
    """Pairs of an object: a list of its own kind, since a list in JSON is none."""


def _records_in(value: object) -> list[Pairs]:
    """The objects with perf's keys, in lists and in other objects too; any other object where there is none."""
    if isinstance(value, _Object):
        inner = [] if any(key in KEYS for key, _ in value) else [v for _, v in value if isinstance(v, list)]
        return [record for one in inner for record in _records_in(one)] or ([list(value)] if value else [])
    if isinstance(value, list):
        return [record for one in value for record in _records_in(one)]
    raise ValueError("expected an object")


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=_refuse)


def unique(pairs: Pairs) -> dict[str, Any]:
    """The pairs as a mapping. Raises Malformed where a key stands twice: which of the two was meant nobody knows."""
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if key in dict(pairs[:n]))
        raise Malformed(f"the key '{printable(twice)}' stands twice in a record")
    return record
