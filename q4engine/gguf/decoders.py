"""Blocks of the usable tensor types to float32 in NumPy: readable, and what faster code is tested against.

Each function takes blocks as uint8 [n, bytes of a block] and gives float32 [n, weights of a block].
Block formats (ggml's, little-endian; j counts the weights of a block):

====== ===== ===== ===============================================================================
type   block bytes content
====== ===== ===== ===============================================================================
Q4_0   32    18    fp16 d; 16 bytes: low nibbles are j = 0…15, high nibbles j = 16…31; w = d·(q − 8)
Q4_1   32    20    fp16 d, fp16 m; nibbles as above; w = d·q + m
Q5_0   32    22    fp16 d; 4 bytes: bit j is the fifth bit of j; nibbles as above; w = d·(q − 16)
Q5_1   32    24    fp16 d, fp16 m; fifth bits and nibbles as above; w = d·q + m
Q8_0   32    34    fp16 d; 32 int8; w = d·q
Q2_K   256   84    16 bytes: sub-scales s low, minima m high nibbles; 64 bytes of 2 bits; fp16 d, fp16 d';
                   w = d·s[j // 16]·q − d'·m[j // 16]
Q3_K   256   110   32 bytes third bits, 64 bytes of 2 bits, 12 bytes of 6-bit sub-scales s, fp16 d;
                   w = d·(s[j // 16] − 32)·(q − 4)
Q4_K   256   144   fp16 d, fp16 d'; 12 bytes of 6-bit sub-scales s and minima m; 128 bytes nibbles;
                   w = d·s[j // 32]·q − d'·m[j // 32]
Q5_K   256   176   as Q4_K, with 32 bytes of fifth bits before the nibbles
Q6_K   256   210   128 bytes low nibbles, 64 bytes upper two bits, 16 int8 sub-scales s, fp16 d;
                   w = d·s[j // 16]·(q − 32)
IQ4_NL 32    18    fp16 d; nibbles as above; w = d·value[q]
IQ4_XS 256   136   fp16 d, 2 bytes upper two bits of the sub-scales s, 4 bytes lower four; 128 bytes nibbles;
                   w = d·(s[j // 32] − 32)·value[q]
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


def _fives(packed: np.ndarray) -> np.ndarray:
    """(n, 4 + 16) bytes, fifth bits before nibbles → (n, 32) values 0…31."""
    values: np.ndarray = _nibbles(packed[:, 4:]) | np.unpackbits(packed[:, :4], axis=1, bitorder="little") << 4
    return values


def q5_0(blocks: np.ndarray) -> np.ndarray:
    q = _fives(blocks[:, 2:]).astype(np.int8) - np.int8(16)
    weights: np.ndarray = _half(blocks, 0) * q.astype(np.float32)
    return weights


def q5_1(blocks: np.ndarray) -> np.ndarray:
    weights: np.ndarray = _half(blocks, 0) * _fives(blocks[:, 4:]).astype(np.float32)
    weights += _half(blocks, 2)
    return weights


def q8_0(blocks: np.ndarray) -> np.ndarray:
    return _half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def _runs(packed: np.ndarray, bits: int) -> np.ndarray:
    """(n, bytes) → (n, 256): of every 32 bytes the lowest ``bits`` of all, then the next ones, and so on."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
    values: np.ndarray = (packed.reshape(len(packed), -1, 1, 32) >> shifts) & np.uint8((1 << bits) - 1)
    return values.reshape(len(packed), -1)


def _scaled(q: np.ndarray, d: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """(n, 256) times the sub-scales (n, sub-blocks) under d (n, 1): (n, sub-blocks, columns of one)."""
    scaled: np.ndarray = (d * scales.astype(np.float32))[:, :, None] * q.reshape(*scales.shape, -1).astype(np.float32)
    return scaled


def _above_minima(
    q: np.ndarray, fields: tuple[np.ndarray, np.ndarray], sub: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """d·s·q − d'·m; fields: d and d', sub: s and m of each sub-block."""
    weights = _scaled(q, fields[0], sub[0])
    weights -= (fields[1] * sub[1].astype(np.float32))[:, :, None]
    return weights.reshape(len(q), 256)


def q2_k(blocks: np.ndarray) -> np.ndarray:
    sub = blocks[:, :16] & 0x0F, blocks[:, :16] >> 4
    return _above_minima(_runs(blocks[:, 16:80], 2), (_half(blocks, 80), _half(blocks, 82)), sub)


def q3_k(blocks: np.ndarray) -> np.ndarray:
    packed = blocks[:, 96:108]
    low = np.concatenate([packed[:, :8] & 0x0F, packed[:, :8] >> 4], axis=1)
    high = np.concatenate([packed[:, 8:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    scales = (low | high << 4).astype(np.int8) - np.int8(32)
    q = (_runs(blocks[:, 32:96], 2) | _runs(blocks[:, :32], 1) << 2).astype(np.int8) - np.int8(4)
    return _scaled(q, _half(blocks, 108), scales).reshape(len(blocks), 256)


def _scales_and_minima(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q4_K's and Q5_K's 12 bytes: eight of each."""
    scales, minima, low = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    return (
        np.concatenate([scales & 0x3F, low & 0x0F | scales >> 6 << 4], axis=1),
        np.concatenate([minima & 0x3F, low >> 4 | minima >> 6 << 4], axis=1),
    )


def q4_k(blocks: np.ndarray) -> np.ndarray:
    sub = _scales_and_minima(blocks[:, 4:16])
    return _above_minima(_runs(blocks[:, 16:], 4), (_half(blocks, 0), _half(blocks, 2)), sub)


def q5_k(blocks: np.ndarray) -> np.ndarray:
    sub = _scales_and_minima(blocks[:, 4:16])
    q = _runs(blocks[:, 48:], 4) | _runs(blocks[:, 16:48], 1) << 4
    return _above_minima(q, (_half(blocks, 0), _half(blocks, 2)), sub)


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


_IQ4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)


def iq4_nl(blocks: np.ndarray) -> np.ndarray:
    weights: np.ndarray = _half(blocks, 0) * _IQ4_VALUES[_nibbles(blocks[:, 2:])].astype(np.float32)
    return weights


def iq4_xs(blocks: np.ndarray) -> np.ndarray:
    n = len(blocks)
    low = np.stack([blocks[:, 4:8] & 0x0F, blocks[:, 4:8] >> 4], axis=2).reshape(n, 8)
    high = blocks[:, 2:4].copy().view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    scales = (low | high.astype(np.uint8) << 4).astype(np.int8) - np.int8(32)
    packed = blocks[:, 8:].reshape(n, 8, 16)
    q = _IQ4_VALUES[np.concatenate([packed & 0x0F, packed >> 4], axis=2).reshape(n, 256)]
    return _scaled(q, _half(blocks, 0), scales).reshape(n, 256)
