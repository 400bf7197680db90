"""llama2.c checkpoints: a real one and synthetic ones, whole and broken."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Cli
from llama2c_files import DIM, VOCAB, checkpoint, tokenizer
from stories import convert_stories

from q4engine.convert.llama2c import read_llama2c
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize_tensor


@pytest.mark.parametrize("shared", [True, False])
def test_shared_and_own_classifier(tmp_path: Path, q4: Cli, shared: bool) -> None:
    values = checkpoint(tmp_path / "m.bin", shared)
    words = tokenizer(tmp_path / "t.bin")
    out = tmp_path / "m.gguf"
    assert q4("convert", tmp_path / "m.bin", out, "--tokenizer", words).code == 0
    with GGUFFile.open(out) as file:
        assert ("output.weight" in file.tensors) is not shared
        assert np.array_equal(dequantize_tensor(file.tensor("token_embd.weight")).reshape(-1), values[: VOCAB * DIM])
        if not shared:
            assert np.array_equal(dequantize_tensor(file.tensor("output.weight")).reshape(-1), values[-VOCAB * DIM :])
        assert file.metadata.strings("tokenizer.ggml.tokens")[-3:] == ["\u2581", "a", "\u2581a"]
    assert q4("tokenize", out, "-p", "a", "--ids").out == "[1, 261]\n"
    assert q4("run", out, "-p", "a", "-n", "2", "--temp", "0", "-no-cnv").code == 0


def test_the_real_one(tmp_path: Path, shared_data: Path) -> None:
    out = convert_stories(shared_data / "tinyllamas", tmp_path / "stories.gguf")
    with GGUFFile.open(out) as file:
        meta = file.metadata
        assert len(file.tensors) == 5 * 9 + 2 and meta.integer("llama.context_length") == 512
        assert meta.strings("tokenizer.ggml.tokens")[257:261] == ["<0xFE>", "<0xFF>", "\u2581t", "he"]
        assert meta.integers("tokenizer.ggml.token_type")[:4].tolist() == [2, 3, 3, 6]
        assert {info.type for info in file.tensors.values()} == {TensorType.F32}
    half = convert_stories(shared_data / "tinyllamas", tmp_path / "half.gguf", TensorType.F16)
    with GGUFFile.open(half) as file:
        assert {info.type for info in file.tensors.values() if len(info.shape) > 1} == {TensorType.F16}
        assert file.metadata.integer("general.file_type") == 1


BROKEN_HEADERS = {
    "no heads": ({"n_heads": 0}, "its header says n_heads 0"),
    "negative width": ({"dim": -8}, "its header says dim -8"),
    "absurd layers": ({"n_layers": 1 << 30}, "its header says n_layers 1073741824"),
    "no vocabulary": ({"vocab_size": 0}, "its header says vocab_size 0"),
    "heads that do not divide": ({"n_heads": 3}, "3 heads and 1 KV heads do not divide a dim of 8"),
    "more layers than data": ({"n_layers": 3}, "bytes after its header, expected"),
    "version 1": ({"dim": 0x616B3432, "hidden_dim": 1}, "is a llama2.c checkpoint of version 1, expected"),
}


@pytest.mark.parametrize("name", BROKEN_HEADERS)
def test_broken_headers(tmp_path: Path, name: str) -> None:
    changes, expected = BROKEN_HEADERS[name]
    path = tmp_path / "m.bin"
    checkpoint(path, **changes)
    with pytest.raises(Q4Error, match=expected) as caught:
        read_llama2c(path, tokenizer(tmp_path / "t.bin"))
    assert str(caught.value).startswith(f"{path}: ")


def test_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "m.bin"
    checkpoint(path)
    whole = path.read_bytes()
    for length in (0, 10, 27, 28, len(whole) - 4, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(Q4Error, match=r"m\.bin: has \d+ bytes"):
            read_llama2c(path, tokenizer(tmp_path / "t.bin"))


TOKENIZERS = {
    "cut": ({"cut": 1}, "token 261 of 262 cannot be read"),
    "a token more": ({"more": struct.pack("<fi", 0.0, 1) + b"x"}, "has 9 bytes after token 261"),
    "a length past the end": ({"tokens": [b"x"] * 2, "more": struct.pack("<fi", 0, 1 << 30)}, "token 2 of 262"),
    "no bytes": ({"tokens": [b"x%d" % index for index in range(262)]}, "tokens 3 to 258 are not the bytes"),
    "not UTF-8": ({"tokens": [b"\xff"] * 262}, "token 0 of 262 cannot be read"),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_broken_tokenizers(tmp_path: Path, name: str) -> None:
    changes, expected = TOKENIZERS[name]
    checkpoint(tmp_path / "m.bin")
    with pytest.raises(Q4Error, match=expected):
        read_llama2c(tmp_path / "m.bin", tokenizer(tmp_path / "t.bin", **changes))


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path: Path, q4: Cli) -> None:
    values = checkpoint(tmp_path / "m.bin")
    values[5] = np.nan
    (tmp_path / "m.bin").write_bytes((tmp_path / "m.bin").read_bytes()[:28] + values.tobytes())
    (tmp_path / "out.gguf").write_bytes(b"old")
    failed = q4("convert", tmp_path / "m.bin", tmp_path / "out.gguf", "--tokenizer", tokenizer(tmp_path / "t.bin"))
    assert failed.code == 1 and "tensor 'token_embd.weight' holds a value that is not finite" in failed.err
    assert (tmp_path / "out.gguf").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 3
