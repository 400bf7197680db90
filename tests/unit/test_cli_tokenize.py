"""``q4engine tokenize``: the same tokens in every form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine.cli import loading


def test_tokens_in_every_form(q4: Cli, tiny: Path) -> None:
    plain = q4("tokenize", tiny, "-p", "abc").out.splitlines()
    data = json.loads(q4("tokenize", tiny, "-p", "abc", "--json").out)
    assert "".join(data["pieces"]).endswith("abc") and data["count"] == len(data["ids"]) == len(plain)
    assert [int(line.split(" -> ")[0]) for line in plain] == data["ids"]
    assert q4("tokenize", tiny, "-p", "abc", "--ids").out == f"{data['ids']}\n"
    assert q4("tokenize", tiny, "-p", "abc", "--count").out == f"{data['count']}\n"


def test_llama_tokenize_s_options(q4: Cli, tiny: Path) -> None:
    plain = q4("tokenize", tiny, "-p", "abc").out
    assert q4("tokenize", "-m", tiny, "--stdin", stdin=b"abc\n").out == plain
    counted = q4("tokenize", tiny, "-p", "abc", "--show-count").out
    assert counted == f"{plain}Total number of tokens: {plain.count(chr(10))}\n"
    assert q4("tokenize", tiny, "-p", "abc", "--ids", "--show-count").out.endswith("]\nTotal number of tokens: 2\n")
    result = q4("tokenize", tiny, "-p", "abc", "--stdin")
    assert result.code == 2 and "--stdin excludes -p and -f" in result.err


@pytest.mark.parametrize("command", ["tokenize", "perplexity"])
def test_something_moves_in_a_terminal_while_a_long_text_is_read(
    q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    said: list[str] = []

    @contextmanager
    def spinner(text: str) -> Iterator[None]:
        said.append(text)
        yield

    monkeypatch.setattr(loading, "spinner", spinner)
    q4(command, tiny, "-p", "abc " * 25_000, *([] if command == "tokenize" else ["--windows", 1]))
    assert said[-1] == "tokenising 0.1 million characters"
