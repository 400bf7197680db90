"""Writes GGUF files (version 3): the same bytes on every machine, beside the target, renamed into place when whole.

Metadata pairs are bytes, mostly copied from another file as they lie there, so that a vocabulary of 150,000 strings
costs nothing to carry over.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from analysis.outputs import Output
from q4engine.errors import Q4Error
from q4engine.gguf.reader import DEFAULT_ALIGNMENT, MAGIC
from q4engine.gguf.types import NUMBER_DTYPES, TensorType, ValueType

_VERSION = 3


@dataclass(frozen=True)
class NewTensor:
    """A tensor to be written; ``shape`` in NumPy's order (rows, columns)."""

    name: str
    type: TensorType
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return self.type.row_bytes(self.shape[-1]) * math.prod(self.shape[:-1])


def pair(key: str, kind: ValueType, value: int | float | bool | str) -> bytes:
    """A metadata pair of a scalar or a string."""
    return _string(key) + struct.pack("<I", kind) + _values(kind, [value])


def array_pair(key: str, kind: ValueType, values: Sequence[int] | Sequence[float] | Sequence[str]) -> bytes:
    """A metadata pair of an array of scalars or strings."""
    return _string(key) + struct.pack("<IIQ", ValueType.ARRAY, kind, len(values)) + _values(kind, values)


def uint32_pair(key: str, value: int) -> bytes:
    """A metadata pair that holds a uint32."""
    return pair(key, ValueType.UINT32, value)


class GGUFWriter:
    """Writes the head at once, then takes the tensors' bytes in the order of the table, in pieces of any size.

    A context manager: the file takes its name when the block ends without an exception and every byte is there;
    otherwise nothing is left behind. Q4Error where the file cannot be written.
    """

    def __init__(
        self, path: Path, pairs: Sequence[bytes], table: Sequence[NewTensor], alignment: int = DEFAULT_ALIGNMENT
    ) -> None:
        self.path = path
        if path.is_dir():
            raise Q4Error(f"{path}: is a directory, expected the name of a file to write")
        if path.exists() and not path.is_file():  # the rename would put a file in a device's place
            raise Q4Error(f"{path}: is no regular file, expected the name of a file to write")
        self._alignment = alignment
        self._sizes = [tensor.n_bytes for tensor in table]
        self._current = 0
        self._left = self._sizes[0] if table else 0
        try:
            self._output = Output(path)
        except OSError as error:
            raise self._failure(error) from None
        try:
            self._put(self._head(pairs, table))
        except BaseException:
            self._output.drop()
            raise

    def write(self, data: np.ndarray | bytes) -> None:
        """The next bytes of the current tensor; the last ones are followed by padding."""
        size = data.nbytes if isinstance(data, np.ndarray) else len(data)
        if size > self._left:
            raise ValueError(f"{size} bytes given, tensor {self._current} has room for {self._left}")
        self._put(data)
        self._left -= size
        if self._left == 0:
            self._put(b"\0" * (-self._sizes[self._current] % self._alignment))
            self._current += 1
            self._left = self._sizes[self._current] if self._current < len(self._sizes) else 0

    def check(self, look: Callable[[Path], object]) -> None:
        """Lets somebody look at the file before it takes its name; a Q4Error names it by that name."""
        beside = self._output.beside
        if beside is not None:
            try:
                look(beside)
            except Q4Error as error:
                raise Q4Error(str(error).replace(str(beside), str(self.path))) from None

    def __enter__(self) -> GGUFWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._current != len(self._sizes):
                    raise ValueError(f"only {self._current} of {len(self._sizes)} tensors were written")
                self._output.keep()
        except OSError as error:
            raise self._failure(error) from None
        finally:
            self._output.drop()

    def _head(self, pairs: Sequence[bytes], table: Sequence[NewTensor]) -> bytes:
        parts = [MAGIC, struct.pack("<IQQ", _VERSION, len(table), len(pairs)), *pairs]
        offset = 0
        for tensor in table:
            dims = tuple(reversed(tensor.shape))
            parts.append(_string(tensor.name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims))
            parts.append(struct.pack("<IQ", tensor.type, offset))
            offset += tensor.n_bytes + -tensor.n_bytes % self._alignment
        parts.append(b"\0" * (-sum(map(len, parts)) % self._alignment))
        return b"".join(parts)

    def _put(self, data: np.ndarray | bytes) -> None:
        try:
            self._output.file.write(data.data if isinstance(data, np.ndarray) else data)
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error: OSError) -> Q4Error:
        return Q4Error(f"{self.path}: cannot be written: {error.strerror or error}")


def _values(kind: ValueType, values: Sequence[Any]) -> bytes:
    if kind is ValueType.STRING:
        packed = bytearray()  # an array of strings may have a million
        for text in values:
            packed += _string(text)
        return bytes(packed)
    with np.errstate(over="ignore"):  # who reads it says what is wrong with infinity
        return np.asarray(values, NUMBER_DTYPES[kind]).tobytes()


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw
