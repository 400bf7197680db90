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
from q4engine.gguf.imatrix import ImportanceMatrix
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
    unweighted: tuple[str, ...] = ()
    """Tensors that were converted, of which the importance matrix says nothing."""
    requantised: tuple[str, ...] = ()
    """Types of tensors that were quantised before and took another type."""


def quantize_file(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    target: Target,
    method: Method = "search",
    n_threads: int = 2,
    progress: Progress | None = None,
    importance: ImportanceMatrix | None = None,
) -> Summary:
    """Quantise the GGUF file ``source`` to ``out``, which appears only when it is whole.

    The bytes depend on nothing but the source, the target, the method and the importance matrix, by which the search
    weighs errors. Q4Error names the file and tensor that cannot be read, hold values that are not finite or too large,
    or cannot be written.
    """
    source, out = Path(source), Path(out)
    read = [*paths_of(source), *([importance.path] if importance else [])]
    if conflict([("the output", out)], [("the source", path) for path in read]):
        raise Q4Error(f"{out}: is the file to read, expected another name to write")
    with GGUFFile.open(source) as file:
        mixture = Mixture.of(file, target, importance is not None)
        table = [NewTensor(info.name, mixture.type_of(info), info.shape) for info in file.tensors.values()]
        for info in file.tensors.values():
            info.require_usable()
        weights = _weights(file, table, importance)
        writer = GGUFWriter(out, _metadata_pairs(file, target, importance), table, file.alignment)
        with writer, ThreadPoolExecutor(n_threads) as pool:
            for info, new in zip(file.tensors.values(), table, strict=True):
                for n_weights, piece in _convert(info, new.type, method, weights.get(info.name), pool):
                    writer.write(piece)
                    if progress is not None:
                        progress(info.name, n_weights)
            file.require_unchanged()
        return Summary(
            n_tensors=len(table),
            n_converted=sum(info.type is not new.type for info, new in zip(file.tensors.values(), table, strict=True)),
            n_bytes_before=sum(info.n_bytes for info in file.tensors.values()),
            n_bytes_after=sum(new.n_bytes for new in table),
            unweighted=tuple(name for name, found in weights.items() if found is None),
            requantised=tuple(sorted({info.type.name for info in _quantised(file, table)})),
        )


def _quantised(file: GGUFFile, table: list[NewTensor]) -> Iterator[TensorInfo]:
    """Tensors of blocks that become others."""
    for info, new in zip(file.tensors.values(), table, strict=True):
        if info.type is not new.type and info.type.block_size > 1:
            yield info


def _weights(
    file: GGUFFile, table: list[NewTensor], importance: ImportanceMatrix | None
) -> dict[str, np.ndarray | None]:
    """What an importance matrix says of each tensor that is converted. Q4Error where that is nothing at all."""
    if importance is None:
        return {}
    converted = [file.tensors[new.name] for new in table if file.tensors[new.name].type is not new.type]
    found = {info.name: importance.of(info) for info in converted}
    if found and all(weights is None for weights in found.values()):
        raise Q4Error(f"{importance.path}: has none of the {len(found)} tensors of {file.path} that are converted")
    return found


def quantize_rows(
    rows: np.ndarray, kind: TensorType, method: Method = "search", importance: np.ndarray | None = None
) -> np.ndarray:
    """Quantise float32 [rows, columns] to uint8 [rows, bytes of a row]; ``importance``: float32 [columns], above 0, at
    most 1.

    ValueError where the columns are no multiple of the block, or a value is not finite or too large for the type.
    """
    n, columns = rows.shape
    out = np.empty((n, kind.row_bytes(columns)), np.uint8)
    done = _native_quantize(np.ascontiguousarray(rows, np.float32), out, kind, method, importance)
    if done != n:
        raise ValueError(f"row {done} has a value that is not finite or too large for {kind.name}")
    return out


def _native_quantize(
    rows: np.ndarray, out: np.ndarray, kind: TensorType, method: Method, importance: np.ndarray | None
) -> int:
    from q4engine import _native  # only quantising needs it; reading works without the extension

    return _native.quantize_rows(rows, out, int(kind), rows.shape[0], rows.shape[1], method, importance)


def _metadata_pairs(file: GGUFFile, target: Target, importance: ImportanceMatrix | None) -> list[bytes]:
    """The pairs of the source, with those that tell how it is quantised put in their place or at the end."""
    told = {
        "general.file_type": uint32_pair("general.file_type", target.file_type),
        "general.quantization_version": uint32_pair("general.quantization_version", _QUANTIZATION_VERSION),
    }
    if importance is not None:
        for key, value in (("entries_count", len(importance.entries)), ("chunks_count", importance.n_chunks)):
            told[f"quantize.imatrix.{key}"] = uint32_pair(f"quantize.imatrix.{key}", value)
    kept = [key for key in file.metadata if key not in SPLIT_KEYS]  # what is written is one file
    pairs = [told.pop(key) if key in told else file.metadata.raw(key) for key in kept]
    return [*pairs, *told.values()]


def _convert(
    info: TensorInfo, kind: TensorType, method: Method, weights: np.ndarray | None, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, np.ndarray]]:
    """The bytes of a tensor in its new type, piece by piece, each with the number of its weights."""
    if info.type is kind:
        yield info.n_elements, info.data
        return
    columns = info.shape[-1]
    n_rows = info.n_elements // columns
    raw = info.data.reshape(n_rows, -1)
    step = max(1, _CHUNK_WEIGHTS // columns)
    a_matrix = n_rows if weights is None else n_rows // len(weights)  # rows of each, which no piece goes beyond
    pieces = [
        (start, min(start + step, first + a_matrix))
        for first in range(0, n_rows, a_matrix)
        for start in range(first, first + a_matrix, step)
    ]

    def convert(piece: tuple[int, int]) -> np.ndarray:
        start, end = piece
        rows = raw[start:end]
        with np.errstate(all="ignore"):  # what is not finite is an error that names its row
            values = dequantize(rows.reshape(-1), info.type, (len(rows), columns))
        out = np.empty((len(rows), kind.row_bytes(columns)), np.uint8)
        done = _native_quantize(values, out, kind, method, None if weights is None else weights[start // a_matrix])
        if done != len(rows):
            raise Q4Error(
                f"{info.path}: tensor {shown(info.name)}, row {start + done}: "
                f"a value is not finite, or too large for {kind.name}"
            )
        return out

    for done_rows in pool.map(convert, pieces):
        yield len(done_rows) * columns, done_rows
