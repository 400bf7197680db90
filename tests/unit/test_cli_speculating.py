"""--lookup and --draft of ``run``: q4engine.cli.speculating."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import Cli
from models.tiny import TINY_LLAMA, write_tiny


@pytest.mark.parametrize("sampling", [["--temp", 0], ["--temp", 0.8, "-s", 3]])
@pytest.mark.parametrize("source", ["lookup", "draft"])
def test_the_text_is_the_same_and_the_summary_counts_guesses(
    q4: Cli, tiny: Path, tmp_path: Path, sampling: list[object], source: str
) -> None:
    draft = write_tiny(tmp_path / "synthetic-draft.gguf", TINY_LLAMA.with_changes(n_layers=1, dim=32, n_ffn=32))
    words = ["run", tiny, "-p", "abcabcabc", "-n", 40, "-t", 1, "--no-chat", "--ignore-eos", *sampling]
    guessing = ["--lookup", 2] if source == "lookup" else ["--draft", draft, "-td", 1, "--draft-max", 3]
    plain, guessed = q4(*words), q4(*words, *guessing)
    assert plain.code == guessed.code == 0 and guessed.out == plain.out
    assert "guesses were right" in guessed.err and "guesses" not in plain.err
    data = json.loads(q4(*words, *guessing, "--json").out)
    assert data["text"] == json.loads(q4(*words, "--json").out)["text"]
    assert 0 <= data["speculation"]["accepted"] <= data["speculation"]["drafted"]
    assert data["speculation"]["calls"] > 0


def test_what_a_dear_draft_may_be_worth_is_said_once(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    draft = write_tiny(tmp_path / "synthetic-draft.gguf", TINY_LLAMA.with_changes(n_layers=1, dim=32, n_ffn=32))
    words = ["run", tiny, "-p", "abcabcabc", "-n", 40, "-t", 1, "--no-chat", "--ignore-eos", "--temp", 0]
    same = q4(*words, "--draft", tiny, "-td", 1, "--draft-max", 3)
    assert same.code == 0 and same.out == q4(*words).out and "0 of 0 guesses were right" in same.err
    assert [line for line in same.err.splitlines() if "bytes" in line] == [
        f"note: a token of {tiny.name} reads 1.00 of the bytes that one of {tiny.name} reads: 3 guesses a call, all of "
        "them right, make it 1.00 x as fast at most"
    ]
    assert "bytes" not in q4(*words, "--draft", draft, "-td", 1).err


def test_mistakes_are_one_line(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    words = ["run", tiny, "-p", "a", "-n", 2]
    assert q4(*words, "--draft", 8).err.splitlines()[-1] == (
        "error: --draft 8: there is no such model; how many tokens are guessed says --draft-max"
    )
    missing = q4(*words, "--draft", tmp_path / "nowhere.gguf")
    assert missing.code == 1 and missing.err.count("error:") == 1 and "no such file" in missing.err
    both = q4(*words, "--draft", tiny, "--lookup", 2)
    assert both.code == 2 and "not allowed with" in both.err
    assert q4(*words, "--lookup", 0).code == 2
    alone = q4(*words, "-td", 1)
    assert alone.code == 2 and "--threads-draft needs --draft" in alone.err
    alone = q4(*words, "--draft-max", 3)
    assert alone.code == 2 and "--draft-max needs --lookup or --draft" in alone.err
    rounded = q4(*words, "--lookup", 2, "--backend", "numpy")
    assert rounded.code == 2 and "need the native backend" in rounded.err
    draft = tmp_path / "draft.gguf"
    draft.write_bytes(tiny.read_bytes())
    over = q4(*words, "--draft", draft, "--capture", draft)
    assert over.code == 2 and "the draft model" in over.err and draft.read_bytes() == tiny.read_bytes()
