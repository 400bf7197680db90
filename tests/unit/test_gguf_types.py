"""The tensor types' rows against the gguf package's and the native core's, number by number."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from q4engine import _native
from q4engine.errors import Q4Error
from q4engine.gguf import decoders
from q4engine.gguf.dequantize import dequantize
from q4engine.gguf.mixtures import TARGETS
from q4engine.gguf.types import USABLE_NAMES, USABLE_TYPES, TensorType


def test_rows_equal_the_gguf_package() -> None:
    """Names, numbers and sizes of every type that the package knows; types that it has withdrawn have no size."""
    for kind in gguf.GGMLQuantizationType:
        ours = TensorType(int(kind))
        assert (ours.name, ours.block_size, ours.block_bytes) == (kind.name, *gguf.GGML_QUANT_SIZES[kind])
    withdrawn = {kind for kind in TensorType if kind.block_size == 0}
    assert withdrawn.isdisjoint(int(kind) for kind in gguf.GGMLQuantizationType)
    assert not any(kind.usable for kind in withdrawn)


def test_file_types_equal_the_gguf_package() -> None:
    for kind in USABLE_TYPES:
        name = gguf.LlamaFileType(kind.file_type).name
        assert name.removeprefix("ALL_").removeprefix("MOSTLY_").removesuffix("_M") == kind.name


def test_usable_rows_equal_the_native_core() -> None:
    ours = [(kind.name, int(kind), kind.block_size, kind.block_bytes) for kind in USABLE_TYPES]
    assert [row[:4] for row in _native.tensor_types()] == ours
    written = {name for name, *_, quantizes in _native.tensor_types() if quantizes}
    assert {target.type.name for target in TARGETS.values()} | {"Q6_K"} <= written


def test_each_row_has_its_own_decoder() -> None:
    assert {kind: kind.decode for kind in USABLE_TYPES} == {
        kind: getattr(decoders, kind.name.lower()) for kind in USABLE_TYPES
    }


@pytest.mark.parametrize("kind", [TensorType.TQ2_0, TensorType.Q4_2, TensorType.UNKNOWN], ids=lambda kind: kind.name)
def test_other_types_are_refused_by_name(kind: TensorType) -> None:
    with pytest.raises(Q4Error, match=f"tensor type {kind.name} cannot be decoded, expected {USABLE_NAMES}"):
        dequantize(np.zeros(66, np.uint8), kind, (1, 256))
    assert all(name in USABLE_NAMES for name, *_ in _native.tensor_types())
