"""--lookup and --draft of ``run``: q4engine.cli.speculating."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import Cli


@pytest.mark.parametrize("sampling", [["--temp", 0], ["--temp", 0.8, "-s", 3]])
@pytest.mark.parametrize("source", ["lookup", "draft"])
def test_the_text_is_the_same_and_the_summary_counts_guesses(
    q4: Cli, tiny: Path, sampling: list[object], source: str
) -> None:
    words = ["run", tiny, "-p", "abcabcabc", "-n", 40, "-t", 1, "--no-chat", "--ignore-eos", *sampling]
    guessing = ["--lookup", 2] if source == "lookup" else ["--draft", tiny, "-td", 1, "--draft-max", 3]
    plain, guessed = q4(*words), q4(*words, *guessing)
    assert plain.code == guessed.code == 0 and guessed.out == plain.out
    assert "guesses were right" in guessed.err and "guesses" not in plain.err
    data = json.loads(q4(*words, *guessing, "--json").out)
    assert data["text"] == json.loads(q4(*words, "--json").out)["text"]
    assert 0 <= data["speculation"]["accepted"] <= data["speculation"]["drafted"]
    assert data["speculation"]["calls"] > 0


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
