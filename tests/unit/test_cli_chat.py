"""The chat loop: what is asked and answered, how it ends, and what stands on which stream."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_runs import Cli, Terminal

from q4engine.cli.chat import chat
from q4engine.conversation import Conversation, Message
from q4engine.engine import Engine
from q4engine.errors import ContextFullError
from q4engine.generate import Generation
from q4engine.sampling import Sampler, SamplerSettings


@dataclass
class Talks(Conversation):
    """A conversation that keeps what it was asked."""

    asked: list[list[Message]] = field(default_factory=list)

    def answer(self, talk: Sequence[Message], n_predict: int = -1) -> Generation:
        self.asked.append(list(talk))
        return super().answer(talk, n_predict)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine.load(tiny, n_threads=1)


def talks(engine: Engine, n_ctx: int = 64) -> Talks:
    sampler = Sampler(SamplerSettings(temperature=0.0))
    return Talks(engine, engine.session(n_ctx=n_ctx), engine.tokenizer, None, sampler)


def options(**changes: object) -> argparse.Namespace:
    usual = {"system_prompt": None, "escape": True, "predict": 2, "single_turn": False, "temperature": 0.0}
    return argparse.Namespace(**usual | changes)


def test_each_turn_is_asked_with_all_before_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("def\n   \n\n ghi "))  # the last line has no end
    conversation = talks(engine)
    assert chat(options(system_prompt="be\\tbrief"), conversation, "abc") == 0
    last = conversation.asked[-1]
    roles = ["system", *("user", "assistant") * 2, "user"]
    assert [message["role"] for message in last] == roles
    assert [message["content"] for message in last if message["role"] == "user"] == ["abc", "def", " ghi "]
    assert last[0]["content"] == "be\tbrief"
    assert conversation.asked == [last[:2], last[:4], last]
    out, err = capsys.readouterr()
    answers = [message["content"] for message in last if message["role"] == "assistant"]
    assert out.startswith("\n".join(answers) + "\n") and "> " not in out
    assert err.count("> ") == 5 and "total time" in err  # three questions of the terminal, two empty lines and the end


def test_an_end_before_the_first_question(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    conversation = talks(engine)
    assert chat(options(), conversation, None) == 0
    out, err = capsys.readouterr()
    assert out == "" and conversation.asked == []
    assert err.startswith("chat: Ctrl-D ends it") and "total time" in err


def test_a_single_turn_asks_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", typed := Terminal("\nabc\ndef\n"))
    conversation = talks(engine)
    assert chat(options(single_turn=True), conversation, None) == 0  # an empty line is no turn
    assert conversation.asked == [[{"role": "user", "content": "abc"}]]
    assert typed.read() == "def\n"


def test_a_context_that_fills_up_keeps_the_summary(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("0123456789" * 4))
    conversation = talks(engine, n_ctx=20)
    with pytest.raises(ContextFullError, match="the context is full"):
        chat(options(), conversation, "abc")
    assert len(conversation.asked) == 2 and "total time" in capsys.readouterr().err


def test_ctrl_c_at_the_prompt_and_in_an_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Terminal):
        def readline(self, size: int | None = -1, /) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert chat(options(), talks(engine), "abc") == 130
    assert "interrupted" not in capsys.readouterr().err  # the answer was whole

    def stopped(self: Generation) -> Iterator[int]:
        raise KeyboardInterrupt
        yield 0

    monkeypatch.setattr(Generation, "__iter__", stopped)
    monkeypatch.setattr(sys, "stdin", typed := Terminal("def\n"))
    assert chat(options(), talks(engine), "abc") == 130
    assert "interrupted: 0 of 64 tokens" in capsys.readouterr().err and typed.read() == "def\n"


def test_a_terminal_on_stdout_is_asked_by_input(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """input() edits lines there; its mark stands on stdout."""
    lines, marks = iter(["abc"]), []

    def typed(mark: str) -> str:
        marks.append(mark)
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    conversation = talks(engine)
    assert chat(options(), conversation, None) == 0
    assert marks == ["> ", "> "] and "> " not in shown.getvalue()
    assert conversation.asked == [[{"role": "user", "content": "abc"}]]


# ---- through the command ---------------------------------------------------------------------------------------------


def test_chat_loop_evaluates_only_what_is_new(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "--temp", "0", "-n", "3", "-t", "1", typed="abc\n\ndef\n")
    assert result.code == 0
    assert len(result.out.splitlines()) >= 2
    prompt = next(line for line in result.err.splitlines() if "prompt eval" in line)
    n_evaluated = int(prompt.split("/")[1].split()[0])
    template = "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n"
    # both turns, the answer, and at most a re-evaluated token or two where answer and template meet
    once = len(q4("tokenize", tiny, "-p", template % "abc", "--no-escape", "--ids").out.split(","))
    twice = len(q4("tokenize", tiny, "-p", template % "abc" + template % "def", "--ids").out.split(","))
    assert twice < n_evaluated < once + twice


def test_chat_loop_goes_on_after_a_prompt(q4: Cli, tiny: Path) -> None:
    common = ("run", tiny, "--temp", "0", "-n", "2", "-p", "abc")
    one = q4(*common, typed="def\n").out
    two = q4(*common, "-cnv", typed="def\n").out
    assert two.startswith(one) and len(two) > len(one)
    assert q4(*common, "-cnv", "-st", typed="def\n").out == one


def test_chat_loop_single_turn(q4: Cli, tiny: Path) -> None:
    assert q4("run", tiny, "-st", "--temp", "0", "-n", "2", typed="abc\ndef\n").err.count("> ") == 1


def test_chat_loop_context_full(q4: Cli, tiny: Path) -> None:
    result = q4("run", tiny, "-c", "24", "--temp", "0", "-n", "2", typed="abcdefgh01234567\n")
    assert result.code == 1 and result.err.splitlines()[-1].startswith("error: the context is full: ")


def test_chat_loop_ctrl_c(q4: Cli, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Generation) -> Iterator[int]:
        raise KeyboardInterrupt
        yield 0

    monkeypatch.setattr(Generation, "__iter__", interrupted)
    result = q4("run", tiny, typed="abc\ndef\n")
    assert result.code == 130 and "total time" in result.err
