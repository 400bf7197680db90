"""NumPy dequantisation against the gguf package's, for every usable type."""

from __future__ import annotations

import gguf
import gguf.quants
import numpy as np
import pytest

from q4engine.errors import Q4Error
from q4engine.gguf.dequantize import dequantize
from q4engine.gguf.types import USABLE_TYPES, TensorType


def finite_blocks(kind: TensorType, n_blocks: int, seed: int = 1) -> np.ndarray:
    """Random bytes, with the scale fields replaced by finite values of both signs."""
    rng = np.random.default_rng(seed)
    if kind in (TensorType.F32, TensorType.F16, TensorType.BF16):
        values = rng.standard_normal(n_blocks).astype(np.float32)
        if kind is TensorType.BF16:
            return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        return values.astype(np.float32 if kind is TensorType.F32 else np.float16).view(np.uint8)
    blocks = rng.integers(0, 256, (n_blocks, kind.block_bytes), np.uint8)
    halves = {
        TensorType.Q4_0: [0],
        TensorType.Q4_1: [0, 2],
        TensorType.Q5_0: [0],
        TensorType.Q5_1: [0, 2],
        TensorType.IQ4_NL: [0],
        TensorType.Q8_0: [0],
        TensorType.Q2_K: [80, 82],
        TensorType.Q3_K: [108],
        TensorType.Q4_K: [0, 2],
        TensorType.Q5_K: [0, 2],
        TensorType.Q6_K: [208],
        TensorType.IQ4_XS: [0],
    }[kind]
    for offset in halves:
        blocks[:, offset : offset + 2] = rng.standard_normal((n_blocks, 1)).astype(np.float16).view(np.uint8)
    return blocks.reshape(-1)


@pytest.mark.parametrize("kind", sorted(USABLE_TYPES), ids=lambda kind: kind.name)
def test_equals_the_gguf_package(kind: TensorType) -> None:
    rows, columns = 7, 3 * kind.block_size
    raw = finite_blocks(kind, rows * 3)
    ours = dequantize(raw, kind, (rows, columns))
    theirs = gguf.quants.dequantize(raw.reshape(rows, -1), gguf.GGMLQuantizationType(int(kind)))
    assert ours.shape == (rows, columns)
    assert ours.dtype == np.float32
    assert np.array_equal(ours, theirs.reshape(rows, columns))


def test_more_than_one_chunk_equals_its_parts() -> None:
    rows, columns = 1100, 1024  # a little more than the chunk of 2^20 weights
    raw = finite_blocks(TensorType.Q4_0, rows * columns // 32)
    whole = dequantize(raw, TensorType.Q4_0, (rows, columns))
    last = dequantize(raw.reshape(rows, -1)[-1], TensorType.Q4_0, (1, columns))
    assert np.array_equal(whole[-1:], last)


@pytest.mark.parametrize(
    ("kind", "n_bytes", "shape"),
    [
        (TensorType.Q4_0, 17, (1, 32)),
        (TensorType.Q4_0, 18, (2, 32)),
        (TensorType.Q4_0, 18, (1, 33)),
        (TensorType.Q5_0, 21, (1, 32)),
        (TensorType.Q6_K, 210, (8, 32)),
        (TensorType.F32, 4, ()),
        (TensorType.Q5_K, 176, (1, 128)),
        (TensorType.IQ4_XS, 135, (1, 256)),
        (TensorType.IQ1_S, 50, (1, 256)),
    ],
)
def test_bytes_that_do_not_fit_are_refused(kind: TensorType, n_bytes: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(Q4Error, match=kind.name):
        dequantize(np.zeros(n_bytes, np.uint8), kind, shape)
