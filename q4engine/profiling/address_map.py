"""Which addresses of this process are which tensor, the KV cache or activations: for samples with data addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis import outputs
from q4engine.engine import Session
from q4engine.errors import Q4Error

HEAD = "# q4engine address map"
COLUMNS = ("start", "end", "kind", "name")

AddressRange = tuple[int, int, str, str]
"""Start, end (behind it), kind, name."""


def write_address_map(path: Path, session: Session) -> None:
    """A line a range, by address. Q4Error where the file cannot be written, and for a backend without addresses."""
    if session.recorder is None:
        raise Q4Error("--address-map needs the native backend: the other one keeps no data at fixed addresses")
    write_ranges(path, _ranges(session))


def write_ranges(path: Path, ranges: Iterable[AddressRange]) -> None:
    """A line a range, by address. Q4Error where the file cannot be written."""
    lines = [HEAD, ",".join(COLUMNS)]
    lines += [f"{start:#x},{end:#x},{kind},{_plain(name)}" for start, end, kind, name in sorted(ranges)]
    try:
        outputs.write(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise Q4Error(f"{path}: the address map cannot be written: {error.strerror}") from None


def _ranges(session: Session) -> Iterator[AddressRange]:
    """Without empty ones."""
    assert session.recorder is not None
    tables = iter(session.engine.graph.tables)
    for kind, name, start, end in session.recorder.address_ranges():
        if kind == "table":
            name = next(tables).name
        if end > start:
            yield start, end, kind, name


def _plain(name: str) -> str:
    """Without what would end a cell or a line."""
    return "".join(c if c.isprintable() and c not in ',"' else "_" for c in name)
