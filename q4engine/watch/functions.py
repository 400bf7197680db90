"""Where a function begins in a program's or library's file, by its symbol tables (elf(5)): what a probe is put at."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

_HEAD = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_ELF64 = b"\x7fELF\x02\x01"
_LOAD, _FUNCTION = 1, (2, 10)  # PT_LOAD; STT_FUNC, STT_GNU_IFUNC
_TABLES = (2, 11)  # SHT_SYMTAB, SHT_DYNSYM


def offset_of(path: Path, function: str) -> int | None:
    """Bytes from the file's begin to the function's; None where no symbol table of it names one, or it is no 64-bit
    program. OSError where it cannot be read."""
    with path.open("rb") as file:
        if file.read(len(_ELF64)) != _ELF64:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _offset(data, function.encode() + b"\0")
            except (struct.error, ValueError, OverflowError):  # cut off, or no places in it
                return None


def _offset(data: mmap.mmap, name: bytes) -> int | None:
    _, _, _, _, _, segments_at, sections_at, _, _, segment_bytes, n_segments, section_bytes, n_sections, _ = (
        _HEAD.unpack_from(data)
    )
    sections = [_SECTION.unpack_from(data, sections_at + i * section_bytes) for i in range(n_sections)]
    for _, kind, _, _, at, size, link, *_ in sections:
        if kind not in _TABLES or link >= len(sections):
            continue
        names_at, names_size = sections[link][4:6]
        value = _value(data[at : at + size], data[names_at : names_at + names_size], name)
        for i in range(n_segments if value is not None else 0):
            kind, _, offset, start, _, n_bytes, _, _ = _SEGMENT.unpack_from(data, segments_at + i * segment_bytes)
            if kind == _LOAD and value is not None and start <= value < start + n_bytes:
                return int(offset + value - start)
    return None


def _value(table: bytes, names: bytes, name: bytes) -> int | None:
    """The address of a defined function. Names may share their ends, so one may begin within another."""
    places, at = [], names.find(name)
    while at >= 0:
        places.append(at)
        at = names.find(name, at + 1)
    symbols = np.frombuffer(table, _SYMBOL, len(table) // _SYMBOL.itemsize)
    mine = symbols[
        np.isin(symbols["name"], places) & np.isin(symbols["info"] & 15, _FUNCTION) & (symbols["section"] != 0)
    ]
    return int(mine["value"][0]) if len(mine) else None
