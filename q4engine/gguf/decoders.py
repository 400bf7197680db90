"""Blocks of the usable tensor types to float32 in NumPy: readable, and what faster code is tested against.

Each function takes blocks as uint8 [n, bytes of a block] and gives float32 [n, weights of a block].
Block formats (ggml's, little-endian; j counts the weights of a block):

====== ===== ===== ===============================================================================
type   block bytes content
====== ===== ===== ===============================================================================
Q4_0   32    18    fp16 d; 16 bytes: low nibbles are j = 0…15, high nibbles j = 16…31; w = d·(q − 8)
Q4_1   32    20    fp16 d, fp16 m; nibbles as above; w = d·q + m
Q5_0   32    22    fp16 d; 4 bytes: bit j is the fifth bit of j; nibbles as above; w = d·(q − 16)
Q8_0   32    34    fp16 d; 32 int8; w = d·q
Q6_K   256   210   128 bytes low nibbles, 64 bytes upper two bits, 16 int8 sub-scales s, fp16 d;
                   w = d·s[j // 16]·(q − 32)
====== ===== ===== ===============================================================================
"""

from __future__ import annotations

import numpy as np


def f32(blocks: np.ndarray) -> np.ndarray:
    values: np.ndarray = blocks.view("<f4")
    return values


def f16(blocks: np.ndarray) -> np.ndarray:
    return blocks.view("<f2").astype(np.float32)


def bf16(blocks: np.ndarray) -> np.ndarray:
    return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32


def _half(blocks: np.ndarray, offset: int) -> np.ndarray:
    """The fp16 field at a byte offset of every block, as float32 of shape (n, 1)."""
    return blocks[:, offset : offset + 2].copy().view("<f2").astype(np.float32)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """(n, 16) bytes → (n, 32) values 0…15: all low nibbles, then all high ones."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=1)


def q4_0(blocks: np.ndarray) -> np.ndarray:
    q = _nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8)
    return _half(blocks, 0) * q.astype(np.float32)


def q4_1(blocks: np.ndarray) -> np.ndarray:
    weights: np.ndarray = _half(blocks, 0) * _nibbles(blocks[:, 4:]).astype(np.float32)
    weights += _half(blocks, 2)
    return weights


def q5_0(blocks: np.ndarray) -> np.ndarray:
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little")
    q = (_nibbles(blocks[:, 6:]) | (fifth << 4)).astype(np.int8) - np.int8(16)
    weights: np.ndarray = _half(blocks, 0) * q.astype(np.float32)
    return weights


def q8_0(blocks: np.ndarray) -> np.ndarray:
    return _half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def q6_k(blocks: np.ndarray) -> np.ndarray:
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
