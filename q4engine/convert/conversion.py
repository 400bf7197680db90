"""What every conversion comes down to: metadata pairs and tensors, each read when it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import GGUFWriter, NewTensor, pair

FLOAT_TYPES = (TensorType.F32, TensorType.F16, TensorType.BF16)
_LARGEST_F16 = 65504.0

Progress = Callable[[str, int], None]
"""Called with a tensor's name and the number of its weights that were just done."""


@dataclass(frozen=True)
class SourceTensor:
    """``name`` as in GGUF, ``read`` gives float32 of ``shape``, ``stored`` is its type in the source; ``where`` is what
    an error names."""

    name: str
    shape: tuple[int, ...]
    stored: TensorType
    read: Callable[[], np.ndarray]
    where: str


@dataclass(frozen=True)
class Conversion:
    """A model on its way: GGUF pairs without those of quantisation, tensors in the order of the file.

    ``notes``: lines for the user about what is left out.
    """

    pairs: Sequence[bytes]
    tensors: Sequence[SourceTensor]
    notes: Sequence[str] = ()


def write_gguf(out: Path, model: Conversion, kind: TensorType | None, progress: Progress | None = None) -> None:
    """Writes ``out``, which appears only when it is whole and our own reader takes it for a model.

    ``kind``: the type of matrices, None for the one that each has in the source; vectors become F32. Q4Error for a
    value that is not finite or that the type cannot hold.
    """
    table = [NewTensor(tensor.name, _type_of(tensor, kind), tensor.shape) for tensor in model.tensors]
    matrices = [new.type for new in table if len(new.shape) > 1] or [TensorType.F32]
    file_type = max(set(matrices), key=matrices.count).file_type
    pairs = [*model.pairs, pair("general.file_type", ValueType.UINT32, file_type)]
    with GGUFWriter(out, pairs, table) as writer:
        for tensor, new in zip(model.tensors, table, strict=True):
            values = tensor.read()
            if values.shape != tensor.shape:
                raise ValueError(f"{tensor.name}: read {values.shape}, expected {tensor.shape}")
            writer.write(_encoded(values, new.type, tensor.where))
            if progress is not None:
                progress(tensor.name, values.size)
        writer.check(_check_model)


def _check_model(path: Path) -> None:
    from q4engine.models import read_model
    from q4engine.tokenizer import Tokenizer

    with GGUFFile.open(path) as file:
        read_model(file)
        Tokenizer.from_gguf(file)


def _type_of(tensor: SourceTensor, kind: TensorType | None) -> TensorType:
    if len(tensor.shape) < 2:
        return TensorType.F32
    return kind or tensor.stored


def _encoded(values: np.ndarray, kind: TensorType, where: str) -> np.ndarray:
    """As the bytes of a type. BF16 is rounded to the nearest, ties to even; what came of BF16 stays as it was."""
    flat = np.ascontiguousarray(values, "<f4").reshape(-1)
    if not np.isfinite(flat).all():
        raise Q4Error(f"{where} holds a value that is not finite")
    if kind is TensorType.F16:
        if np.abs(flat).max(initial=0.0) > _LARGEST_F16:
            raise Q4Error(f"{where} holds a value that is too large for F16")
        return flat.astype("<f2").view(np.uint8)
    if kind is TensorType.BF16:
        bits = flat.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").view(np.uint8)
    if kind is not TensorType.F32:
        raise Q4Error(f"{where} cannot become {shown(kind.name)}: a conversion writes F32, F16 or BF16")
    return flat.view(np.uint8)
