"""Dequantisation of tensors of the usable types to float32 in NumPy."""

from __future__ import annotations

import math

import numpy as np

from q4engine.errors import Q4Error
from q4engine.gguf.reader import TensorInfo
from q4engine.gguf.types import USABLE_NAMES, TensorType

_CHUNK_WEIGHTS = 1 << 20
"""Weights decoded at a time, so that the temporaries of a large embedding stay in the megabytes."""


def dequantize(raw: np.ndarray, kind: TensorType, shape: tuple[int, ...]) -> np.ndarray:
    """Decode a tensor's bytes (uint8) to float32 of ``shape`` (rows, columns).

    Q4Error where the type is not one of the usable ones, or the bytes do not fit type and shape.
    """
    if kind.decode is None:
        raise Q4Error(f"tensor type {kind.name} cannot be decoded, expected {USABLE_NAMES}")
    columns = shape[-1] if shape else 0
    expected = kind.row_bytes(columns) * math.prod(shape[:-1])
    if not columns or columns % kind.block_size or raw.dtype != np.uint8 or raw.size != expected:
        raise Q4Error(f"{raw.size} bytes ({raw.dtype}) do not hold a {kind.name} tensor of shape {shape}")
    blocks = np.ascontiguousarray(raw).reshape(-1, kind.block_bytes)
    out = np.empty((len(blocks), kind.block_size), np.float32)
    step = max(1, _CHUNK_WEIGHTS // kind.block_size)
    for start in range(0, len(blocks), step):
        out[start : start + step] = kind.decode(blocks[start : start + step])
    return out.reshape(shape)


def dequantize_tensor(info: TensorInfo) -> np.ndarray:
    """A tensor of an open file as float32."""
    return dequantize(info.data, info.type, info.shape)
