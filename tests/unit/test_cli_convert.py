"""``q4engine convert``: what it says, and what it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Cli
from hf_folders import write_folder
from models.tiny import write_tiny


def test_mistakes_before_anything_is_read(tmp_path: Path, q4: Cli) -> None:
    (tmp_path / "m.bin").write_bytes(bytes(28))
    assert "a llama2.c checkpoint needs --tokenizer" in q4("convert", tmp_path / "m.bin", tmp_path / "o.gguf").err
    assert q4("convert", tmp_path, tmp_path / "o.gguf", "--tokenizer", tmp_path / "m.bin").code == 2
    assert "no such file or folder" in q4("convert", tmp_path / "x.bin", tmp_path / "o.gguf").err
    (tmp_path / "m.safetensors").write_bytes(bytes(28))
    assert "give the folder that it lies in" in q4("convert", tmp_path / "m.safetensors", tmp_path / "o.gguf").err
    assert q4("convert", tmp_path / "m.bin", tmp_path / "o.gguf", "--type", "q4_0").code == 2


def test_a_folder_without_config(tmp_path: Path, q4: Cli) -> None:
    failed = q4("convert", tmp_path, tmp_path / "o.gguf")
    assert (
        failed.code == 1 and failed.err == f"error: {tmp_path}/config.json: cannot be read: No such file or directory\n"
    )


def test_what_is_read_is_never_written_over(tmp_path: Path, q4: Cli) -> None:
    folder = write_folder(write_tiny(tmp_path / "tiny.gguf"), tmp_path / "tiny")
    checkpoint, tokenizer = tmp_path / "m.bin", tmp_path / "t.bin"
    checkpoint.write_bytes(bytes(28))
    tokenizer.write_bytes(bytes(9))
    (tmp_path / "link.gguf").symlink_to(folder / "model.safetensors")
    before = {path: path.read_bytes() for path in [*folder.iterdir(), checkpoint, tokenizer]}
    for words in (
        (folder, folder / "config.json"),
        (folder, tmp_path / "link.gguf"),
        (checkpoint, checkpoint, "--tokenizer", tokenizer),
        (checkpoint, tokenizer, "--tokenizer", tokenizer),
    ):
        failed = q4("convert", *words)
        assert failed.code == 1 and "is the file of the source: give another\n" in failed.err
    assert {path: path.read_bytes() for path in before} == before
    again = ("convert", folder, folder / "out.gguf")
    assert q4(*again).code == q4(*again).code == 0


def test_the_summary(tmp_path: Path, q4: Cli, shared_data: Path) -> None:
    folder = shared_data / "tinyllamas"
    out = tmp_path / "stories.gguf"
    done = q4("convert", folder / "stories260K.bin", out, "--tokenizer", folder / "tok512.bin")
    assert done.out == "" and done.err.startswith(f"{out}: 47 tensors, 1.1 MB")


def test_without_the_safetensors_package(tmp_path: Path, q4: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from q4engine.convert.weights_folder import read_weights
    from q4engine.errors import Q4Error

    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(Q4Error, match=r"needs a package: pip install 'q4engine\[convert\]'"):
        read_weights(tmp_path)
