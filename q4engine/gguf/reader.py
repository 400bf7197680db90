"""Opens a GGUF file: header, metadata and tensor table are read and checked, tensor data stays in the mapping.

Everything that a file says about itself is checked against the file before it is used, so that a broken or hostile
file ends in one Q4Error, and never in an access past the end or in an allocation larger than the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf.cursor import MAX_NAME_BYTES, Cursor
from q4engine.gguf.foreign import HEAD_BYTES, joined, what_it_is
from q4engine.gguf.mapping import MappedFile
from q4engine.gguf.metadata import GGUFArray, Metadata
from q4engine.gguf.split import check_part, other_parts
from q4engine.gguf.types import USABLE_NAMES, TensorType, ValueType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MIN_ALIGNMENT = 8  # the specification asks for a multiple of 8
MAX_ALIGNMENT = 1 << 16  # the largest page size in use; more would only be padding
MAX_DIMS = 4
# Each costs some 20 µs and 300 bytes. The largest models have some ten thousand tensors and some hundred keys.
MAX_TENSORS = 1 << 16
MAX_PAIRS = 1 << 14
_MIN_PAIR_BYTES = 8 + 1 + 4 + 1  # key length, key, value type, value
_MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8  # name length, name, n_dims, one dimension, type, offset


@dataclass(frozen=True)
class TensorInfo:
    """One row of the tensor table.

    ``shape`` is in NumPy's order (rows, columns); the file stores columns first. ``offset`` is absolute in the file.
    ``n_bytes`` is 0 where the size of the type is not known (then ``data`` is refused).
    """

    name: str
    type: TensorType
    type_id: int
    shape: tuple[int, ...]
    offset: int
    n_bytes: int
    _file: MappedFile = field(repr=False, compare=False)

    @property
    def path(self) -> Path:
        """The file that the tensor lies in."""
        return self._file.path

    @property
    def type_name(self) -> str:
        """ggml's name of the type; its number where the number is not known."""
        return str(self.type_id) if self.type is TensorType.UNKNOWN else self.type.name

    @property
    def n_elements(self) -> int:
        count = 1
        for dim in self.shape:
            count *= dim
        return count

    @property
    def data(self) -> np.ndarray:
        """The tensor's bytes: a read-only one-dimensional uint8 view on the mapping. Q4Error for unusable types."""
        self.require_usable()
        return np.frombuffer(self._file.data, np.uint8, self.n_bytes, self.offset)

    def require_usable(self) -> None:
        """Q4Error unless the engine computes with this tensor's type."""
        if not self.type.usable:
            raise Q4Error(
                f"{self._file.path}: tensor {shown(self.name)} has the unsupported type {self.type_name}, "
                f"expected {USABLE_NAMES}"
            )


class GGUFFile:
    """An open GGUF file, or all files of a model that lies in several. Use :meth:`open`; a context manager.

    Arrays and tensor data are views on the mappings. ``faults``: what an open that tolerates faults found missing, a
    line each; ``missing_bytes``: by how much the file is too short.
    """

    def __init__(self, mapped: MappedFile, tolerant: bool = False) -> None:
        self.path = mapped.path
        self._mapped = mapped
        self._parts: list[GGUFFile] = []
        self.faults: list[str] = []
        self.missing_bytes = 0
        cursor = Cursor(mapped.path, mapped.data)
        self.version, n_tensors, n_pairs = _read_header(cursor)
        self.metadata: Metadata = _read_metadata(cursor, n_pairs)
        self.alignment: int = _read_alignment(self.metadata)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(self._read_tensors(cursor, n_tensors, tolerant))

    @classmethod
    def open(cls, path: str | os.PathLike[str], tolerant: bool = False) -> GGUFFile:
        """Map and check a file, and the others where it is the first of several. Q4Error with one line that names the
        file where anything is wrong with it.

        ``tolerant``: a file that is cut short behind its head, and parts that are missing or broken, are no error; who
        looks at the head alone wants to see it then.
        """
        mapped = MappedFile(Path(path))
        try:
            file = cls(mapped, tolerant)
        except BaseException:
            mapped.close()
            raise
        try:
            file._add_parts()
        except Q4Error as error:
            if not tolerant:
                file.close()
                raise
            file.faults.append(str(error))
        except BaseException:
            file.close()
            raise
        return file

    @property
    def paths(self) -> list[Path]:
        """The files that this model lies in."""
        return [self.path, *(part.path for part in self._parts)]

    def require_unchanged(self) -> None:
        """Q4Error where a file was written to since it was opened."""
        for mapped in (self._mapped, *(part._mapped for part in self._parts)):
            mapped.require_unchanged()

    def _add_parts(self) -> None:
        """Opens the other files of a model and takes in their tensors."""
        tensors = dict(self.tensors)
        for number, path in enumerate(other_parts(self.metadata), start=1):
            if not path.exists():
                raise Q4Error(f"{path}: no such file; {self.path.name} needs it, as part {number + 1} of it")
            part = GGUFFile(MappedFile(path))
            self._parts.append(part)
            check_part(self.metadata, part.metadata, number)
            for name, info in part.tensors.items():
                if name in tensors:
                    raise Q4Error(f"{path}: tensor {shown(name)} is also in {tensors[name].path.name}")
                tensors[name] = info
        self.tensors = MappingProxyType(tensors)
        told = self.metadata.integer("split.tensors.count", len(tensors)) if self._parts else len(tensors)
        if told != len(tensors):
            raise Q4Error(
                f"{self.path}: key 'split.tensors.count' is {told}, but its {1 + len(self._parts)} files "
                f"have {len(tensors)} tensors"
            )

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> TensorInfo:
        """The tensor of that name, or a Q4Error where it is missing or has another shape than the one expected."""
        info = self.tensors.get(name)
        if info is None:
            raise Q4Error(f"{self.path}: tensor {shown(name)} is missing")
        if shape is not None and info.shape != shape:
            raise Q4Error(f"{self.path}: tensor {shown(name)} has shape {info.shape}, expected {shape}")
        return info

    def close(self) -> None:
        """Unmap the file; views that are still alive keep the mapping until they go."""
        for part in self._parts:
            part.close()
        self._mapped.close()

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_tensors(self, cursor: Cursor, n_tensors: int, tolerant: bool) -> dict[str, TensorInfo]:
        if n_tensors * _MIN_TENSOR_BYTES > cursor.end - cursor.position:
            raise cursor.error(f"the header says {n_tensors} tensors, more than a file of {cursor.end} bytes can hold")
        if n_tensors > MAX_TENSORS:
            raise cursor.error(f"the header says {n_tensors} tensors, expected at most {MAX_TENSORS}")
        rows = [_read_tensor_row(cursor, index) for index in range(n_tensors)]
        data_start = -(-cursor.position // self.alignment) * self.alignment
        tensors: dict[str, TensorInfo] = {}
        for row in rows:
            if row.name in tensors:
                raise cursor.error(f"tensor {shown(row.name)} occurs twice")
            tensors[row.name] = self._place(cursor, row, data_start)
        _refuse_overlaps(cursor, tensors)
        past = [info for info in tensors.values() if info.offset + max(info.n_bytes, 1) > cursor.end]
        if past:
            self.missing_bytes = max(info.offset + max(info.n_bytes, 1) for info in past) - cursor.end
            info = past[0]
            fault = (
                f"tensor {shown(info.name)} of shape {info.shape} ({info.type_name}) lies at bytes {info.offset} "
                f"to {info.offset + info.n_bytes}, past the end of the file ({cursor.end} bytes); "
                f"{self.missing_bytes} bytes are missing{joined(self.path)}"
            )
            if not tolerant:
                raise cursor.error(fault)
            self.faults.append(f"{self.path}: {fault}")
        return tensors

    def _place(self, cursor: Cursor, row: _TensorRow, data_start: int) -> TensorInfo:
        """Check one tensor's size and place against its type."""
        what = f"tensor {shown(row.name)}"
        kind = TensorType(row.type_id) if row.type_id in _TYPE_IDS else TensorType.UNKNOWN
        if row.offset % self.alignment:
            raise cursor.error(f"{what} has the offset {row.offset}, expected a multiple of {self.alignment}")
        n_bytes = 0
        if kind.block_size:
            columns = row.shape[-1]
            if columns % kind.block_size:
                raise cursor.error(
                    f"{what} has {columns} columns, expected a multiple of {kind.block_size} for {kind.name}"
                )
            n_bytes = kind.row_bytes(columns)
            for dim in row.shape[:-1]:
                n_bytes *= dim
        return TensorInfo(row.name, kind, row.type_id, row.shape, data_start + row.offset, n_bytes, self._mapped)


@dataclass(frozen=True)
class _TensorRow:
    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int  # from the start of the data section


_TYPE_IDS = frozenset(int(kind) for kind in TensorType if kind is not TensorType.UNKNOWN)
_VALUE_TYPE_IDS = frozenset(int(kind) for kind in ValueType)


def _read_header(cursor: Cursor) -> tuple[int, int, int]:
    """Version, number of tensors, number of metadata pairs."""
    cursor.need(8, "the header")
    magic = cursor.data[:4]
    if magic != MAGIC:
        known = what_it_is(cursor.path, cursor.data[:HEAD_BYTES])
        raise cursor.error(known or f"starts with the bytes {magic!r}, expected {MAGIC!r} (is this a GGUF file?)")
    cursor.position = 4
    version = cursor.u32("the version")
    if version not in VERSIONS:
        if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, *VERSIONS):
            raise cursor.error("is a big-endian GGUF file, expected a little-endian one")
        raise cursor.error(f"has the GGUF version {version}, expected 2 or 3")
    return version, cursor.u64("the number of tensors"), cursor.u64("the number of metadata pairs")


def _read_metadata(cursor: Cursor, n_pairs: int) -> Metadata:
    if n_pairs * _MIN_PAIR_BYTES > cursor.end - cursor.position:
        raise cursor.error(f"the header says {n_pairs} metadata pairs, more than a file of {cursor.end} bytes can hold")
    if n_pairs > MAX_PAIRS:
        raise cursor.error(f"the header says {n_pairs} metadata pairs, expected at most {MAX_PAIRS}")
    values: dict[str, Any] = {}
    types: dict[str, ValueType] = {}
    spans: dict[str, slice] = {}
    for index in range(n_pairs):
        start = cursor.position
        key = cursor.string(f"the key of metadata pair {index}", MAX_NAME_BYTES)
        if not key:
            raise cursor.error(f"the key of metadata pair {index} is empty")
        if key in values:
            raise cursor.error(f"key {shown(key)} occurs twice")
        types[key] = kind = _read_value_type(cursor, f"key {shown(key)}")
        values[key] = _read_value(cursor, key, kind)
        spans[key] = slice(start, cursor.position)
    return Metadata(cursor.path, values, types, spans, cursor.data)


def _read_value_type(cursor: Cursor, what: str) -> ValueType:
    type_id = cursor.u32(f"the type of {what}")
    if type_id not in _VALUE_TYPE_IDS:
        raise cursor.error(f"{what} has the unknown value type {type_id}, expected 0 to {max(_VALUE_TYPE_IDS)}")
    return ValueType(type_id)


def _read_value(cursor: Cursor, key: str, kind: ValueType) -> Any:
    what = f"key {shown(key)}"
    if kind is ValueType.STRING:
        return cursor.string(what)
    if kind is not ValueType.ARRAY:
        return cursor.number(kind, what)
    element = _read_value_type(cursor, f"the elements of {what}")
    if element is ValueType.ARRAY:
        raise cursor.error(f"{what} is an array of arrays, expected an array of numbers or strings")
    count = cursor.u64(f"the length of {what}")
    start = cursor.position
    if element is ValueType.STRING:
        cursor.skip_strings(count, what)
    else:
        cursor.skip_numbers(element, count, what)
    return GGUFArray(cursor.path, key, element, count, cursor.data, start)


def _read_alignment(metadata: Metadata) -> int:
    alignment = metadata.integer("general.alignment", DEFAULT_ALIGNMENT)
    if not MIN_ALIGNMENT <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise Q4Error(
            f"{metadata.path}: key 'general.alignment' is {alignment}, "
            f"expected a power of two from {MIN_ALIGNMENT} to {MAX_ALIGNMENT}"
        )
    return alignment


def _read_tensor_row(cursor: Cursor, index: int) -> _TensorRow:
    name = cursor.string(f"the name of tensor {index}", MAX_NAME_BYTES)
    if not name:
        raise cursor.error(f"the name of tensor {index} is empty")
    what = f"tensor {shown(name)}"
    n_dims = cursor.u32(f"the number of dimensions of {what}")
    if not 1 <= n_dims <= MAX_DIMS:
        raise cursor.error(f"{what} has {n_dims} dimensions, expected 1 to {MAX_DIMS}")
    dims = [cursor.u64(f"dimension {axis} of {what}") for axis in range(n_dims)]
    if 0 in dims:
        raise cursor.error(f"{what} has the dimensions {dims}, expected none to be 0")
    type_id = cursor.u32(f"the type of {what}")
    offset = cursor.u64(f"the offset of {what}")
    return _TensorRow(name, tuple(reversed(dims)), type_id, offset)


def _refuse_overlaps(cursor: Cursor, tensors: dict[str, TensorInfo]) -> None:
    previous: TensorInfo | None = None
    for info in sorted(tensors.values(), key=lambda info: (info.offset, info.n_bytes)):
        if previous is not None and info.offset < previous.offset + previous.n_bytes:
            raise cursor.error(
                f"tensor {shown(info.name)} at byte {info.offset} overlaps tensor {shown(previous.name)} "
                f"at bytes {previous.offset} to {previous.offset + previous.n_bytes}"
            )
        previous = info
