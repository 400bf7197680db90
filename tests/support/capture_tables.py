"""Helpers of the reader tests: files from text, tables as plain tuples."""

from __future__ import annotations

import math
from pathlib import Path

from analysis.readers import read
from analysis.table import Table

OK, IDLE, NONE = "ok", "not counted", "not supported"


def written(folder: Path, text: str, name: str = "synthetic.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def parsed(folder: Path, text: str, **options: object) -> Table:
    return read(written(folder, text), **options)  # type: ignore[arg-type]


def readings(table: Table) -> list[tuple[str, str, float | None, str, float | None]]:
    """(scope, event, value, status, percent running) of every row, None for NaN."""
    columns = (table.frame[c] for c in ("scope", "event", "value", "status", "running"))
    rows = zip(*columns, strict=True)
    return [(s, e, none_for_nan(v), st, none_for_nan(r, 100)) for s, e, v, st, r in rows]


def none_for_nan(number: float, scale: float = 1.0) -> float | None:
    return None if math.isnan(number) else round(number * scale, 9)


def spans(table: Table) -> list[tuple[float, float]]:
    """(start, end) of every row in seconds."""
    starts, durations = table.frame["start_s"], table.frame["duration_s"]
    return [(round(s, 9), round(s + d, 9)) for s, d in zip(starts, durations, strict=True)]
