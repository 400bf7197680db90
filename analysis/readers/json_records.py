"""Objects of one line of `perf stat -j`, which not every version of perf, nor every locale, writes as JSON has it."""

from __future__ import annotations

import json
import re
from typing import Any

from analysis.errors import printable
from analysis.readers.perf_rows import Malformed

Pairs = list[tuple[str, Any]]

_TRAILING_COMMA = re.compile(r",\s{0,8}(?=\})")
_DECIMAL_COMMA = re.compile(r"(: ?-?\d{1,24}),(\d{1,12})(?=\s?[,}])")
_BETWEEN = re.compile(r"[\s,]{0,64}")


def records(text: str) -> list[Pairs]:
    """The objects of a line, each as its pairs: usually one, with `--metric-only` several. Raises Malformed.

    Read as well: a comma before a closing brace, and numbers with a decimal comma, as perf's locale has them.
    """
    first: Malformed | None = None
    for spelled in (str, _without_trailing_commas, _with_points, _repaired):
        try:
            return _parsed(spelled(text))
        except Malformed as problem:
            first = first or problem
    assert first is not None
    if _DECIMAL_COMMA.search(text):
        raise Malformed(f"{first}; its numbers seem to have decimal commas: record with LC_ALL=C") from None
    raise first


def _without_trailing_commas(text: str) -> str:
    return _TRAILING_COMMA.sub("", text)


def _with_points(text: str) -> str:
    return _DECIMAL_COMMA.sub(r"\1.\2", text)


def _repaired(text: str) -> str:
    return _with_points(_without_trailing_commas(text))


def _parsed(text: str) -> list[Pairs]:
    decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=_refuse)
    found: list[Pairs] = []
    at = 0
    while at < len(text):
        try:
            record, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as problem:
            reason = problem.msg if isinstance(problem, json.JSONDecodeError) else str(problem)
            raise Malformed(f"not a JSON object on one line: {printable(reason)}") from None
        if not isinstance(record, _Object) or not record:
            raise Malformed("expected a JSON object with counts")
        found.append(list(record))
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
    return found


class _Object(list[Any]):
    """Pairs of an object: a list of its own kind, since a list in JSON is none."""


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def unique(pairs: Pairs) -> dict[str, Any]:
    """The pairs as a mapping. Raises Malformed where a key stands twice: which of the two was meant nobody knows."""
    record: dict[str, Any] = {}
    for key, value in pairs:
        if key in record:
            raise Malformed(f"the key '{printable(key)}' stands twice in a record")
        record[key] = value
    return record
