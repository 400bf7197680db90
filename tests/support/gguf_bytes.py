"""Builds GGUF files byte by byte, so that a test can put any lie into any field."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


def string(text: str | bytes, length: int | None = None) -> bytes:
    """A length (the true one unless given) and the bytes."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def scalar(kind: int, value: object) -> bytes:
    return string(value) if kind == STRING else struct.pack("<" + _FORMATS[kind], value)  # type: ignore[arg-type]


def pair(key: str | bytes, kind: int, value: object) -> bytes:
    return string(key) + struct.pack("<I", kind) + scalar(kind, value)


def array(key: str, kind: int, values: list, count: int | None = None) -> bytes:
    head = string(key) + struct.pack("<IIQ", ARRAY, kind, len(values) if count is None else count)
    return head + b"".join(scalar(kind, value) for value in values)


@dataclass
class Tensor:
    name: str | bytes = "t"
    dims: tuple[int, ...] = (32, 1)  # the file's order: columns first
    type_id: int = 2
    offset: int = 0
    n_dims: int | None = None

    def row(self) -> bytes:
        n_dims = len(self.dims) if self.n_dims is None else self.n_dims
        dims = struct.pack(f"<{len(self.dims)}Q", *self.dims)
        return string(self.name) + struct.pack("<I", n_dims) + dims + struct.pack("<IQ", self.type_id, self.offset)


@dataclass
class File:
    """A valid small file unless a field says otherwise."""

    magic: bytes = b"GGUF"
    version: bytes = struct.pack("<I", 3)
    pairs: list[bytes] = field(
        default_factory=lambda: [
            pair("general.architecture", STRING, "llama"),
            pair("llama.block_count", U32, 1),
            array("tokenizer.ggml.tokens", STRING, ["a", "b", "é"]),
            array("tokenizer.ggml.scores", F32, [0.0, -1.0, -2.5]),
        ]
    )
    tensors: list[Tensor] = field(
        default_factory=lambda: [Tensor("one", (32, 2)), Tensor("two", (8,), type_id=0, offset=64)]
    )
    n_pairs: int | None = None
    n_tensors: int | None = None
    alignment: int = 32
    data_bytes: int = 96

    def build(self) -> bytes:
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_pairs = len(self.pairs) if self.n_pairs is None else self.n_pairs
        head = self.magic + self.version + struct.pack("<QQ", n_tensors, n_pairs)
        head += b"".join(self.pairs) + b"".join(tensor.row() for tensor in self.tensors)
        return head + b"\0" * (-len(head) % self.alignment) + bytes(range(self.data_bytes))
