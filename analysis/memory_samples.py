"""Samples with data addresses: `perf script` of SPE, perf mem and other precise events, and `perf mem report -D`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analysis import perf_script
from analysis.errors import printable
from analysis.readers.source import Source

L1, L2, L3, MEMORY, UNKNOWN = "L1", "L2", "L3", "memory", ""
LEVELS = (L1, L2, L3, MEMORY)
"""Where data came from, the nearest first."""
_NOT_TOLD = "accesses"

_ADDRESS = re.compile(r"[0-9a-f]{1,16}")
_HEX = re.compile(r"(?:0x)?([0-9a-f]{1,16})")
_WEIGHT = re.compile(r"\d{1,12}")
_LEVEL = re.compile(r"\|LVL ([^|]{1,80})")
_OPERATION = re.compile(r"\|OP ([A-Z]{1,12})")
_NAMED = (("L1", L1), ("LFB", L2), ("L2", L2), ("L3", L3), ("LLC", L3), ("RAM", MEMORY), ("Any cache", L3))
"""Of perf's words for levels, in the order in which they are looked for; a fill buffer's data comes from beyond L1."""
_BITS = ((0x08, L1), (0x10, L2), (0x20, L2), (0x40, L3), (0x80, MEMORY), (0x100, MEMORY), (0x200, MEMORY))
"""Of `union perf_mem_data_src`: mem_lvl, five bits up."""
_STORE = 0x04  # of mem_op, its lowest five bits


class Access(NamedTuple):
    """time_s: 0 where not told.  weight: cycles that it took, None where not told.  level: of LEVELS, else ''."""

    time_s: float
    event: str
    period: float
    address: int
    weight: int | None
    level: str
    is_store: bool
    symbol: str = ""


def read(source: Source) -> list[Access]:
    """Every sample of the file. AnalysisError with line and reason; a lenient source skips bad lines."""
    dumped = next((line for line in source.head if line.lstrip("# ").startswith("PID") and "ADDR" in line), None)
    found = list(_of_dump(source) if dumped else _of_script(source))
    if not found:
        raise source.error(
            "no samples with data addresses in it: perf script -F comm,tid,time,event,addr,weight,data_src"
        )
    return found


def _of_script(source: Source) -> Iterator[Access]:
    for row, line in source.lines():
        if line.startswith(("#", "\t")):
            continue  # comments, and frames of a call chain
        header = perf_script.sample_of(line[: perf_script.LONGEST_LINE])
        if header is None:
            source.reject(row, f"expected a sample of perf script, found '{printable(line)}'")
            continue
        sample, rest = header
        address, _, rest = rest.strip().partition(" ")
        if not _ADDRESS.fullmatch(address):
            source.reject(row, f"expected an address behind '{printable(sample.event)}:', found '{printable(address)}'")
            continue
        level, is_store, words = _data_source(rest)
        weight, words = _weight(words)
        symbol = next((word.partition("+")[0] for word in words[1:2]), "")
        yield Access(sample.time_s, sample.event, sample.period, int(address, 16), weight, level, is_store, symbol)


def _data_source(rest: str) -> tuple[str, bool, list[str]]:
    """Level, whether it is a store, and the words behind what `-F data_src` prints."""
    if "|" not in rest:
        return UNKNOWN, False, rest.split()
    level, operation = _LEVEL.search(rest), _OPERATION.search(rest)
    named = level[1] if level else ""
    found = next((short for word, short in _NAMED if word in named), UNKNOWN)
    if named.endswith("miss"):  # perf of SPE: a miss, and no word of where the data was
        found = {L1: L2, L2: L3, L3: MEMORY}.get(found, found)
    tail = rest.rpartition("|")[2].split()
    first = next((at for at, word in enumerate(tail) if _WEIGHT.fullmatch(word)), len(tail))
    return found, bool(operation and operation[1] == "STORE"), tail[first:]


def _weight(words: list[str]) -> tuple[int | None, list[str]]:
    """A decimal number that no function's name follows; that would be an instruction's address."""
    if not words or not _WEIGHT.fullmatch(words[0]):
        return None, words
    if len(words) == 1 or _ADDRESS.fullmatch(words[1]):
        return int(words[0]), words[1:]
    return None, words


def _of_dump(source: Source) -> Iterator[Access]:
    """Columns go by the head: `# PID, TID, IP, ADDR, LOCAL WEIGHT, DSRC, SYMBOL`."""
    columns: list[str] = []
    for row, line in source.lines():
        if line.lstrip("# ").startswith("PID"):
            columns = [name.strip() for name in line.lstrip("# ").split(",")]
            continue
        if line.startswith("#"):
            continue
        cells = line.split(None, len(columns) - 1)
        told = dict(zip(columns, cells, strict=False))
        address, weight, data = (told.get(name, "") for name in ("ADDR", "LOCAL WEIGHT", "DSRC"))
        match, bits = _HEX.fullmatch(address), _HEX.fullmatch(data)
        if len(cells) < len(columns) or match is None or not _WEIGHT.fullmatch(weight):
            source.reject(row, f"expected {', '.join(columns)}, found '{printable(line)}'")
            continue
        number = int(bits[1], 16) if bits else 0
        level = next((name for bit, name in _BITS if number >> 5 & bit), UNKNOWN)
        symbol = told.get("SYMBOL", "").rpartition(":")[2]
        yield Access(0.0, _NOT_TOLD, 1.0, int(match[1], 16), int(weight), level, bool(number & _STORE), symbol)


def events(found: Sequence[Access]) -> dict[str, int]:
    """Event -> samples."""
    counts: dict[str, int] = {}
    for one in found:
        counts[one.event] = counts.get(one.event, 0) + 1
    return counts
