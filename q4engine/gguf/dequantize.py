"""Dequantisation of the usable tensor types to float32 in NumPy: readable, and what faster code is tested against.

Block formats (ggml's, little-endian; j counts the weights of a block):

====== ===== ===== ===============================================================================
type   block bytes content
====== ===== ===== ===============================================================================
Q4_0   32    18    fp16 d; 16 bytes: low nibbles are j = 0…15, high nibbles j = 16…31; w = d·(q − 8)
Q4_1   32    20    fp16 d, fp16 m; nibbles as above; w = d·q + m
Q8_0   32    34    fp16 d; 32 int8; w = d·q
Q6_K   256   210   128 bytes low nibbles, 64 bytes upper two bits, 16 int8 sub-scales s, fp16 d;
                   w = d·s[j // 16]·(q − 32)
====== ===== ===== ===============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from q4engine.errors import Q4Error
from q4engine.gguf.reader import TensorInfo
from q4engine.gguf.types import TensorType

_CHUNK_WEIGHTS = 1 << 20
"""Weights decoded at a time, so that the temporaries of a large embedding stay in the megabytes."""


def dequantize(raw: np.ndarray, kind: TensorType, shape: tuple[int, ...]) -> np.ndarray:
    """Decode a tensor's bytes (uint8) to float32 of ``shape`` (rows, columns).

    Q4Error where the type is not one of the seven usable ones, or the bytes do not fit type and shape.
    """
    if not kind.usable:
        raise Q4Error(f"tensor type {kind.name} cannot be decoded, expected F32, F16, BF16, Q4_0, Q4_1, Q8_0 or Q6_K")
    columns = shape[-1] if shape else 0
    expected = kind.row_bytes(columns) * math.prod(shape[:-1])
    if not columns or columns % kind.block_size or raw.dtype != np.uint8 or raw.size != expected:
        raise Q4Error(f"{raw.size} bytes ({raw.dtype}) do not hold a {kind.name} tensor of shape {shape}")
    blocks = np.ascontiguousarray(raw).reshape(-1, kind.block_bytes)
    out = np.empty((len(blocks), kind.block_size), np.float32)
    step = max(1, _CHUNK_WEIGHTS // kind.block_size)
    for start in range(0, len(blocks), step):
        out[start : start + step] = _DECODERS[kind](blocks[start : start + step])
    return out.reshape(shape)


def dequantize_tensor(info: TensorInfo) -> np.ndarray:
    """A tensor of an open file as float32."""
    return dequantize(info.data, info.type, info.shape)


def _f32(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = blocks.view("<f4")
    return values


def _f16(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f2").astype(np.float32)


def _bf16(blocks: np.ndarray) -> np.ndarray:
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32


def _half(blocks: np.ndarray, offset: int) -> np.ndarray:
    """The fp16 field at a byte offset of every block, as float32 of shape (n, 1)."""
    return blocks[:, offset : offset + 2].copy().view("<f2").astype(np.float32)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """(n, 16) bytes → (n, 32) values 0…15: all low nibbles, then all high ones."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=1)


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    q = _nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8)
    return _half(blocks, 0) * q.astype(np.float32)


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    weights: np.ndarray = _half(blocks, 0) * _nibbles(blocks[:, 4:]).astype(np.float32)
    weights += _half(blocks, 2)
    return weights


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    return _half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    """A super-block is two halves of 128 weights; in each, four runs of 32 share 64 low and 32 upper bytes."""
    n = len(blocks)
    low = blocks[:, 0:128].reshape(n, 2, 1, 64)
    low = np.concatenate([low & 0x0F, low >> 4], axis=2).reshape(n, 2, 4, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    high = (blocks[:, 128:192].reshape(n, 2, 1, 32) >> shifts) & 3
    q = (low | (high << 4)).astype(np.int8) - np.int8(32)
    sub_scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    scales = _half(blocks, 208) * sub_scales  # (n, 16), one for every 16 weights
    weights: np.ndarray = scales[:, :, None] * q.reshape(n, 16, 16).astype(np.float32)
    return weights.reshape(n, 256)


_DECODERS: dict[TensorType, Callable[[np.ndarray], np.ndarray]] = {
    TensorType.F32: _f32,
    TensorType.F16: _f16,
    TensorType.BF16: _bf16,
    TensorType.Q4_0: _q4_0,
    TensorType.Q4_1: _q4_1,
    TensorType.Q8_0: _q8_0,
    TensorType.Q6_K: _q6_k,
}
