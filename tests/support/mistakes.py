"""Calls of the native module with a mistake somewhere in their arguments."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
from models.tiny import MIXED_TYPES, TINY_QWEN2, write_tiny

from q4engine import _native
from q4engine.engine import Engine
from q4engine.kv_forms import KVForm

REFUSALS = (
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    BufferError,
    KeyError,
    IndexError,
)  # Unicode errors are ValueErrors
SPEC = TINY_QWEN2.with_changes(dim=256, head_dim=32, n_heads=8, types=MIXED_TYPES)
INTEGERS = [
    0,
    1,
    -1,
    2,
    31,
    33,
    255,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    1 << 60,
    (1 << 63) - 1,
    1 << 64,
    -(1 << 63),
]
NO_INTEGERS = [1.5, float("nan"), float("inf"), 1e300, None, "x", "\ud800", b"x", "", (), [], {}, "matmul", "a\0b"]
ARRAYS = [np.zeros(3, np.uint8), np.zeros(0, np.float32), np.zeros((4, 4))[:, ::2], np.zeros(401, np.uint8)[1:]]
ANYTHING = [*INTEGERS, *NO_INTEGERS, *ARRAYS]


def model_arguments(folder: Path, n_threads: int = 2, kv_form: KVForm = "f16") -> dict[str, Any]:
    """What the engine gives ``_native.Model`` for a tiny model of every type; ``_engine`` keeps the mapping."""
    seen: dict[str, Any] = {}

    def model(**given: Any) -> Any:
        seen.update(given)
        return real(**given)

    real = _native.Model
    _native.Model = model  # type: ignore[assignment,misc]
    try:
        path = write_tiny(folder / "synthetic-tiny.gguf", SPEC)
        seen["_engine"] = Engine.load(path, n_threads=n_threads, kv_form=kv_form)
    finally:
        _native.Model = real  # type: ignore[misc]
    return seen


def with_a_mistake(value: Any, rng: random.Random) -> Any:
    """A copy with one thing changed somewhere inside."""
    if isinstance(value, dict) and value:
        changed = dict(value)
        key = rng.choice(list(value))
        if rng.random() < 0.05:
            del changed[key]
        else:
            changed[key] = with_a_mistake(value[key], rng)
        return changed
    if isinstance(value, (list, tuple)) and value and rng.random() < 0.9:
        items = list(value)
        at = rng.randrange(len(items))
        chance = rng.random()
        if chance < 0.05:
            del items[at]
        elif chance < 0.1:
            items.append(items[at])
        elif chance < 0.15:
            items[at] = rng.choice(ANYTHING)
        else:
            items[at] = with_a_mistake(items[at], rng)
        return type(value)(items)
    if isinstance(value, np.ndarray) and rng.random() < 0.7:
        bits = value.copy()
        bits.view(np.uint8)[rng.randrange(bits.nbytes)] ^= 1 << rng.randrange(8)
        return rng.choice([value[:-1], value[::2], value.astype(np.float64), np.concatenate([value, value]), bits])
    if isinstance(value, int) and rng.random() < 0.6:
        return value + rng.choice([-2, -1, 1, 2, 16, 32, 64])
    return rng.choice(ANYTHING)
