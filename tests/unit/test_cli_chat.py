"""The chat loop: what is asked and answered, how it ends, and what stands on which stream."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_runs import Cli, Terminal
from models.tiny import write_tiny

from q4engine.cli.chat import Chat, chat
from q4engine.cli.chat.commands import COMMANDS, messages_of, obey
from q4engine.cli.chat.questions import Lines, history_path
from q4engine.cli.chat.talk import Talk
from q4engine.conversation import Conversation, Message
from q4engine.engine import Engine
from q4engine.errors import ContextFullError, Q4Error
from q4engine.generate import Generation
from q4engine.sampling import Sampler, SamplerSettings


@dataclass
class Talks(Conversation):
    """A conversation that keeps what it was asked."""

    asked: list[list[Message]] = field(default_factory=list)

    last: list[Message] = field(default_factory=list)

    def tokens_of(self, talk: Sequence[Message]) -> list[int]:
        self.last = list(talk)
        return super().tokens_of(talk)

    def continue_from(self, prompt: Sequence[int], n_predict: int = -1) -> Generation:
        self.asked.append(self.last)
        return super().continue_from(prompt, n_predict)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine.load(tiny, n_threads=1)


def talks(engine: Engine, n_ctx: int = 64) -> Talks:
    sampler = Sampler(SamplerSettings(temperature=0.0))
    return Talks(engine, engine.session(n_ctx=n_ctx), engine.tokenizer, None, sampler)


def options(**changes: object) -> argparse.Namespace:
    usual = {"system_prompt": None, "escape": True, "predict": 2, "single_turn": False, "temperature": 0.0}
    usual |= {"in_prefix": "", "in_suffix": "", "reverse_prompt": [], "keep": 0, "multiline_input": False}
    usual |= {"model_position": Path("synthetic-tiny.gguf"), "model": None, "hf_repo": None}
    return argparse.Namespace(**usual | changes)


def test_each_turn_is_asked_with_all_before_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("def\n   \n\n ghi "))  # the last line has no end
    conversation = talks(engine)
    assert chat(options(system_prompt="be\tbrief"), conversation, "abc") == 0
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
    assert err.startswith("chat: /help lists commands") and "total time" in err


def test_a_single_turn_asks_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", typed := Terminal("\nabc\ndef\n"))
    conversation = talks(engine)
    assert chat(options(single_turn=True), conversation, None) == 0  # an empty line is no turn
    assert conversation.asked == [[{"role": "user", "content": "abc"}]]
    assert typed.read() == "def\n"


def test_a_full_context_is_announced_and_then_forgets_the_oldest_turns(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = [f"{i:010d}" for i in range(8)]
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join(questions)))
    conversation = talks(engine, n_ctx=64)
    assert chat(options(system_prompt="be brief"), conversation, None) == 0
    err = capsys.readouterr().err
    nearly = "of 64 tokens of context are used; once it is full, the oldest turns are forgotten"
    full = "note: the context of 64 tokens is full: the 2 oldest turns are forgotten"
    assert nearly in err and full in err and err.index(nearly) < err.index(full)
    last = conversation.asked[-1]
    assert last[0] == {"role": "system", "content": "be brief"}
    assert last[1]["content"] != questions[0] and last[-1]["content"] == questions[-1]
    assert [message["role"] for message in last[1:]] == ["user", "assistant"] * ((len(last) - 2) // 2) + ["user"]
    assert all(len(asked) > 1 for asked in conversation.asked)


@pytest.mark.parametrize(("keep", "kept"), [(0, []), (18, []), (19, ["q0"]), (-1, ["q0"]), (35, ["q0", "q1"])])
def test_turns_at_the_beginning_are_kept(engine: Engine, keep: int, kept: list[str]) -> None:
    """Each question and each answer are 8 tokens; the model's own begin token stands first."""
    conversation = talks(engine, n_ctx=64)
    talk = Talk(conversation, 4, None, keep)
    pairs = [{"role": role, "content": f"{role[0]}{i}"} for i in range(5) for role in ("question", "answer")]
    counts = {"user": 8, "assistant": 8}
    talk.messages = [
        {"role": "user" if pair["role"] == "question" else "assistant", "content": pair["content"]} for pair in pairs
    ]

    def tokens_of(messages: Sequence[Message]) -> list[int]:
        return [1] * (3 + sum(counts[message["role"]] for message in messages))

    conversation.tokens_of = tokens_of  # type: ignore[method-assign]
    conversation.tokenizer.encode = lambda text, **_: [1] * 8  # type: ignore[method-assign]
    try:
        _, forgotten = talk.ask("q5")
    finally:
        del conversation.tokenizer.encode
    asked = [message["content"] for message in talk.messages if message["role"] == "user"]
    assert asked[: len(kept)] == kept and asked[-1] == "q5" and forgotten == 6 - len(asked) > 0
    assert ("q0" in asked, "q1" in asked) == ("q0" in kept, "q1" in kept)


def test_with_multiline_input_a_backslash_ends_a_question(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("ab\ncd\n\ne\\\n/stats\nf\\\n"))
    conversation = talks(engine)
    assert chat(options(multiline_input=True), conversation, None) == 0
    asked = [[message["content"] for message in talk if message["role"] == "user"] for talk in conversation.asked]
    assert asked == [["ab\ncd\n\ne"], ["ab\ncd\n\ne", "f"]]
    assert "tokens of context are used\n" in capsys.readouterr().err


def test_a_question_that_never_fits_is_one_line_and_the_chat_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("0123456789" * 9 + "\nabc\n"))
    conversation = talks(engine, n_ctx=64)
    assert chat(options(), conversation, "def") == 0
    err = capsys.readouterr().err
    assert err.count("error: the context is full: 0 tokens are in it, ") == 1 and "it holds 64 (set by -c)" in err
    assert [message["content"] for message in conversation.asked[-1] if message["role"] == "user"] == ["def", "abc"]


@pytest.mark.parametrize("predict", [-1, 100])
def test_an_answer_that_the_context_cuts_short_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], predict: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("def\n"))
    conversation = talks(engine, n_ctx=40)
    monkeypatch.setattr(type(conversation.tokenizer), "stop_ids", frozenset())
    assert chat(options(predict=predict), conversation, "abc") == 0
    out, err = capsys.readouterr()
    assert err.count("note: the answer ends here: the context of 40 tokens is full.") == 2
    assert "the oldest turn is forgotten" in err and len(out) > 20


class Keys(Terminal):
    """Lines, and a Ctrl-C where a line is ^C."""

    def readline(self, size: int | None = -1, /) -> str:
        line = super().readline()
        if line == "^C\n":
            raise KeyboardInterrupt
        return line


def test_ctrl_c_at_the_prompt_twice_ends_the_chat(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", typed := Keys("^C\nabc\n^C\n^C\ndef\n"))
    conversation = talks(engine)
    assert chat(options(), conversation, None) == 130
    assert capsys.readouterr().err.count("(Ctrl-C once more, Ctrl-D or /quit ends the chat)") == 2
    assert len(conversation.asked) == 1 and typed.read() == "def\n"


def test_ctrl_c_in_an_answer_keeps_what_was_said(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, stop_after = Generation.__iter__, 3

    def stopped(self: Generation) -> Iterator[int]:
        for _, token in zip(range(stop_after), whole(self), strict=False):
            yield token
        raise KeyboardInterrupt

    monkeypatch.setattr(Generation, "__iter__", stopped)
    monkeypatch.setattr(sys, "stdin", typed := Keys("def\n^C\nghi\n"))
    conversation = talks(engine)
    assert chat(options(predict=20), conversation, "abc") == 130  # one in the answer, one at the prompt
    out, err = capsys.readouterr()
    assert err.count("(stopped; what was said stays)") == 2 and typed.read() == "ghi\n"
    said = conversation.asked[-1]
    assert [message["role"] for message in said] == ["user", "assistant", "user"]
    assert said[1]["content"] == out.splitlines()[0] != ""

    stop_after = 0
    monkeypatch.setattr(sys, "stdin", Keys("/save nowhere/talk.json\n"))
    again = talks(engine)
    assert chat(options(), again, "abc") == 0
    err = capsys.readouterr().err
    assert "(stopped; the question is taken back)" in err
    assert "error: nowhere/talk.json: cannot be written: No such file or directory" in err


def test_a_terminal_on_stdout_has_the_mark(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("ab\\\nc\n"))
    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    monkeypatch.setattr(sys, "stderr", notes := io.StringIO())
    conversation = talks(engine)
    assert chat(options(), conversation, None) == 0
    assert shown.getvalue().startswith("> . ") and "> " not in notes.getvalue()
    assert conversation.asked == [[{"role": "user", "content": "ab\nc"}]]


def test_what_cannot_be_asked_changes_nothing(engine: Engine) -> None:
    talk = Talk(talks(engine, n_ctx=64), 4, "be brief")
    talk.ask("abc")
    assert talk.answered("def") and talk.has_answer and talk.system == "be brief"
    before = list(talk.messages)
    with pytest.raises(ContextFullError):
        talk.ask("0123456789" * 9)
    assert talk.messages == before
    assert talk.take_back() == "abc" and talk.take_back() is None
    assert talk.messages == [{"role": "system", "content": "be brief"}]


def test_an_answer_that_stands_first_is_forgotten_as_any_turn(engine: Engine) -> None:
    talk = Talk(talks(engine, n_ctx=64), 4, "be brief")
    talk.messages += [{"role": "assistant", "content": "0123456789" * 9}]
    assert talk.ask("abc")[1] == 1
    assert talk.messages == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "abc"}]


# ---- commands --------------------------------------------------------------------------------------------------------


def test_commands_change_the_talk(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    lines = [
        "/system be brief", "abc", "def", "/undo", "ghi", f"/save {file}", "/new", "jkl", f"/load {file}", "mno",
        "/regen", "/system none", "pqr", "/quit", "never",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "stdin", typed := Terminal("\n".join(lines) + "\n"))
    conversation = talks(engine, n_ctx=256)
    assert chat(options(), conversation, None) == 0
    asked = [[message["content"] for message in talk if message["role"] != "assistant"] for talk in conversation.asked]
    assert asked == [
        ["be brief", "abc"],
        ["be brief", "abc", "def"],
        ["be brief", "abc", "ghi"],
        ["be brief", "jkl"],
        ["be brief", "abc", "ghi", "mno"],
        ["be brief", "abc", "ghi", "mno"],
        ["abc", "ghi", "mno", "pqr"],
    ]
    err = capsys.readouterr().err
    assert "taken back: def\n" in err and f"5 messages are in {file}\n" in err and f"5 messages from {file}\n" in err
    assert "note: with --temp 0 the same question has the same answer\n" in err
    assert typed.read() == "never\n"
    assert json.loads(file.read_text())["messages"] == conversation.asked[4][:-1]


def test_where_nothing_is_said_the_answer_before_stays(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("abc\n"))
    conversation = talks(engine)
    talking = Chat(options(), Talk(conversation, 2, None), Lines())
    talking.run(None)
    before = list(talking.talk.messages)
    talking.talk.n_predict = 0
    obey(talking, "/regen")
    assert talking.talk.messages == before and len(before) == 2
    err = capsys.readouterr().err
    assert "(nothing was said; the question is taken back)\n(the answer that was there stays)\n" in err


def test_what_a_file_brings_along_does_not_steer_the_terminal(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved = tmp_path / "talk.json"
    saved.write_text('[{"role": "user", "content": "a\\u0007"}, {"role": "assistant", "content": "b\\u001b[31mc"}]')
    monkeypatch.setattr(sys, "stdin", Terminal(f"/load {saved}\n/undo\n"))
    chat(options(), talks(engine), None)
    err = capsys.readouterr().err
    assert "the last one: b\\x1b[31mc\n" in err and "taken back: a\\x07\n" in err


def test_a_talk_is_saved_over_nothing_that_the_run_reads_or_writes(tmp_path: Path, q4: Cli) -> None:
    model, prompt = write_tiny(tmp_path / "model.gguf"), tmp_path / "system.txt"
    prompt.write_text("be brief")
    (tmp_path / "link.json").symlink_to(model)
    before = model.read_bytes()
    files = {"model.gguf": "model", "link.json": "model", "system.txt": "system prompt", "out.csv": "--capture"}
    lines = "".join(f"/save {tmp_path / name}\n" for name in files)
    told = q4("run", model, "-n", 1, "-sysf", prompt, "--capture", tmp_path / "out.csv", "--no-peak", typed=lines)
    for name, called in files.items():
        assert re.search(
            f"error: the talk's file {tmp_path / name} is the file of (the )?{called}: give another\n", told.err
        )
    assert model.read_bytes() == before and prompt.read_text() == "be brief"


def test_names_that_are_none_and_texts_that_are_none(tmp_path: Path, q4: Cli, tiny: Path) -> None:
    saved = tmp_path / "talk.json"
    lines = f"/save ~no-such-user/x\n/load ~no-such-user/x\n/save a\0b\n/load a\0b\n/save {saved}\n"
    told = q4("run", tiny, "-n", 1, "-sys", "a\udc80b", typed=lines).err
    assert told.count("error: ~no-such-user/x: there is no such user\n") == 2
    assert told.count("error: 'a\\x00b': no name of a file\n") == 2
    assert json.loads(saved.read_text())["messages"][0]["content"] == "a?b"


def test_every_command_is_listed_and_mistakes_are_one_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["/help", "/stats", "/halp", "/zzz", "/", "/save", "/new now", "/undo", "/regen", " /usr is what?", "/bye"]
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join(lines)))
    conversation = talks(engine)
    assert chat(options(), conversation, "/etc is what?") == 0
    err = capsys.readouterr().err
    for name, command in COMMANDS.items():
        assert re.search(rf"^(> )?  /{name} .*{re.escape(command.help)}$", err, re.MULTILINE)
    for line in (
        "error: there is no command '/halp', did you mean /help? A space before it makes it a question",
        "error: there is no command '/zzz': /help lists them. A space before it makes it a question",
        "error: there is no command '/': /help lists them. A space before it makes it a question",
        "error: /save needs a FILE",
        "error: /new takes nothing behind it, 'now' was given",
        "error: there is no question to answer again",
    ):
        assert f"{line}\n" in err
    assert "taken back: /etc is what?\n" in err
    assert [talk[-1]["content"] for talk in conversation.asked] == ["/etc is what?", "/usr is what?"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "cannot be read: No such file or directory"),
        ("[1", "is no JSON: Expecting ',' delimiter: line 1 column 3 (char 2)"),
        ("[" * 100_000, "is no JSON: "),
        ('{"a": 1}', 'has no list "messages"'),
        ("[1]", 'message 1 is no object with a text "content"'),
        ('[{"role": "user", "content": 1}]', 'message 1 is no object with a text "content"'),
        ('[{"role": "tool", "content": ""}]', "message 1 has the role 'tool', expected user or assistant, or system"),
        (
            '[{"role": "user", "content": ""}, {"role": "system", "content": ""}]',
            "message 2 has the role 'system', expected user or assistant",
        ),
        ('[{"role": "user", "content": "a"}]', "ends with a question, expected its answer behind it"),
        ("[],".join(["["] + [""] * 600_000), "holds more than 1000000 lists, objects and commas, which is no talk"),
        (" " * (1 << 24) + "[]", "holds more than 16 MiB, which is no talk"),
    ],
)
def test_files_that_are_no_talks(tmp_path: Path, text: str | None, found: str) -> None:
    file = tmp_path / "talk.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Q4Error, match=re.escape(f"{file}: {found}")):
        messages_of(file)


def test_a_pipe_is_no_talk(tmp_path: Path) -> None:
    """It would be waited for."""
    os.mkfifo(tmp_path / "talk.json")
    with pytest.raises(Q4Error, match=r"talk\.json: is no regular file$"):
        messages_of(tmp_path / "talk.json")


def test_where_questions_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("Q4_HISTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert history_path() == tmp_path / "q4engine" / "questions"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # to be ignored, says XDG's specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert history_path() == tmp_path / "home/.local/state/q4engine/questions"
    monkeypatch.setenv("Q4_HISTORY", "~/mine")
    assert history_path() == tmp_path / "home" / "mine"
    monkeypatch.setenv("Q4_HISTORY", "")
    assert history_path() is None


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
