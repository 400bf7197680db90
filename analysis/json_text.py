"""JSON as `--json` writes it: as `json.dumps` with an indent of 1 does, in a fraction of the time, and in pieces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from analysis.terminal import holds_all

_IN_PIECES = 4
"""Levels that are walked one piece at a time; what lies deeper is small enough to be joined, but for iterators."""

_Quote = Callable[[str], str]


def pieces(document: dict[str, Any]) -> Iterator[str]:
    """The text, ending in a line break. Lists may be iterators, of which an entry is made when it is written.

    Characters that stdout lacks are escaped. ValueError for a number that JSON has not, TypeError for what is no data.
    """
    yield from _in_pieces(document, "\n ", encode_basestring if holds_all() else encode_basestring_ascii, 0)
    yield "\n"


def text(document: dict[str, Any]) -> str:
    """The same in one piece."""
    return "".join(pieces(document))


def _in_pieces(value: Any, line: str, quote: _Quote, level: int) -> Iterator[str]:
    """line: the break and the indent before an entry of the value."""
    in_pieces = isinstance(value, dict | list | tuple | Iterator) if level < _IN_PIECES else _is_made_meanwhile(value)
    if not in_pieces:
        yield _joined(value, line, quote)
        return
    is_dict, is_first = isinstance(value, dict), True
    entries = value.items() if isinstance(value, dict) else (("", entry) for entry in value)
    for key, entry in entries:
        name = f"{quote(key)}: " if is_dict else ""
        yield f"{'{['[not is_dict] if is_first else ','}{line}{name}"
        yield from _in_pieces(entry, line + " ", quote, level + 1)
        is_first = False
    ends = "{}" if is_dict else "[]"
    yield ends if is_first else line[:-1] + ends[1]


def _is_made_meanwhile(value: Any) -> bool:
    entries = value.values() if isinstance(value, dict) else [value]
    return any(isinstance(entry, Iterator) for entry in entries)


def _joined(value: Any, line: str, quote: _Quote) -> str:
    if isinstance(value, str):
        return quote(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number of JSON")
        return float.__repr__(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, dict):
        entries = [f"{quote(key)}: {_joined(of_key, line + ' ', quote)}" for key, of_key in value.items()]
        return _listed(entries, line, "{}")
    if isinstance(value, list | tuple | Iterator):
        return _listed([_joined(entry, line + " ", quote) for entry in value], line, "[]")
    raise TypeError(f"{type(value).__name__} is no data of JSON")


def _listed(entries: list[str], line: str, ends: str) -> str:
    inner = f",{line}".join(entries)
    return f"{ends[0]}{line}{inner}{line[:-1]}{ends[1]}" if inner else ends
