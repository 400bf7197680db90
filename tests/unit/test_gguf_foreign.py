"""Files that are something else, made by what makes them, are named with the way out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Cli

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 91721024\n"
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x06\x12\x04main"  # the version, who wrote it, and the graph


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"abc")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.gguf"), io.BytesIO())
    return file.getvalue()


def safetensors() -> bytes:
    save = pytest.importorskip("safetensors.numpy").save
    return bytes(save({"w": np.zeros((4, 4), np.float32)}))


def saved_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(9))
    return file.getvalue()


KINDS: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "a page": (b"<!DOCTYPE html>\n<html><head>", "is an HTML page, expected a GGUF file: a page was saved in "),
    "a page behind blanks": (b"\xef\xbb\xbf\n  <HTML lang='en'>\n", "is an HTML page, "),
    "a pointer": (POINTER % 7, "is a Git LFS pointer, expected a GGUF file: `git lfs pull` gets "),
    "safetensors": (safetensors, "is a safetensors file, expected a GGUF file: `q4engine convert` makes one of"),
    "gzip": (gzip.compress(b"GGUF"), "is compressed by gzip, expected a GGUF file: unpack it: gunzip"),
    "bzip2": (bz2.compress(b"GGUF"), "is compressed by bzip2, "),
    "xz": (lzma.compress(b"GGUF"), "is compressed by xz, "),
    "zip": (zipped("model.gguf"), "is a zip archive, expected a GGUF file: unpack it"),
    "a checkpoint": (zipped("archive/data.pkl"), "is a checkpoint of PyTorch's, a zip archive with pickles, "),
    "a pickle": (pickle.dumps({"weight": [1.0] * 9}, 2), "is a pickle, as older checkpoints of PyTorch are, "),
    "a newer pickle": (pickle.dumps({"weight": [1.0] * 9}), "is a pickle, "),
    "tar": (tarred(), "is a tar archive, "),
    "ONNX": (ONNX, "is an ONNX model, expected a GGUF file: get the model in GGUF"),
    "an array": (saved_array, "is an array of NumPy's, "),
    "ggjt": (b"tjgg\x03\x00\x00\x00" + bytes(60), "is a model of the time before GGUF (ggjt), "),
    "a word": (b"Entry not found\n", "is a text that begins with 'Entry not found', expected a GGUF file: "),
    "JSON": (b'{"error": "Invalid username or password."}', "is a text that begins with "),
    "a cut character": (("é" * 800).encode()[:1023], "is a text that begins with "),
    "nothing known": (b"GGML" + bytes(range(256)), "starts with the bytes b'GGML', expected b'GGUF'"),
}  # fmt: skip


def refusal(path: Path) -> str:
    with pytest.raises(Q4Error) as caught:
        GGUFFile.open(path)
    assert str(caught.value).startswith(f"{path}: ") and str(caught.value).isprintable()
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind(tmp_path: Path, kind: str) -> None:
    content, message = KINDS[kind]
    path = tmp_path / "model.gguf"
    path.write_bytes(content if isinstance(content, bytes) else content())
    assert refusal(path).startswith(message)


def test_pieces(tmp_path: Path, tiny: Path) -> None:
    """Of `split`, whatever the names: the first ends too early, the others begin anywhere."""
    whole = tiny.read_bytes()
    middle = len(whole) // 2
    for first, second in (
        ("a.gguf.part1of2", "a.gguf.part2of2"),
        ("a.gguf-split-a", "a.gguf-split-b"),
        ("a.gguf.001", "a.gguf.002"),
    ):
        (tmp_path / first).write_bytes(whole[:middle])
        (tmp_path / second).write_bytes(bytes([255]) + whole[middle:])
        piece = "a piece of a file that was cut up"
        assert refusal(tmp_path / first).endswith(
            f" bytes are missing; by its name it is {piece}: join all of them in order: cat"
        )
        assert refusal(tmp_path / second).startswith(f"is {piece}, expected a GGUF file: join all")
    (tmp_path / "model-q4_0.gguf").write_bytes(whole[:-100])
    assert refusal(tmp_path / "model-q4_0.gguf").endswith(" 100 bytes are missing")


def test_where_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(Path("https://huggingface.co/a/b/resolve/main/m.gguf")).startswith(
        "is an address, expected a file: "
    )
    assert refusal(Path("bartowski/SmolLM2-135M-Instruct-GGUF:Q4_0")).endswith(
        "; a model of that name on Hugging Face: -hf bartowski/SmolLM2-135M-Instruct-GGUF:Q4_0"
    )
    for name in ("m.gguf", "models/m.gguf", "/nowhere/m", "a/b/c"):
        assert refusal(Path(name)) == "no such file"
    (tmp_path / "models").mkdir()
    assert refusal(Path("models/m")) == "no such file"
    assert refusal(Path("models")) == "is a directory, expected a GGUF file"
    (tmp_path / "models" / "model.safetensors").write_bytes(b"")
    assert refusal(Path("models")).endswith("expected a GGUF file: `q4engine convert` makes one of it")
    (tmp_path / "models" / "m.gguf").write_bytes(b"")
    assert refusal(Path("models")).endswith("expected a GGUF file, as 'm.gguf' in it")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-p", "a"),
        ("run",),
        ("bench",),
        ("inspect",),
        ("quantize", "out.gguf"),
        ("perplexity", "-p", "a"),
        ("tokenize", "-p", "a"),
        ("fingerprint",),
        ("explain",),
        ("tune",),
    ],
)
def test_each_command(q4: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.gguf").write_bytes(POINTER % 7)
    result = q4(words[0], "model.gguf", *words[1:])
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: model.gguf: is a Git LFS pointer, ") and result.err.count("\n") == 1
    assert not Path("out.gguf").exists()
