"""Per-operation rows of our own captures, summed: time, arithmetic, weight bytes and counts of each kind."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from analysis.metrics import LINE_BYTES
from analysis.table import Table

# Bits a weight, block scales included: bytes of a block * 8 / weights in it, from the GGUF block formats.
WEIGHT_BITS = {"F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.5, "Q6_K": 6.5625, "Q4_1": 5.0, "Q4_0": 4.5}
REFILL_EVENTS = ("L3D_CACHE_REFILL", "LL_CACHE_MISS_RD", "L2D_CACHE_REFILL")
_EVENT_COLUMN = re.compile(r"(.+)@([\w.-]+)")


@dataclass(frozen=True)
class Operation:
    """One kind of operation over some calls.

    seconds: until the slowest thread was done, added up.  work: multiplications and additions, 0 where no shape says.
    weight_bytes: of the weights read once a call, 0 where not known.  counts: by event, over all threads.
    """

    name: str
    seconds: float
    work: float
    weight_bytes: float
    counts: dict[str, float] = field(default_factory=dict)

    @property
    def bytes_read(self) -> tuple[float, str]:
        """Bytes from memory and where the number comes from: a refill event, else the weights, else (NaN, '')."""
        for event in REFILL_EVENTS:
            if event in self.counts:
                return self.counts[event] * LINE_BYTES, event
        return (self.weight_bytes, "weights") if self.weight_bytes else (math.nan, "")


def of_calls(table: Table, calls: Iterable[int] | None = None) -> list[Operation]:
    """Operations of the given calls (all without), the one that took most time first; [] without per-operation rows."""
    if table.calls is None:
        return []
    rows = table.calls[table.calls["op"] != ""]
    if calls is not None:
        rows = rows[rows["call"].isin(list(calls))]
    if rows.empty:
        return []
    found = [_operation(str(name), part) for name, part in rows.groupby("op", sort=False)]
    return sorted(found, key=lambda operation: -operation.seconds)


def _operation(name: str, rows: pd.DataFrame) -> Operation:
    keys = [key for key in ("call", "layer", "tensor") if key in rows]
    # threads share one piece of work: it takes as long as the slowest of them
    pieces = rows.groupby(keys, sort=False, dropna=False)
    seconds = float(pieces["duration_s"].max().sum())
    first = pieces.head(1)
    elements = first["shape"].map(_elements).to_numpy(dtype=np.float64) if "shape" in first else np.zeros(len(first))
    bits = first["type"].map(lambda kind: WEIGHT_BITS.get(str(kind), 0.0)) if "type" in first else 0.0
    n_eval = first["n_eval"].to_numpy(dtype=np.float64)
    # an embedding looks rows up; it multiplies nothing and reads one row a token
    multiplies = name not in ("embedding", "embed")
    work = float(np.sum(2 * elements * n_eval)) if multiplies else 0.0
    weight_bytes = float(np.sum(elements * np.asarray(bits, dtype=np.float64) / 8)) if multiplies else 0.0
    return Operation(name, seconds, work, weight_bytes, _counts(rows))


def _elements(shape: object) -> float:
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", str(shape).replace(" ", ""))
    return float(match[1]) * float(match[2]) if match else 0.0


def _counts(rows: pd.DataFrame) -> dict[str, float]:
    """Counts by event, from the group that counted in most rows; scaled by nothing."""
    best: dict[str, tuple[int, float]] = {}
    for column in rows.columns:
        match = _EVENT_COLUMN.fullmatch(str(column))
        if match and match[1] not in ("time_enabled_ns", "time_running_ns"):
            values = rows[column].to_numpy(dtype=np.float64)
            counted = np.isfinite(values)
            if counted.any() and int(counted.sum()) > best.get(match[1], (0, 0.0))[0]:
                best[match[1]] = (int(counted.sum()), float(values[counted].sum()))
    return {event: total for event, (_, total) in best.items()}
