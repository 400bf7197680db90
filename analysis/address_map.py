"""The file of `--address-map` (`q4engine run`, `watch`): which addresses are which tensor, KV cache or activations."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from analysis.errors import printable
from analysis.readers.source import Source

HEAD = "# q4engine address map"
MOST_RANGES = 100_000
"""A model has at most 65,536 tensors; its KV cache two a layer."""
_LINE = re.compile(r"0x([0-9a-f]{1,16}),0x([0-9a-f]{1,16}),(\w{1,40}),([^,]{0,1000})")
_OF_CACHE = {"keys": "KV cache: keys", "values": "KV cache: values"}


@dataclass(frozen=True)
class Range:
    """Addresses from `start` up to `end`. kind: weights, table, keys, values or activations."""

    start: int
    end: int
    kind: str
    name: str

    @property
    def title(self) -> str:
        """A tensor's name, or what else lies there."""
        if self.kind in _OF_CACHE:
            return f"{_OF_CACHE[self.kind]}, {printable(self.name)}"
        return printable(self.name) if self.name else self.kind


class AddressMap:
    """Ranges that do not overlap."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.ranges = sorted(ranges, key=lambda one: one.start)
        self._starts = [one.start for one in self.ranges]

    def find(self, address: int) -> Range | None:
        """The range that the address lies in."""
        at = bisect_right(self._starts, address) - 1
        return self.ranges[at] if at >= 0 and address < self.ranges[at].end else None


def read_map(path: Path) -> AddressMap:
    """The file's ranges. AnalysisError with the row of one that is not as it should be."""
    source = Source(path)
    ranges: list[tuple[int, Range]] = []
    for row, line in source.lines():
        if row == 1 and line != HEAD:
            raise source.error(f"is no map of --address-map: it begins with '{printable(line)}'", 1)
        if line.startswith("#") or line == "start,end,kind,name":
            continue
        match = _LINE.fullmatch(line)
        if match is None or int(match[1], 16) >= int(match[2], 16):
            raise source.error(f"expected START,END,KIND,NAME with START below END, found '{printable(line)}'", row)
        ranges.append((row, Range(int(match[1], 16), int(match[2], 16), match[3], match[4])))
        if len(ranges) > MOST_RANGES:
            raise source.error(f"more than {MOST_RANGES} ranges", row)
    if not ranges:
        raise source.error("holds no ranges")
    ranges.sort(key=lambda entry: entry[1].start)
    for (_, before), (row, one) in pairwise(ranges):
        if one.start < before.end:
            raise source.error(f"{one.title} begins within {before.title}", row)
    return AddressMap([one for _, one in ranges])
