"""``q4engine perplexity``: text and JSON say the same; mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import Cli
from models.tiny import TINY_LLAMA, write_tiny


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("It was a dark and stormy night; the rain fell in torrents. " * 8)
    return path


def test_text_and_json_say_the_same(q4: Cli, tiny: Path, text: Path, tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base.gguf", TINY_LLAMA.with_changes(seed=3))
    command = ["perplexity", tiny, "-f", text, "-c", "64", "--kl-base", base, "-t", "1"]
    data = json.loads(q4(*command, "--json").out)
    lines = q4(*command).out.splitlines()
    mean = data["perplexity"]
    assert lines[0].startswith(f"perplexity {mean['value']:.4f} +/- {mean['error']:.4f} ({data['tokens']} tokens")
    assert f"{data['base']['perplexity']['value']:.4f}" in lines[1] and str(base) in lines[1]
    assert f"{data['kl']['value']:.6f} +/- {data['kl']['error']:.6f}, largest {data['kl']['largest']:.4f}" in lines[2]
    assert f"{100 * data['same_top']['value']:.2f} %" in lines[3]
    assert data["windows"] * 31 == data["tokens"] and data["ctx"] == 64


def test_threads_and_batches_change_nothing(q4: Cli, tiny: Path, text: Path) -> None:
    command = ["perplexity", tiny, "-f", text, "-c", "64", "--windows", "2"]
    assert q4(*command, "-t", "1").out == q4(*command, "-t", "2", "-b", "7").out


def test_mistakes_are_one_line(q4: Cli, tiny: Path, text: Path, tmp_path: Path) -> None:
    short = q4("perplexity", tiny, "-p", "abc")
    assert short.code == 1 and "expected at least 512, one window" in short.err
    other = write_tiny(tmp_path / "other.gguf", TINY_LLAMA.with_changes(vocab_size=352))
    differs = q4("perplexity", tiny, "-f", text, "-c", "64", "--kl-base", other)
    assert differs.code == 1 and differs.err.startswith(f"error: {other}: has a vocabulary of 352 tokens")
    assert q4("perplexity", tiny, "-f", text, "-c", "3").code == 2
    missing = q4("perplexity", tiny, "-f", text, "-c", "64", "--kl-base", tmp_path / "none.gguf")
    assert missing.code == 1 and "no such file" in missing.err
