"""Per-operation rows of our own captures, summed: time, arithmetic, bytes and counts by kind or tensor."""

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
WAITING = {
    "barrier": "waiting for other threads",
    "begin": "before the first operation",
    "end": "after the last operation",
}
"""What a thread's time holds besides operations, in words."""

_EVENT_COLUMN = re.compile(r"(.+)@([\w.-]+)")
_LAYER = re.compile(r"^blk\.\d+\.")


@dataclass(frozen=True)
class Operation:
    """One kind of operation, or one tensor of all layers, over some calls.

    seconds: of a thread, the mean over the threads, so that operations and waiting add up to the calls' time.
    elapsed: until the slowest thread was done with each piece, added up.  pieces: how often it was carried out.
    work: multiplications and additions, 0 where no shape says.  weight_bytes: of the weights read once a piece, 0
    where not known.  counts: by event, over all threads.
    """

    name: str
    seconds: float
    elapsed: float
    pieces: int
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
    rows = _rows(table, calls)
    return [] if rows is None else _gathered(rows, rows["op"])


def tensors_of_calls(table: Table, calls: Iterable[int] | None = None) -> list[Operation]:
    """The same by weight tensor, layers taken together: `ffn_gate+ffn_up Q4_0 3072x576`."""
    rows = _rows(table, calls)
    if rows is None or "tensor" not in rows:
        return []
    names = rows["tensor"].map({tensor: tensor_name(tensor) for tensor in rows["tensor"].unique()})
    for column in ("type", "shape"):
        if column in rows:
            names = names.str.cat(rows[column], sep=" ")
    of_weights = rows["tensor"] != ""
    return _gathered(rows[of_weights], names[of_weights].str.strip())


def seconds_by_call(table: Table, calls: Iterable[int]) -> dict[str, list[tuple[int, float]]]:
    """Operation -> (call, seconds of a thread, the mean over the threads) for each call that had the operation."""
    rows = _rows(table, calls)
    found: dict[str, list[tuple[int, float]]] = {}
    if rows is not None:
        sums = rows.groupby(["op", "call"], sort=False)["mean_s"].sum()
        for name, call, seconds in sums.reset_index().itertuples(index=False):
            found.setdefault(str(name), []).append((int(call), float(seconds)))
    return found


def tensor_name(tensor: str) -> str:
    """A tensor's name without layer and ending, of fused ones each: `ffn_gate+ffn_up`."""
    return "+".join(_LAYER.sub("", part).removesuffix(".weight") for part in tensor.split("+"))


def _rows(table: Table, calls: Iterable[int] | None) -> pd.DataFrame | None:
    """Operations' rows with `mean_s`, their share of a thread's mean time; None where there are none."""
    if table.calls is None:
        return None
    is_wanted = table.calls["op"] != ""
    if calls is not None:
        is_wanted &= table.calls["call"].isin(list(calls))
    rows = table.calls[is_wanted]
    if rows.empty:
        return None
    threads = rows.groupby("call", sort=False)["thread"].transform("nunique") if "thread" in rows else 1
    return rows.assign(mean_s=rows["duration_s"] / np.maximum(threads, 1))


def _gathered(rows: pd.DataFrame, names: pd.Series) -> list[Operation]:
    found = [_operation(str(name), part) for name, part in rows.groupby(names, sort=False)]
    return sorted(found, key=lambda operation: -operation.seconds)


def _operation(name: str, rows: pd.DataFrame) -> Operation:
    keys = [key for key in ("call", "op", "layer", "tensor") if key in rows]
    # one layer quantises activations several times: a thread's first row belongs with the other threads' first rows
    own = rows.groupby([*keys, "thread"] if "thread" in rows else keys, sort=False, dropna=False).cumcount()
    pieces = rows.assign(turn=own).groupby([*keys, "turn"], sort=False, dropna=False)
    elapsed = float(pieces["duration_s"].max().sum())
    first = pieces.head(1)
    elements = first["shape"].map(_elements).to_numpy(dtype=np.float64) if "shape" in first else np.zeros(len(first))
    bits = first["type"].map(lambda kind: WEIGHT_BITS.get(str(kind), 0.0)) if "type" in first else 0.0
    n_eval = first["n_eval"].to_numpy(dtype=np.float64)
    # an embedding looks rows up; it multiplies nothing and reads one row a token
    multiplies = ~first["op"].isin(("embedding", "embed")).to_numpy()
    work = float(np.sum(2 * elements * n_eval * multiplies))
    weight_bytes = float(np.sum(elements * np.asarray(bits, dtype=np.float64) / 8 * multiplies))
    return Operation(name, float(rows["mean_s"].sum()), elapsed, len(first), work, weight_bytes, _counts(rows))


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
