"""The markers file of `q4engine run --markers`: `time_ns,n_past,n_eval[,phase]`, one row a decode call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from analysis.errors import printable
from analysis.phase import Marker
from analysis.readers.perf_rows import Malformed
from analysis.readers.source import Source
from analysis.table import Table, TableBuilder

FORMAT = "markers"
CLOCK = "CLOCK_MONOTONIC_RAW"
LARGEST = 1 << 63
MOST_MARKERS = 200_000

_PLAINEST = re.compile(
    r" {0,20}(\d{1,18}) {0,20}, {0,20}(\d{1,18}) {0,20}, {0,20}(\d{1,18}) {0,20}(?:,([\w \"]{0,40}))?", re.ASCII
)
_ANNOTATION = re.compile(r"\bpast (\d{1,12}), n_eval (\d{1,12})\b")
_ANNOTATIONS = re.compile(r"^past (\d{1,12}), n_eval (\d{1,12})$", re.MULTILINE)
"""Of many such texts, each a line, that say nothing else."""


def read(source: Source) -> Table:
    """A table without counts, only with markers."""
    lines = source.lines()
    columns = next(lines)[1].strip().split(",")
    if columns[:3] != ["time_ns", "n_past", "n_eval"]:
        raise source.error("a markers file starts with time_ns,n_past,n_eval,phase", 1)
    markers: list[Marker] = []
    for row, line in lines:
        if not line.strip():
            continue
        try:
            marker = _plainest(line, len(columns)) or _marker(line.strip().split(","), len(columns))
            if markers and marker.time_s < markers[-1].time_s:
                raise Malformed("time goes back")
        except Malformed as problem:
            source.reject(row, str(problem))
            continue
        markers.append(marker)
        if len(markers) > MOST_MARKERS:
            raise source.error(f"more than {MOST_MARKERS} markers", row)
    if not markers:
        raise source.error("no markers in it")
    meta = {"format": FORMAT, "path": str(source.path), "clock": CLOCK}
    return Table(TableBuilder().frame(), meta, source.closing_notes(), markers=markers)


def read_markers(path: str | Path, lenient: bool = False) -> list[Marker]:
    """The markers of a markers file, in order of time, on CLOCK_MONOTONIC_RAW."""
    return read(Source(path, lenient)).markers


def _plainest(line: str, n_columns: int) -> Marker | None:
    """The marker of a line such as the engine writes; None for one that has to be read with care."""
    match = _PLAINEST.fullmatch(line)
    if not match or n_columns != (3 if match[4] is None else 4):
        return None
    return Marker(int(match[1]) / 1e9, int(match[2]), int(match[3]), (match[4] or "").strip() or None)


def _marker(fields: list[str], n_columns: int) -> Marker:
    if len(fields) != n_columns:
        raise Malformed(f"{len(fields)} fields, expected {n_columns}")
    values = []
    for name, text in zip(("time_ns", "n_past", "n_eval"), fields, strict=False):
        digits = text.strip()  # int() takes fewer characters for blanks
        if not re.fullmatch(r"\d{1,19}", digits) or int(digits) >= LARGEST:
            raise Malformed(f"{name} should be a whole number, found '{printable(text)}'")
        values.append(int(digits))
    label = printable(fields[3].strip()) if n_columns > 3 else ""
    return Marker(values[0] / 1e9, values[1], values[2], label or None)


def markers_of_messages(times: Sequence[float], texts: Sequence[str]) -> list[Marker]:
    """Markers among annotations, each with its time in seconds: texts that hold `past N, n_eval M`, in their order."""
    plain = _ANNOTATIONS.findall("\n".join(texts))
    if len(plain) == len(texts):
        return [Marker._make((time_s, int(past), int(n), None)) for time_s, (past, n) in zip(times, plain, strict=True)]
    matches = zip(times, map(_ANNOTATION.search, texts), strict=True)
    return [Marker(time_s, int(match[1]), int(match[2])) for time_s, match in matches if match]
