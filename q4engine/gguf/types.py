"""GGUF's metadata value types and tensor types as tables.

Source of the facts: the GGUF specification (ggml/docs/gguf.md) and ggml's type traits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Self

import numpy as np

from q4engine.gguf import decoders

Decoder = Callable[[np.ndarray], np.ndarray]
"""Blocks as uint8 [n, bytes of a block] to float32 [n, weights of a block]."""


class ValueType(IntEnum):
    """Type of a metadata value, as stored in the file (uint32)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


NUMBER_DTYPES: dict[ValueType, np.dtype] = {
    ValueType.UINT8: np.dtype("u1"),
    ValueType.INT8: np.dtype("i1"),
    ValueType.UINT16: np.dtype("<u2"),
    ValueType.INT16: np.dtype("<i2"),
    ValueType.UINT32: np.dtype("<u4"),
    ValueType.INT32: np.dtype("<i4"),
    ValueType.FLOAT32: np.dtype("<f4"),
    ValueType.BOOL: np.dtype("u1"),
    ValueType.UINT64: np.dtype("<u8"),
    ValueType.INT64: np.dtype("<i8"),
    ValueType.FLOAT64: np.dtype("<f8"),
}
"""How each fixed-size value lies in the file. A bool is one byte, 0 or 1."""

INTEGER_TYPES = frozenset(
    {
        ValueType.UINT8,
        ValueType.INT8,
        ValueType.UINT16,
        ValueType.INT16,
        ValueType.UINT32,
        ValueType.INT32,
        ValueType.UINT64,
        ValueType.INT64,
    }
)
FLOAT_TYPES = frozenset({ValueType.FLOAT32, ValueType.FLOAT64})


class TensorType(IntEnum):
    """ggml's tensor types, a row each: number, weights and bytes of a block. Those that the engine computes with have
    also ``general.file_type`` of a model that is mostly of the type, and what decodes the blocks.

    The native core computes with the same ones (native/types). Numbers that ggml has withdrawn keep their names, but
    have no size.
    """

    block_size: int
    """Weights in a block; 0 where the size of the type is not known."""
    block_bytes: int
    """Bytes of a block; 0 where the size of the type is not known."""
    file_type: int
    decode: Decoder | None

    def __new__(
        cls,
        number: int,
        block_size: int = 0,
        block_bytes: int = 0,
        file_type: int = -1,
        decode: Decoder | None = None,
    ) -> Self:
        kind = int.__new__(cls, number)
        kind._value_ = number
        kind.block_size, kind.block_bytes = block_size, block_bytes
        kind.file_type, kind.decode = file_type, decode
        return kind

    UNKNOWN = -1
    F32 = 0, 1, 4, 0, decoders.f32
    F16 = 1, 1, 2, 1, decoders.f16
    Q4_0 = 2, 32, 18, 2, decoders.q4_0
    Q4_1 = 3, 32, 20, 3, decoders.q4_1
    Q4_2 = 4
    Q4_3 = 5
    Q5_0 = 6, 32, 22, 8, decoders.q5_0
    Q5_1 = 7, 32, 24, 9, decoders.q5_1
    Q8_0 = 8, 32, 34, 7, decoders.q8_0
    Q8_1 = 9, 32, 40
    Q2_K = 10, 256, 84, 10, decoders.q2_k
    Q3_K = 11, 256, 110, 12, decoders.q3_k
    Q4_K = 12, 256, 144, 15, decoders.q4_k
    Q5_K = 13, 256, 176, 17, decoders.q5_k
    Q6_K = 14, 256, 210, 18, decoders.q6_k
    Q8_K = 15, 256, 292
    IQ2_XXS = 16, 256, 66
    IQ2_XS = 17, 256, 74
    IQ3_XXS = 18, 256, 98
    IQ1_S = 19, 256, 50
    IQ4_NL = 20, 32, 18, 25, decoders.iq4_nl
    IQ3_S = 21, 256, 110
    IQ2_S = 22, 256, 82
    IQ4_XS = 23, 256, 136, 30, decoders.iq4_xs
    I8 = 24, 1, 1
    I16 = 25, 1, 2
    I32 = 26, 1, 4
    I64 = 27, 1, 8
    F64 = 28, 1, 8
    IQ1_M = 29, 256, 56
    BF16 = 30, 1, 2, 32, decoders.bf16
    Q4_0_4_4 = 31
    Q4_0_4_8 = 32
    Q4_0_8_8 = 33
    TQ1_0 = 34, 256, 54
    TQ2_0 = 35, 256, 66
    IQ4_NL_4_4 = 36
    IQ4_NL_4_8 = 37
    IQ4_NL_8_8 = 38
    MXFP4 = 39, 32, 17
    NVFP4 = 40, 64, 36
    Q1_0 = 41, 128, 18

    @property
    def usable(self) -> bool:
        """Whether the engine computes with tensors of this type."""
        return self.decode is not None

    def row_bytes(self, columns: int) -> int:
        """Bytes of one row of ``columns`` weights (a multiple of the block size)."""
        return columns // self.block_size * self.block_bytes


USABLE_TYPES = tuple(kind for kind in TensorType if kind.usable)
USABLE_NAMES = ", ".join(kind.name for kind in USABLE_TYPES[:-1]) + f" or {USABLE_TYPES[-1].name}"
"""For messages that say what is expected."""
