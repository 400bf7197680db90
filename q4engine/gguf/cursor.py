"""A bounds-checked cursor over the mapped bytes of a GGUF file."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from q4engine import _native
from q4engine.errors import Q4Error, shown
from q4engine.gguf.types import NUMBER_DTYPES, ValueType

MAX_NAME_BYTES = 65535
"""The specification's limit for keys. Tensor names, limited to 64 bytes there, get the same: longer ones exist."""

MAX_TEXT_BYTES = 1 << 25
"""Of all names and texts of a file together, and of an array of strings: holes of a file that is none on disk are text
too. The largest known is a tokenizer.json of 33 MB as one key."""

_FORMATS: dict[ValueType, struct.Struct] = {
    ValueType.UINT8: struct.Struct("<B"),
    ValueType.INT8: struct.Struct("<b"),
    ValueType.UINT16: struct.Struct("<H"),
    ValueType.INT16: struct.Struct("<h"),
    ValueType.UINT32: struct.Struct("<I"),
    ValueType.INT32: struct.Struct("<i"),
    ValueType.FLOAT32: struct.Struct("<f"),
    ValueType.BOOL: struct.Struct("<B"),
    ValueType.UINT64: struct.Struct("<Q"),
    ValueType.INT64: struct.Struct("<q"),
    ValueType.FLOAT64: struct.Struct("<d"),
}


class Cursor:
    """Reads little-endian values one after the other; every read is checked against the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self.path = path
        self.data = data
        self.end = len(data)
        self.position = 0
        self._text_left = MAX_TEXT_BYTES

    def error(self, message: str) -> Q4Error:
        return Q4Error(f"{self.path}: {message}")

    def need(self, n_bytes: int, what: str) -> None:
        """Raise unless ``n_bytes`` more bytes are there."""
        left = self.end - self.position
        if n_bytes > left:
            raise self.error(
                f"the file ends inside {what}: {n_bytes} bytes expected at byte {self.position}, {left} left"
            )

    def number(self, kind: ValueType, what: str) -> int | float | bool:
        form = _FORMATS[kind]
        self.need(form.size, what)
        value: int | float = form.unpack_from(self.data, self.position)[0]
        self.position += form.size
        if kind is not ValueType.BOOL:
            return value
        if value > 1:
            raise self.error(f"{what} is the byte {value}, expected a bool (0 or 1)")
        return bool(value)

    def u32(self, what: str) -> int:
        return int(self.number(ValueType.UINT32, what))

    def u64(self, what: str) -> int:
        return int(self.number(ValueType.UINT64, what))

    def string(self, what: str, max_bytes: int | None = None) -> str:
        length = self.u64(f"the length of {what}")
        if max_bytes is not None and length > max_bytes:
            raise self.error(f"{what} is {length} bytes long, expected at most {max_bytes}")
        self.need(length, what)
        self._text_left -= length
        if self._text_left < 0:
            raise self.error(f"{what} is {length} bytes long, and all names and texts more than {MAX_TEXT_BYTES}")
        raw = self.data[self.position : self.position + length]
        self.position += length
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is not valid UTF-8 (at byte {error.start} of {shown(raw)})") from None

    def skip_numbers(self, kind: ValueType, count: int, what: str) -> None:
        n_bytes = count * NUMBER_DTYPES[kind].itemsize
        self.need(n_bytes, f"{what} ({count} of {kind.name})")
        self.position += n_bytes

    def skip_strings(self, count: int, what: str) -> None:
        """Walk over ``count`` strings by their lengths alone, which is what makes opening a large vocabulary fast."""
        self.need(count * 8, f"{what} ({count} strings of at least 8 bytes)")
        end = _native.skip_strings(self.data, self.position, count)
        if end < 0:
            raise self.error(f"a string of {what} runs past the end of the file ({self.end} bytes)")
        self.position = end
