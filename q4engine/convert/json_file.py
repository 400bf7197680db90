"""JSON files whose keys are asked for with what they must be."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown

_MOST_BYTES = 1 << 22
_MOST_SIGNS = 1 << 20  # of commas and brackets: the empty list between two of them takes 30 times their bytes
_MISSING: Any = object()


def told(value: Any) -> str:
    """A value of a file for an error line: strings in quotes, all else as JSON has it."""
    return shown(value) if isinstance(value, str) else shown(json.dumps(value, default=str))[1:-1]


def file_bytes(path: Path, most: int) -> bytes:
    """A whole file of at most so many bytes. Q4Error where it cannot be read, or is a pipe or a device."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Q4Error(f"{path}: is no regular file")
        if status.st_size > most:
            raise Q4Error(f"{path}: has more than {most >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # an integer that no float is near
        return False


class JsonObject:
    """A JSON object and where it stands. Q4Errors name file and key."""

    def __init__(self, path: Path, values: dict[str, Any], prefix: str = "") -> None:
        self.path = path
        self.values = values
        self._prefix = prefix

    @classmethod
    def read(cls, path: Path) -> JsonObject:
        """A whole file. Q4Error where it cannot be read, is no object or far larger than files of this kind are."""
        return cls.parse(path, file_bytes(path, _MOST_BYTES))

    @classmethod
    def parse(cls, path: Path, raw: bytes) -> JsonObject:
        """Of a file's content."""
        signs = sum(map(raw.count, (b",", b"[", b"{")))
        if signs > _MOST_SIGNS:
            raise Q4Error(f"{path}: has {signs} commas and brackets, expected at most {_MOST_SIGNS}")
        try:
            values = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise Q4Error(f"{path}: is no JSON: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise Q4Error(f"{path}: is no JSON object")
        return cls(path, values)

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def error(self, key: str, message: str) -> Q4Error:
        return Q4Error(f"{self.path}: key {shown(self._prefix + key)} {message}")

    def integer(self, key: str, default: int = _MISSING, least: int = 1, most: int = (1 << 31) - 1) -> int:
        value = self._value(key, default, "an integer")
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.error(key, f"is {told(value)}, expected an integer from {least} to {most}")
        return value

    def real(self, key: str, default: float = _MISSING) -> float:
        value = self._value(key, default, "a number")
        if isinstance(value, bool) or not _is_finite(value):
            raise self.error(key, f"is {told(value)}, expected a finite number")
        return float(value)

    def flag(self, key: str, default: bool = _MISSING) -> bool:
        value = self._value(key, default, "true or false")
        if not isinstance(value, bool):
            raise self.error(key, f"is {told(value)}, expected true or false")
        return value

    def string(self, key: str, default: str = _MISSING) -> str:
        value = self._value(key, default, "a string")
        if not isinstance(value, str):
            raise self.error(key, f"is {told(value)}, expected a string")
        return value

    def reals(self, key: str) -> list[float]:
        values = self.list(key)
        if not all(map(_is_finite, values)):
            raise self.error(key, "is no list of finite numbers")
        return [float(value) for value in values]

    def list(self, key: str) -> list[Any]:
        value = self._value(key, _MISSING, "a list")
        if not isinstance(value, list):
            raise self.error(key, f"is {told(value)}, expected a list")
        return value

    def object(self, key: str) -> JsonObject:
        value = self._value(key, _MISSING, "an object")
        if not isinstance(value, dict):
            raise self.error(key, f"is {told(value)}, expected an object")
        return JsonObject(self.path, value, f"{self._prefix}{key}.")

    def objects(self, key: str) -> Iterator[JsonObject]:
        """The objects of a list; none where the key is absent."""
        for index, value in enumerate(self.list(key) if key in self else []):
            if not isinstance(value, dict):
                raise self.error(key, f"has {told(value)} as element {index}, expected an object")
            yield JsonObject(self.path, value, f"{self._prefix}{key}[{index}].")

    def _value(self, key: str, default: Any, wanted: str) -> Any:
        value = self.values.get(key)
        if value is None:
            if default is _MISSING:
                raise self.error(key, f"is missing, expected {wanted}")
            return default
        return value
