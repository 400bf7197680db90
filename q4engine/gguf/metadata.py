"""Metadata of a GGUF file: a mapping of plain Python values, arrays decoded only when asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf.cursor import MAX_TEXT_BYTES
from q4engine.gguf.types import FLOAT_TYPES, INTEGER_TYPES, NUMBER_DTYPES, ValueType

_U64 = struct.Struct("<Q")
_T = TypeVar("_T", int, float, str, bool)
_REQUIRED: Any = object()


class _Kind(NamedTuple):
    """What a Python value is in GGUF, and which types of a file it may replace."""

    name: str
    stored: ValueType
    accepted: frozenset[ValueType]


_KINDS = {
    bool: _Kind("a bool", ValueType.BOOL, frozenset({ValueType.BOOL})),
    int: _Kind("an integer", ValueType.INT64, INTEGER_TYPES),
    float: _Kind("a float", ValueType.FLOAT64, FLOAT_TYPES),
    str: _Kind("a string", ValueType.STRING, frozenset({ValueType.STRING})),
}


class GGUFArray:
    """An array of the metadata, still lying in the mapped file; its bounds were checked when the file was opened."""

    def __init__(self, path: Path, key: str, kind: ValueType, count: int, data: Any, offset: int) -> None:
        self.path = path
        self.key = key
        self.type = kind
        self._count = count
        self._data = data
        self._offset = offset

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"GGUFArray({self.key!r}, {self.type.name}, {self._count})"

    def to_list(self, limit: int | None = None) -> list[Any]:
        """All elements (or the first ``limit``) as Python values. Q4Error where a string is not UTF-8, or all are
        longer than those of any model."""
        count = self._count if limit is None else min(limit, self._count)
        if self.type is not ValueType.STRING:
            values = self.to_numpy()[:count]
            plain: list[Any] = (values.astype(bool) if self.type is ValueType.BOOL else values).tolist()
            return plain
        strings: list[str] = []
        data, position, unpack = self._data, self._offset, _U64.unpack_from
        last = position + 8 * count + MAX_TEXT_BYTES
        try:
            for _ in range(count):
                start = position + 8
                position = start + unpack(data, position)[0]
                if position > last:
                    raise Q4Error(f"{self.path}: key {shown(self.key)} has strings of more than {MAX_TEXT_BYTES} bytes")
                strings.append(data[start:position].decode("utf-8"))
        except UnicodeDecodeError as error:
            where = f"string {len(strings)} of key {shown(self.key)}"
            raise Q4Error(
                f"{self.path}: {where} is not valid UTF-8 (at byte {error.start} of {shown(error.object)})"
            ) from None
        return strings

    def to_numpy(self) -> np.ndarray:
        """A read-only, zero-copy view of an array of numbers (a bool is a uint8). Q4Error for strings."""
        if self.type is ValueType.STRING:
            raise Q4Error(f"{self.path}: key {shown(self.key)} is an array of strings, expected numbers")
        return np.frombuffer(self._data, NUMBER_DTYPES[self.type], self._count, self._offset)


class Metadata(Mapping[str, Any]):
    """Key → value. Scalars are int, float, bool or str, arrays are :class:`GGUFArray`.

    The typed getters raise one Q4Error that names file and key where the key is absent (and no default is given)
    or has another type than asked for.
    """

    def __init__(
        self, path: Path, values: dict[str, Any], types: dict[str, ValueType], spans: dict[str, slice], data: Any
    ) -> None:
        self.path = path
        self._values = values
        self._types = types
        self._spans = spans
        self._data = data

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def override(self, key: str, value: int | float | bool | str) -> None:
        """Sets a value as if the file had it. Q4Error where the file's is of another kind."""
        kind = _KINDS.get(type(value))
        if kind is None:
            raise self._error(
                key, f"cannot be {shown(repr(value))[1:-1]}, expected an integer, a number, a truth or a text"
            )
        found = self._types.get(key)
        if found is not None and found not in kind.accepted:
            raise self._error(key, f"is of type {found.name}, which {kind.name} cannot replace")
        self._values[key], self._types[key] = value, kind.stored

    def type_of(self, key: str) -> ValueType:
        """The stored type of a key (ARRAY for arrays)."""
        return self._types[key]

    def raw(self, key: str) -> bytes:
        """The pair as it lies in the file: key, type and value. What a copy of the file writes."""
        raw: bytes = self._data[self._spans[key]]
        return raw

    def integer(self, key: str, default: int = _REQUIRED) -> int:
        return self._typed(key, default, INTEGER_TYPES, "an integer")

    def real(self, key: str, default: float = _REQUIRED) -> float:
        """A float; integers are taken too, NaN and infinities are refused."""
        value = float(self._typed(key, default, FLOAT_TYPES | INTEGER_TYPES, "a float"))
        if not np.isfinite(value):
            raise self._error(key, f"is {value}, expected a finite number")
        return value

    def string(self, key: str, default: str = _REQUIRED) -> str:
        return self._typed(key, default, {ValueType.STRING}, "a string")

    def flag(self, key: str, default: bool = _REQUIRED) -> bool:
        return self._typed(key, default, {ValueType.BOOL}, "a bool")

    def string_array(self, key: str) -> GGUFArray:
        """An array of strings, not decoded yet."""
        return self._array(key, {ValueType.STRING}, "strings")

    def strings(self, key: str) -> list[str]:
        """A whole array of strings."""
        return self.string_array(key).to_list()

    def integers(self, key: str) -> np.ndarray:
        """A whole array of integers, zero-copy."""
        return self._array(key, INTEGER_TYPES, "integers").to_numpy()

    def reals(self, key: str) -> np.ndarray:
        """A whole array of floats, zero-copy."""
        return self._array(key, FLOAT_TYPES, "floats").to_numpy()

    def _typed(self, key: str, default: _T, accepted: set[ValueType] | frozenset[ValueType], wanted: str) -> _T:
        if key not in self._values:
            if default is _REQUIRED:
                raise self._error(key, f"is missing, expected {wanted}")
            return default
        kind = self._types[key]
        if kind not in accepted:
            raise self._error(key, f"is of type {kind.name}, expected {wanted}")
        value: _T = self._values[key]
        return value

    def _array(self, key: str, accepted: set[ValueType] | frozenset[ValueType], wanted: str) -> GGUFArray:
        if key not in self._values:
            raise self._error(key, f"is missing, expected an array of {wanted}")
        value = self._values[key]
        if not isinstance(value, GGUFArray):
            raise self._error(key, f"is of type {self._types[key].name}, expected an array of {wanted}")
        if value.type not in accepted:
            raise self._error(key, f"is an array of {value.type.name}, expected an array of {wanted}")
        return value

    def _error(self, key: str, message: str) -> Q4Error:
        return Q4Error(f"{self.path}: key {shown(key)} {message}")
