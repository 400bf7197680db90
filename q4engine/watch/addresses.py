"""Which addresses of a watched program are which tensor, KV cache or activations: for samples with data addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from q4engine.profiling.address_map import AddressRange, write_ranges
from q4engine.watch.nodes import Node, Place
from q4engine.watch.spans import Watched

_CACHE = re.compile(r"cache_(k|v)_l(\d{1,9})\b")
_KINDS = {"k": "keys", "v": "values"}


class AddressMap:
    """The map of one context: what its operations read and wrote, as far as they were seen."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[int, Node] = {}

    def write(self, number: int, watched: Watched) -> None:
        for thread in watched.threads:
            for span in thread.spans:
                if span.node is not None:
                    self._seen[id(span.node)] = span.node

    def close(self, cut_off: bool) -> None:
        """Q4Error where it cannot be written."""
        write_ranges(self._path, apart(place for node in self._seen.values() for place in node.places))


def apart(places: Iterable[Place]) -> Iterator[AddressRange]:
    """Ranges that do not overlap, by address: of one thing they are joined, of two the one that begins first has what
    both claim."""
    named = ((place.start, place.end, *_what(place)) for place in places if 0 < place.start < place.end)
    joined = []
    for what, group in groupby(sorted(named, key=lambda one: (one[2:], one)), key=lambda one: one[2:]):
        low, high = 0, 0
        for start, end, *_ in group:
            if start > high:
                joined += [(low, high, *what)] if high else []
                low = start
            high = max(high, end)
        joined.append((low, high, *what))
    reached = 0
    for start, end, kind, name in sorted(joined):
        if end > reached:
            yield max(start, reached), end, kind, name
            reached = end


def _what(place: Place) -> tuple[str, str]:
    """Kind and name, as in the map of our own runs."""
    if place.is_weight:
        return "weights", place.name
    if match := _CACHE.match(place.name):
        return _KINDS[match[1]], f"blk.{match[2]}"
    return "activations", ""
