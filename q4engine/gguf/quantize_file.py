"""Quantises a GGUF file: matrices to types (mixtures.py says which), metadata carried over as it is.

What has its type already is copied, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from analysis.outputs import conflict
from q4engine.errors import Q4Error, shown
from q4engine.gguf.dequantize import dequantize
from q4engine.gguf.mixtures import Mixture, Target
from q4engine.gguf.reader import GGUFFile, TensorInfo
from q4engine.gguf.split import KEYS as SPLIT_KEYS
from q4engine.gguf.split import paths_of
from q4engine.gguf.types import TensorType
from q4engine.gguf.write import GGUFWriter, NewTensor, uint32_pair

Method = Literal["search", "reference"]
Progress = Callable[[str, int], None]
"""Called with a tensor's name and the number of its weights that were just done."""


_QUANTIZATION_VERSION = 2  # of the block formats, which have not changed since ggml's second edition of them
_CHUNK_WEIGHTS = 1 << 19  # weights that a thread takes at a time: 2 MB as float32


@dataclass(frozen=True)
class Summary:
    """What was written."""

    n_tensors: int
    n_converted: int
    n_bytes_before: int
    n_bytes_after: int


def quantize_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    target: Target,
    method: Method = "search",
    n_threads: int = 2,
    progress: Progress | None = None,
) -> Summary:
    """Quantise the GGUF file ``source`` to ``out``, which appears only when it is whole.

    The bytes depend on nothing but the source, the target and the method. Q4Error names the file and tensor that
    cannot be read, hold values that are not finite or too large, or cannot be written.
    """
    source, out = Path(source), Path(out)
    if conflict([("the output", out)], [("the source", path) for path in paths_of(source)]):
        raise Q4Error(f"{out}: is the file to read, expected another name to write")
    with GGUFFile.open(source) as file:
        mixture = Mixture.of(file, target)
        table = [NewTensor(info.name, mixture.type_of(info), info.shape) for info in file.tensors.values()]
        for info in file.tensors.values():
            info.require_usable()
        writer = GGUFWriter(out, _metadata_pairs(file, target), table, file.alignment)
        with writer, ThreadPoolExecutor(n_threads) as pool:
            for info, new in zip(file.tensors.values(), table, strict=True):
                for n_weights, piece in _convert(info, new.type, method, pool):
                    writer.write(piece)
                    if progress is not None:
                        progress(info.name, n_weights)
            file.require_unchanged()
        return Summary(
            n_tensors=len(table),
            n_converted=sum(info.type is not new.type for info, new in zip(file.tensors.values(), table, strict=True)),
            n_bytes_before=sum(info.n_bytes for info in file.tensors.values()),
            n_bytes_after=sum(new.n_bytes for new in table),
        )


def quantize_rows(rows: np.ndarray, kind: TensorType, method: Method = "search") -> np.ndarray:
    """Quantise float32 [rows, columns] to uint8 [rows, bytes of a row].

    ValueError where the columns are no multiple of the block, or a value is not finite or too large for the type.
    """
    n, columns = rows.shape
    out = np.empty((n, kind.row_bytes(columns)), np.uint8)
    done = _native_quantize(np.ascontiguousarray(rows, np.float32), out, kind, method)
    if done != n:
        raise ValueError(f"row {done} has a value that is not finite or too large for {kind.name}")
    return out


def _native_quantize(rows: np.ndarray, out: np.ndarray, kind: TensorType, method: Method) -> int:
    from q4engine import _native  # only quantising needs it; reading works without the extension

    return _native.quantize_rows(rows, out, int(kind), rows.shape[0], rows.shape[1], method)


def _metadata_pairs(file: GGUFFile, target: Target) -> list[bytes]:
    """The pairs of the source, with the two that tell how it is quantised put in their place or at the end."""
    told = {
        "general.file_type": uint32_pair("general.file_type", target.file_type),
        "general.quantization_version": uint32_pair("general.quantization_version", _QUANTIZATION_VERSION),
    }
    kept = [key for key in file.metadata if key not in SPLIT_KEYS]  # what is written is one file
    pairs = [told.pop(key) if key in told else file.metadata.raw(key) for key in kept]
    return [*pairs, *told.values()]


def _convert(
    info: TensorInfo, kind: TensorType, method: Method, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, np.ndarray]]:
    """The bytes of a tensor in its new type, piece by piece, each with the number of its weights."""
    if info.type is kind:
        yield info.n_elements, info.data
        return
    columns = info.shape[-1]
    n_rows = info.n_elements // columns
    raw = info.data.reshape(n_rows, -1)
    step = max(1, _CHUNK_WEIGHTS // columns)

    def convert(start: int) -> np.ndarray:
        rows = raw[start : start + step]
        with np.errstate(all="ignore"):  # what is not finite is an error that names its row
            values = dequantize(rows.reshape(-1), info.type, (len(rows), columns))
        out = np.empty((len(rows), kind.row_bytes(columns)), np.uint8)
        done = _native_quantize(values, out, kind, method)
        if done != len(rows):
            raise Q4Error(
                f"{info.path}: tensor {shown(info.name)}, row {start + done}: "
                f"a value is not finite, or too large for {kind.name}"
            )
        return out

    for piece in pool.map(convert, range(0, n_rows, step)):
        yield len(piece) * columns, piece
