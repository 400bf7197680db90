"""A real checkpoint through import, reader and NumPy reference: the greedy text of llama2.c itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stories import convert_stories

from q4engine.gguf import GGUFFile, TensorType
from q4engine.models import read_model
from q4engine.reference import ReferenceModel

BOS = 1


def spm_text(tokens: list[str], ids: list[int]) -> str:
    pieces = []
    for index in ids:
        byte = re.fullmatch(r"<0x(..)>", tokens[index])
        pieces.append(bytes([int(byte[1], 16)]) if byte else tokens[index].replace("\u2581", " ").encode())
    return b"".join(pieces).decode().removeprefix(" ")


@pytest.mark.parametrize("kind", [TensorType.F32, TensorType.F16], ids=["f32", "f16"])
def test_greedy_text(tmp_path: Path, shared_data: Path, kind: TensorType) -> None:
    """Rounding the weights to fp16 does not change the text of this model either."""
    folder = shared_data / "tinyllamas"
    path = convert_stories(folder, tmp_path / "stories.gguf", kind)
    with GGUFFile.open(path) as file:
        session = ReferenceModel(read_model(file)[1]).session(512)
        tokens = file.metadata.strings("tokenizer.ggml.tokens")
        ids: list[int] = []
        token = BOS
        for _ in range(200):
            token = int(session.decode([token]).argmax())
            ids.append(token)
    assert spm_text(tokens, ids) == (folder / "expected_greedy_200.txt").read_text().removesuffix("\n")
