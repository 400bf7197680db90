"""SentencePiece models, byte by byte."""

from __future__ import annotations

import struct

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPM = ["<unk>", "<s>", "</s>", *BYTES, "\u2581", "a", "b", "ab", "\u2581a"]
SCORES = [0.0] * 259 + [-5.0, -6.0, -7.0, -1.0, -2.0]


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def piece(text: str, score: float, kind: int) -> bytes:
    raw = message(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score)
    return message(1, raw + varint(3 << 3) + varint(kind))


AS_IT_IS = varint(4 << 3) + varint(False)  # spaces are kept


def pieces(model_type: int = 2, dummy_prefix: bool = True, trainer: bytes = b"", normalizer: bytes = AS_IT_IS) -> bytes:
    types = [2, 3, 3] + [6] * 256 + [1] * 5
    raw = b"".join(piece(*words) for words in zip(SPM, SCORES, types, strict=True))
    raw += message(2, varint(3 << 3) + varint(model_type) + trainer)
    return raw + message(3, varint(3 << 3) + varint(dummy_prefix) + normalizer)
