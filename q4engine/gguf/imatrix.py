"""Importance matrices: how much the columns of each weight matter, from the activations that met them.

As llama.cpp's ``llama-imatrix`` writes them, in GGUF or in the older form of its own. Both hold sums of squares over
the tokens of a text, a number a column of each matrix; a tensor of several matrices (experts) has them one after the
other.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf.mapping import MappedFile
from q4engine.gguf.reader import MAGIC, MAX_TENSORS, GGUFFile, TensorInfo
from q4engine.gguf.types import TensorType

_SUMS, _COUNTS = ".in_sum2", ".counts"
_MAX_NAME = 1 << 10
_LEAST = np.float32(2.0**-20)
"""Of the largest importance: a column that no text has met still counts a little."""


@dataclass(frozen=True)
class ImportanceMatrix:
    """``entries``: mean squares by the tensor's name, float32, finite and not negative. ``n_chunks``: of the text."""

    path: Path
    entries: Mapping[str, np.ndarray]
    n_chunks: int

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ImportanceMatrix:
        """Read a file of either form. Q4Error with one line that names what is wrong with it."""
        path = Path(path)
        mapped = MappedFile(path)
        try:
            if mapped.data[:4] != MAGIC:
                entries, n_chunks = _read_legacy(path, mapped.data)
                return cls(path, entries, n_chunks)
        finally:
            mapped.close()
        with GGUFFile.open(path) as file:
            return cls(path, _read_gguf(file), file.metadata.integer("imatrix.chunk_count", 0))

    def of(self, info: TensorInfo) -> np.ndarray | None:
        """How much the columns of a tensor count: float32 [matrices or 1, columns] above 0, at most 1.

        None where the file says nothing of it; Q4Error where what it says is of another width.
        """
        values = self.entries.get(info.name)
        if values is None:
            return None
        columns = info.shape[-1]
        matrices = int(np.prod(info.shape[:-2], dtype=np.int64))
        if values.size not in (columns, columns * matrices):
            raise Q4Error(
                f"{self.path}: {shown(info.name)} has {values.size} columns, expected {columns * matrices} "
                f"as {info.path.name} has"
            )
        rows = values.reshape(-1, columns)
        most = rows.max(axis=1, keepdims=True)
        shares = np.divide(rows, most, out=np.ones_like(rows), where=most > 0)
        weights: np.ndarray = np.maximum(shares, _LEAST)
        return weights


def _read_gguf(file: GGUFFile) -> dict[str, np.ndarray]:
    kind = file.metadata.get("general.type")
    if kind != "imatrix":
        raise Q4Error(f"{file.path}: key 'general.type' is {shown(kind)}, expected 'imatrix'")
    entries = {}
    for full, info in file.tensors.items():
        name = full.removesuffix(_SUMS)
        if name != full:
            entries[name] = _means(name, info, file.tensor(name + _COUNTS))
        elif full.endswith(_COUNTS):
            file.tensor(full.removesuffix(_COUNTS) + _SUMS)
        else:
            raise Q4Error(f"{file.path}: tensor {shown(full)} is neither of sums ({_SUMS}) nor of counts ({_COUNTS})")
    if not entries:
        raise Q4Error(f"{file.path}: has no entries")
    return entries


def _means(name: str, sums_info: TensorInfo, counts_info: TensorInfo) -> np.ndarray:
    """Sums over counts, of which there is one a matrix; 1 where nothing was counted (experts that nothing chose)."""
    path, sums, counts = sums_info.path, _floats(sums_info), _floats(counts_info)
    if not counts.size or sums.size % counts.size:
        raise Q4Error(f"{path}: {shown(name)} has {sums.size} sums and {counts.size} counts, expected one a matrix")
    _check(path, name, counts, "count")
    _check(path, name, sums, "sum")
    rows, each = sums.reshape(counts.size, -1), counts.reshape(-1, 1)
    with np.errstate(over="ignore"):
        means: np.ndarray = np.divide(rows, each, out=np.ones_like(rows), where=each > 0).reshape(-1)
    _check(path, name, means, "mean")
    return means


def _floats(info: TensorInfo) -> np.ndarray:
    if info.type is not TensorType.F32:
        raise Q4Error(f"{info.path}: tensor {shown(info.name)} is {info.type_name}, expected F32")
    return info.data.view(np.float32)


def _check(path: Path, name: str, values: np.ndarray, what: str) -> None:
    wrong = np.flatnonzero(~((values >= 0) & (values < np.inf)))
    if wrong.size:
        found = values[wrong[0]]
        raise Q4Error(f"{path}: {shown(name)}: {what} {wrong[0]} is {found}, expected a number of at least 0")


def _read_legacy(path: Path, data: mmap.mmap) -> tuple[dict[str, np.ndarray], int]:
    """int32 number of entries; for each int32 length and name, int32 calls, int32 number of values, float32 values,
    which are means times the calls. Behind them, in newer files, the number of chunks and the name of the text."""
    reader = _Legacy(path, data)
    n_entries = reader.number("the number of entries", 1, MAX_TENSORS)
    entries = {}
    for index in range(n_entries):
        where = f"entry {index + 1} of {n_entries}"
        name = reader.take(reader.number(f"{where}: the length of its name", 1, _MAX_NAME), where)
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise Q4Error(f"{path}: {where}: its name is no UTF-8") from None
        if text in entries:
            raise Q4Error(f"{path}: {where}: {shown(text)} is there twice")
        n_calls = reader.number(f"{where}: the number of calls", 0)
        n_values = reader.number(f"{where}: the number of values", 1)
        values = np.frombuffer(reader.take(4 * n_values, where), "<f4").astype(np.float32)
        _check(path, text, values, "value")
        entries[text] = values / np.float32(max(n_calls, 1))
    return entries, reader.number("the number of chunks", 0) if reader.left else 0


class _Legacy:
    """Little-endian numbers and bytes, one after the other."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path, self._data, self._at = path, data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, n: int, where: str) -> bytes:
        if n > self.left:
            raise Q4Error(f"{self._path}: {where}: {n} bytes are needed, {self.left} are left of the file")
        self._at += n
        return self._data[self._at - n : self._at]

    def number(self, what: str, least: int, most: int = 2**31 - 1) -> int:
        value: int = struct.unpack("<i", self.take(4, what))[0]
        if not least <= value <= most:
            raise Q4Error(f"{self._path}: {what} is {value}, expected {least} to {most}: this is no importance matrix")
        return value
