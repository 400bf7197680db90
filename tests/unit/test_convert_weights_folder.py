"""Safetensors whose heads lie, and checkpoints that are pickles: one line each."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import Cli
from safetensors.numpy import save_file

from q4engine.convert.pickles import refuse_pickle
from q4engine.convert.weights_folder import read_weights
from q4engine.errors import Q4Error
from q4engine.gguf import TensorType


def head(tensors: dict[str, Any]) -> bytes:
    raw = json.dumps(tensors).encode()
    return struct.pack("<Q", len(raw)) + raw


def one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **changes}}


def refusal(folder: Path) -> str:
    with pytest.raises(Q4Error) as caught:
        read_weights(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_types(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5], [0.0, 3.0]], np.float32)
    save_file({"single": values, "half": values.astype(np.float16)}, tmp_path / "a.safetensors")
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    content = head({"brain": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}) + raw
    (tmp_path / "b.safetensors").write_bytes(content)
    found = read_weights(tmp_path)
    assert {name: tensor.type for name, tensor in found.items()} == {
        "single": TensorType.F32,
        "half": TensorType.F16,
        "brain": TensorType.BF16,
    }
    assert all(np.array_equal(tensor.read(), values) for tensor in found.values())


LIES = {
    "nothing": b"",
    "a cut number": b"\x10\0\0",
    "a head longer than the file": struct.pack("<Q", 1 << 20) + b"{}",
    "a head longer than anything": struct.pack("<Q", (1 << 64) - 1) + b"{}",
    "no JSON": struct.pack("<Q", 4) + b"nope",
    "offsets past the end": head(one(data_offsets=[0, 16])) + bytes(15),
    "bytes that no tensor has": head(one()) + bytes(20),
    "offsets that are not the shape's": head(one(shape=[3, 2])) + bytes(16),
    "a shape that overflows": head(one(shape=[1 << 40, 1 << 40])) + bytes(16),
    "a negative shape": head(one(shape=[-2, -2])) + bytes(16),
    "offsets the wrong way round": head(one(data_offsets=[16, 0])) + bytes(16),
    "an unknown type": head(one(dtype="F7")) + bytes(16),
    "tensors that overlap": head(one() | {"b": one()["a"]}) + bytes(16),
}


@pytest.mark.parametrize("name", LIES)
def test_heads_that_lie(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(LIES[name])
    assert refusal(tmp_path).startswith(f"{path}: is no whole safetensors file: ")
    path.write_bytes(head(one(dtype="\x1b[2J" * 50_000)))
    assert len(said := refusal(tmp_path)) < 1000 + len(str(path)) and said.isprintable()


def test_types_that_are_none_of_ours(tmp_path: Path) -> None:
    save_file({"a": np.zeros((2, 2), np.int64)}, tmp_path / "model.safetensors")
    assert "tensor 'a' is I64, expected F32, F16, BF16" in refusal(tmp_path)


def test_a_tensor_in_two_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_file({"x": np.zeros(2, np.float32)}, tmp_path / f"{name}.safetensors")
    assert "tensor 'x' is also in a.safetensors" in refusal(tmp_path)
    save_file({"y": np.zeros(2, np.float32)}, tmp_path / "model.safetensors")
    assert list(read_weights(tmp_path)) == ["y"]


def test_no_weights(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: has no *.safetensors"
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    assert "pytorch_model.bin is a pickle, which can run code when it is opened" in refusal(tmp_path)


def test_pickles_are_refused_unopened(tmp_path: Path, q4: Cli) -> None:
    for protocol in range(2, 6):
        path = tmp_path / f"{protocol}.pt"
        path.write_bytes(pickle.dumps({"w": [1.0]}, protocol))
        with pytest.raises(Q4Error, match="is a pickle, which can run code when it is opened"):
            refuse_pickle(path)
    archive = tmp_path / "model.pth"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("archive/data.pkl", pickle.dumps({}))
    refused = q4("convert", archive, tmp_path / "o.gguf", "--tokenizer", archive)
    assert refused.code == 1 and "is a zip archive, as PyTorch writes pickles" in refused.err
