"""Random tensor bytes: blocks of a quantised type are drawn directly, since quantising real numbers would take longer.

Only integers are drawn, and only exact float operations follow, so a seed gives the same bytes on every machine.
"""

from __future__ import annotations

import math

import numpy as np

from models.spec import TensorSpec
from q4engine.gguf.types import TensorType

_Q2_STD = math.sqrt((4**2 - 1) / 12)
_Q3_STD = math.sqrt((8**2 - 1) / 12)
_Q4_STD = math.sqrt((16**2 - 1) / 12)  # of a uniform nibble
_Q5_STD = math.sqrt((32**2 - 1) / 12)
_Q6_STD = math.sqrt((64**2 - 1) / 12)
_Q8_STD = math.sqrt((255**2 - 1) / 12)
_SUB_SCALE_RMS = 48.0
_IQ4_STD = 68.5  # of the sixteen values


def random_tensor(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    """The bytes (uint8, one row per tensor row) of a tensor whose values have about the mean and spread asked for."""
    columns = spec.shape[-1]
    count = math.prod(spec.shape)
    if spec.type.block_size == 1:
        raw = _floats(spec, count, rng)
    else:
        raw = _DRAW[spec.type](count // spec.type.block_size, spec.std, rng)
    return raw.view(np.uint8).reshape(-1, spec.type.row_bytes(columns))


def _floats(spec: TensorSpec, count: int, rng: np.random.Generator) -> np.ndarray:
    steps = rng.integers(-(1 << 15), 1 << 15, count, np.int32).astype(np.float32)
    values = np.float32(spec.mean) + steps * np.float32(spec.std * math.sqrt(3) / (1 << 15))
    if spec.type is TensorType.F16:
        return values.astype(np.float16)
    if spec.type is TensorType.BF16:
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values


def _bytes(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return np.frombuffer(rng.bytes(rows * columns), np.uint8).reshape(rows, columns)


def _scales(n_blocks: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """Block scales of 0.75 to 1.25 times ``size`` with random signs (so that the nibbles' lopsided range evens out)."""
    draw = rng.integers(0, 512, n_blocks, np.int32)
    magnitude = np.float32(size) * (np.float32(0.75) + (draw >> 1).astype(np.float32) / np.float32(512))
    return np.where(draw & 1, -magnitude, magnitude).astype(np.float16).view(np.uint8).reshape(n_blocks, 2)


def _q4_0(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    return np.hstack([_scales(n_blocks, std / _Q4_STD, rng), _bytes(rng, n_blocks, 16)])


def _q4_1(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    scale = _scales(n_blocks, std / _Q4_STD, rng)
    minimum = (scale.copy().view(np.float16).astype(np.float32) * np.float32(-7.5)).astype(np.float16)
    return np.hstack([scale, minimum.view(np.uint8), _bytes(rng, n_blocks, 16)])


def _q5_1(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    return np.hstack([*_fields(n_blocks, std / _Q5_STD, -15.5, rng), _bytes(rng, n_blocks, 4 + 16)])


def _iq4_nl(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    return np.hstack([_scales(n_blocks, std / _IQ4_STD, rng), _bytes(rng, n_blocks, 16)])


def _q5_0(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    return np.hstack([_scales(n_blocks, std / _Q5_STD, rng), _bytes(rng, n_blocks, 4 + 16)])


def _q8_0(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    q = _bytes(rng, n_blocks, 32).copy()
    q[q == 128] = 129  # -128 never occurs in real files
    return np.hstack([_scales(n_blocks, std / _Q8_STD, rng), q])


def _q6_k(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    sub_scales = rng.integers(16, 72, (n_blocks, 16), np.int8)
    sub_scales[:, ::2] *= -1
    scale = _scales(n_blocks, std / (_Q6_STD * _SUB_SCALE_RMS), rng)
    return np.hstack([_bytes(rng, n_blocks, 192), sub_scales.view(np.uint8), scale])


def _fields(n_blocks: int, std: float, ratio: float, rng: np.random.Generator) -> list[np.ndarray]:
    """d of size ``std``, and d' that is ``ratio`` times d: what puts minima where the middle of the quants is."""
    scale = _scales(n_blocks, std, rng)
    minimum = (scale.copy().view(np.float16).astype(np.float32) * np.float32(ratio)).astype(np.float16)
    return [scale, minimum.view(np.uint8)]


def _six_bits(n_blocks: int, rng: np.random.Generator) -> np.ndarray:
    """Q4_K's and Q5_K's eight scales and minima, all 32 … 63, the minimum of a sub-block near its scale."""
    scales = rng.integers(32, 60, (n_blocks, 8), np.uint8)
    minima = scales + rng.integers(0, 4, (n_blocks, 8), np.uint8)
    upper = np.hstack([scales[:, :4] | scales[:, 4:] >> 4 << 6, minima[:, :4] | minima[:, 4:] >> 4 << 6])
    return np.hstack([upper, scales[:, 4:] & 15 | minima[:, 4:] << 4])


def _q2_k(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    scales = rng.integers(8, 15, (n_blocks, 16), np.uint8)
    minima = scales + rng.integers(0, 2, (n_blocks, 16), np.uint8)
    weights = _bytes(rng, n_blocks, 64)
    return np.hstack([scales | minima << 4, weights, *_fields(n_blocks, std / (_Q2_STD * 11), 1.5, rng)])


def _q3_k(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    return np.hstack([_bytes(rng, n_blocks, 32 + 64 + 12), _scales(n_blocks, std / (_Q3_STD * 18.5), rng)])


def _q4_k(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    fields = _fields(n_blocks, std / (_Q4_STD * 47), 7.5, rng)
    return np.hstack([*fields, _six_bits(n_blocks, rng), _bytes(rng, n_blocks, 128)])


def _q5_k(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    fields = _fields(n_blocks, std / (_Q5_STD * 47), 15.5, rng)
    return np.hstack([*fields, _six_bits(n_blocks, rng), _bytes(rng, n_blocks, 32 + 128)])


def _iq4_xs(n_blocks: int, std: float, rng: np.random.Generator) -> np.ndarray:
    return np.hstack([_scales(n_blocks, std / (_IQ4_STD * 18.5), rng), _bytes(rng, n_blocks, 2 + 4 + 128)])


_DRAW = {
    TensorType.Q4_0: _q4_0,
    TensorType.Q4_1: _q4_1,
    TensorType.Q5_0: _q5_0,
    TensorType.Q5_1: _q5_1,
    TensorType.IQ4_NL: _iq4_nl,
    TensorType.Q8_0: _q8_0,
    TensorType.Q2_K: _q2_k,
    TensorType.Q3_K: _q3_k,
    TensorType.Q4_K: _q4_k,
    TensorType.Q5_K: _q5_k,
    TensorType.Q6_K: _q6_k,
    TensorType.IQ4_XS: _iq4_xs,
}
