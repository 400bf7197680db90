"""Counts by the names of their events in a script's JSON, such as `{"cycles": 1000000000}`, in lists too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from analysis.errors import printable
from analysis.events import canonical, event_code
from analysis.phase import OK
from analysis.readers.json_records import unique
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_rows import Malformed, PerfRow, count
from analysis.readers.source import Source
from analysis.readers.written_counts import are_counters, count_of, counter_of, event_of
from analysis.table import NAN

LONGEST = 1 << 24
"""Characters of a file."""
NAME_KEYS, COUNT_KEYS = ("event", "name", "counter", "metric"), ("count", "value", "counts", "total")

_NAMED = re.compile(r'"(?:event|name|counter|metric)"\s{0,8}:\s{0,8}"([^"\\]{1,100})"')
_COUNT = re.compile(r'"(?:count|value|counts|total)"\s{0,8}:\s{0,8}"?\d')
_PAIR = re.compile(
    r'"([^"\\]{1,100})"\s{0,8}:\s{0,8}(?:\{\s{0,80}"(?:count|value|counts|total)"\s{0,8}:\s{0,8})?'
    r'"?(\d[\d,._]{0,40})(?:[eE]\+?\d{1,3}|\s?[kKMGBT])?"?\s{0,80}(?:[,}\]]|$)'
)
Counts = list[tuple[str, Any]]


def may_be(head: Sequence[str]) -> bool:
    """Whether a file begins as JSON does."""
    return next((line for line in head if line.strip()), "").lstrip("\ufeff \t").startswith(("{", "["))


def holds_counts(text: str) -> bool:
    """Whether the beginning of a JSON text has counts of at least two counters: by their names as keys, or beside them.

    What has an event's own number is a list of codes.
    """
    found = {event: digits for name, digits in _PAIR.findall(text) if (event := counter_of(name))}
    if _COUNT.search(text):
        found |= {event: "" for name in _NAMED.findall(text) if (event := counter_of(name))}
    are_codes = all(digits == str(event_code(canonical(event).name)) for event, digits in found.items())
    return are_counters(found) and not are_codes


def read(source: Source, builder: PerfBuilder) -> None:
    """Adds each object of counts as a run. Raises AnalysisError where the file is no JSON."""
    text = "\n".join(_bounded(source))
    try:
        document = json.loads(text, object_pairs_hook=unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        row = problem.lineno if isinstance(problem, json.JSONDecodeError) else None
        raise source.error(f"not JSON: {printable(str(problem))}", row) from None
    for path, counts in _found(document, ""):
        builder.next_run()
        if path:
            builder.meta["target"] = printable(path, 200)
        for name, value in counts:
            try:
                amount = count_of(value.strip()) if isinstance(value, str) else count(repr(value))
                builder.add(PerfRow(NAN, "", amount, OK, "", event_of(name), NAN))
            except Malformed as problem:
                source.reject(1, f"{printable(name)}: {problem}")


def _bounded(source: Source) -> Iterator[str]:
    size = 0
    for _, line in source.lines():
        size += len(line)
        if size > LONGEST:
            raise source.error(f"more than {LONGEST >> 20} MiB of JSON")
        yield line


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _found(value: object, path: str) -> Iterator[tuple[str, Counts]]:
    """(where it stands, its counts) of each object of counts. The parser has bounded the depth."""
    if isinstance(value, dict):
        counts = [(name, _value(inner)) for name, inner in value.items() if event_of(name)]
        counts = [(name, inner) for name, inner in counts if inner is not None]
        if any(counter_of(name) for name, _ in counts):
            yield path, counts
        for name, inner in value.items():
            if _value(inner) is None:
                yield from _found(inner, f"{path} {name}".strip())
    elif isinstance(value, list):
        counts = [one for one in map(_named, value) if one]
        if counts:
            yield path, counts
        for number, inner in enumerate(value):
            if not _named(inner):
                yield from _found(inner, f"{path} {number + 1}".strip())


def _value(value: object) -> Any:
    """A count, or what stands for one in an object of its own; None for anything else."""
    if isinstance(value, dict):
        return next((inner for key in COUNT_KEYS if (inner := _value(value.get(key))) is not None), None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number or (isinstance(value, str) and value[:1].isdigit()) else None


def _named(value: object) -> tuple[str, Any] | None:
    """The event and the count of an object that names both."""
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in NAME_KEYS if isinstance(value.get(key), str)), "")
    amount = _value(value)
    return (name, amount) if event_of(name) and amount is not None else None
