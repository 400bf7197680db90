"""Bytes a token from a GGUF header, written here byte by byte, and broken ones."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from analysis import model_bytes
from analysis.errors import AnalysisError

F32, Q4_0, Q8_0 = 0, 2, 8


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _gguf(tensors: dict[str, tuple[tuple[int, ...], int]], *, version: int = 3, kv_heads: int = 2) -> bytes:
    """A GGUF header of shapes (fastest dimension first) and types, with enough bytes behind it for the tensors."""
    numbers = {"block_count": 3, "attention.head_count": 4, "attention.head_count_kv": kv_heads, "embedding_length": 64}
    entries = [_string(f"llama.{key}") + struct.pack("<II", 4, value) for key, value in numbers.items()]
    entries.append(_string("tokens") + struct.pack("<IIQ", 9, 8, 2) + _string("a") + _string("bc"))
    entries.append(_string("scores") + struct.pack("<IIQ", 9, 6, 2) + struct.pack("<ff", 1, 2))
    table = [
        _string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}QIQ", *shape, kind, 0)
        for name, (shape, kind) in tensors.items()
    ]
    head = b"GGUF" + struct.pack("<IQQ", version, len(table), len(entries))
    return head + b"".join(entries) + b"".join(table) + bytes(100_000)


def test_bytes_per_token_of_a_model_file(tmp_path: Path) -> None:
    untied = {"token_embd.weight": ((64, 100), Q8_0), "blk.0.w": ((64, 32), Q4_0), "output.weight": ((64, 100), F32)}
    (tmp_path / "synthetic.gguf").write_bytes(_gguf(untied))
    found = model_bytes.read(tmp_path / "synthetic.gguf")
    assert found.weights == 64 * 32 // 32 * 18 + 64 * 100 * 4
    assert found.kv == 2 * 3 * 2 * 16 * 2
    tied = {name: tensor for name, tensor in untied.items() if name != "output.weight"}
    (tmp_path / "synthetic-tied.gguf").write_bytes(_gguf(tied, version=2))
    assert model_bytes.read(tmp_path / "synthetic-tied.gguf").weights == 64 * 32 // 32 * 18 + 64 * 100 // 32 * 34


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends early"),
        (b"GGML" + bytes(100), "magic"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(100), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "cannot be"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62), "cannot be"),
        (_gguf({"w": ((64, 64), 99)}), "unknown type 99"),
        (_gguf({"w": ((1 << 40, 64), F32)}), "larger than the file"),
        (_gguf({"w": ((64,) * 4, F32)})[:200], "ends early|passes the end"),
    ],
)
def test_broken_model_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "synthetic-broken.gguf"
    path.write_bytes(data)
    with pytest.raises(AnalysisError, match=message):
        model_bytes.read(path)
