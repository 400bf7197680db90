"""What is shown of an answer: the text as it comes, also where Ctrl-C or an error ends it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from q4engine.cli.answer import messages, stream
from q4engine.errors import Q4Error

PIECES = {1: b"ab", 2: "é".encode()[:1], 3: "é".encode()[1:], 4: b"\n"}


class Tokenizer:
    """Tokens of a few bytes; one character takes two of them."""

    def stream_decoder(self) -> object:
        from q4engine.tokenizer.stream import StreamDecoder

        return StreamDecoder(PIECES.__getitem__)


def tokens(*given: int, error: BaseException | None = None) -> Iterator[int]:
    yield from given
    if error is not None:
        raise error


CASES = {(1, 2, 3): "abé", (1, 4): "ab\n", (): "", (1, 2): "ab\N{REPLACEMENT CHARACTER}"}


@pytest.mark.parametrize("given", CASES)
def test_a_stream_ends_with_a_line_end(capsys: pytest.CaptureFixture[str], given: tuple[int, ...]) -> None:
    parts: list[str] = []
    assert stream(tokens(*given), Tokenizer(), parts) is False  # type: ignore[arg-type]
    text = CASES[given]
    assert "".join(parts) == text
    assert capsys.readouterr().out == (text + "\n" if text and not text.endswith("\n") else text)


def test_what_came_before_an_end_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    parts: list[str] = []
    assert stream(tokens(1, error=KeyboardInterrupt()), Tokenizer(), parts) is True  # type: ignore[arg-type]
    assert capsys.readouterr().out == "ab\n" == "".join(parts) + "\n"
    with pytest.raises(Q4Error, match="full"):
        stream(tokens(1, error=Q4Error("full")), Tokenizer(), [])  # type: ignore[arg-type]
    assert capsys.readouterr().out == "ab\n"


def test_nothing_is_shown_where_json_will_be(capsys: pytest.CaptureFixture[str]) -> None:
    parts: list[str] = []
    stream(tokens(1, 2, 3), Tokenizer(), parts, show=False)  # type: ignore[arg-type]
    assert "".join(parts) == "abé" and capsys.readouterr().out == ""


def test_messages_that_open_a_talk() -> None:
    args = argparse.Namespace(system_prompt=None, in_prefix="", in_suffix="")
    assert messages(args, "hello") == [{"role": "user", "content": "hello"}]
    args = argparse.Namespace(system_prompt="be brief", in_prefix="<", in_suffix=">")
    assert messages(args, "hello") == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "<hello>"},
    ]


class Given:
    """A generation of these tokens."""

    stop_reason = "interrupted"

    def __init__(self, *tokens: int) -> None:
        self.tokens = tokens

    def __iter__(self) -> Iterator[int]:
        yield from self.tokens


@pytest.mark.parametrize(
    ("ends", "text", "reason"),
    [
        (["\n"], "ababé\n", "reverse prompt"),
        (["bab"], "abab", "reverse prompt"),
        (["xx", "bé"], "ababé", "reverse prompt"),
        (["bé\nab"], "ababé\nab", "reverse prompt"),
        (["bé\nb", "aba\n"], "ababé\nab", "interrupted"),
        ([], "ababé\nab", "interrupted"),
    ],
)
def test_a_text_that_ends_an_answer(ends: list[str], text: str, reason: str) -> None:
    parts: list[str] = []
    generation = Given(1, 1, 2, 3, 4, 1)
    assert stream(generation, Tokenizer(), parts, False, ends) is False  # type: ignore[arg-type]
    assert ("".join(parts), generation.stop_reason) == (text, reason)
