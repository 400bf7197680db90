"""The chat in a real terminal (tmux): what a person types, and the screen that follows."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.tiny import write_tiny
from screens import TMUX, Screen, short_folder

from q4engine import Engine

pytestmark = pytest.mark.skipif(TMUX is None, reason="there is no tmux (make setup brings it)")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "synthetic-tiny.gguf")


class Chats:
    """Starts chats; all of them end with the test."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.screens: list[Screen] = []

    def __call__(self, *options: str, **environment: str) -> Screen:
        words = [sys.executable, "-m", "q4engine", "run", str(self.model), "-t", "1", "--temp", "0", *options]
        screen = self.start(words, **environment)
        screen.wait(r"^>")
        return screen

    def start(self, words: list[str], **environment: str) -> Screen:
        folder = self.folder / str(len(self.screens))
        folder.mkdir()
        self.screens.append(Screen(folder, words, **environment))
        return self.screens[-1]


@pytest.fixture
def chats(model: Path) -> Iterator[Chats]:
    with short_folder() as folder:
        started = Chats(folder, model)
        yield started
        for screen in started.screens:
            screen.close()


def answer(model: Path, question: str, n: int) -> str:
    words = [
        sys.executable,
        "-m",
        "q4engine",
        "run",
        str(model),
        "-t",
        "1",
        "--temp",
        "0",
        "-n",
        str(n),
        "-p",
        question,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return done.stdout.rstrip("\n")


def on_screen(text: str) -> str:
    """A pattern for the first characters of a text, which a terminal may show otherwise further on."""
    return re.escape(re.split(r"[^ -~]", text)[0][:20])


def test_with_multiline_input_enter_goes_on(chats: Chats) -> None:
    talk = chats("-n", "4", "--multiline-input")
    talk.type("one", "Enter", "two\\", "Enter")
    talk.wait("^> one\n\\. two$")
    talk.ready()
    talk.type("three", "Enter", "four", "Escape", "Enter")
    talk.wait("^> three\n\\. four$")
    talk.ready()
    talk.type("/undo", "Enter")
    talk.wait("^taken back: three four$")
    talk.type("/quit", "Enter")
    talk.wait("^ended 0$")


def test_questions_are_edited_continued_pasted_and_remembered(chats: Chats, model: Path) -> None:
    talk = chats("-n", "12")
    talk.type("whaat", "C-h", "C-h", "t?", "Enter")  # whaat? with one letter less
    screen = talk.wait("^> what\\?$")
    assert "^H" not in screen
    talk.wait(f"^{on_screen(answer(model, 'what?', 12))}")
    talk.ready()
    talk.type("one\\", "Enter", "two", "Escape", "Enter", "three", "Enter")
    talk.wait("^> one\n\\. two\n\\. three$")
    talk.ready()
    talk.paste("four\nfive\n\nsix")
    talk.wait("^> four\n\\. five\n\\.\n\\. six")
    talk.type("Enter")
    talk.ready()
    talk.type("/save talk.json", "C-u", "/undo", "Enter")
    talk.wait("^taken back: four five six$")
    talk.ready()
    talk.type("Up", "Up", "C-c", "C-d")
    talk.wait("^ended 0$")
    again = chats("-n", "1")
    again.recall("^> /undo$")
    again.type("Up")
    again.wait("^> four\n\\. five\n\\.\n\\. six")


def test_ctrl_c_stops_an_answer_and_then_the_chat(chats: Chats) -> None:
    talk = chats("--backend", "numpy", "-c", "4096", "--ignore-eos")  # slow enough to be stopped
    talk.type("abc", "Enter")
    talk.wait("^> abc\n.+")
    talk.type("C-c")
    talk.wait(r"^\(stopped; what was said stays\)$")
    talk.ready()
    talk.type("/stats", "Enter")
    talk.wait("^[1-9][0-9]* of 4096 tokens of context are used$")
    talk.ready()
    talk.type("def", "Enter")
    talk.wait("^> def\n.+")
    talk.type("C-c")
    talk.wait(r"^\(stopped; what was said stays\)$", 2)
    talk.ready()
    talk.type("C-c")
    assert "total time" in talk.wait("^ended 130$")


def test_a_full_context_is_announced_and_the_talk_goes_on(chats: Chats) -> None:
    talk = chats("-c", "96", "-n", "8")
    for n in range(1, 6):
        talk.type("0123456789", "Enter")
        talk.wait("^> 0123456789$", n)
        talk.ready()
    screen = talk.wait("the context of 96 tokens is full: .* forgotten")
    assert re.search("tokens of context are used; once it is full", screen.replace("\n", ""))
    talk.type("/quit", "Enter")
    talk.wait("^ended 0$")


GRAMMAR = "root ::= [a-z]{4}"  # so that an answer is a word, and a screen can be foretold
BEGIN = "chat: /help lists commands, Ctrl-C stops an answer, Ctrl-D ends the chat"


def test_every_command_and_the_screen_that_follows(chats: Chats, model: Path) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed (the extra grammar)")
    file = chats.folder / "talk.json"
    engine = Engine.load(model, n_threads=1)

    def said(*questions: str, system: str | None = "be brief") -> str:
        talk = [{"role": "system", "content": system}] if system else []
        for question in questions[:-1]:
            talk += [{"role": "user", "content": question}, {"role": "assistant", "content": said(question)}]
        talk += [{"role": "user", "content": questions[-1]}]
        return engine.chat(talk, temperature=0, grammar=GRAMMAR)

    steps = [
        ("/system be brief", "system message: be brief"),
        ("one", said("one")),
        (f"/save {file}", f"3 messages are in {file}"),
        ("/new", "a new talk with the same system message"),
        ("two", said("two")),
        (f"/load {file}", f"3 messages from {file}", f"the last one: {said('one')}"),
        ("three", said("one", "three")),
        ("/undo", "taken back: three"),
        ("four", said("one", "four")),
        ("/regen", "note: with --temp 0 the same question has the same answer", said("one", "four")),
        ("/system", "system message: be brief"),
        ("/system none", "system message: none"),
        ("/new", "a new talk"),
        ("two", said("two", system=None)),
        ("/load nowhere.json", "error: nowhere.json: cannot be read: No such file or directory"),
        ("/undo now", "error: /undo takes nothing behind it, 'now' was given"),
    ]
    engine.close()
    talk = chats("--grammar", GRAMMAR, "-c", "512")
    screen = [BEGIN]
    for typed, *follows in steps:
        talk.type(typed, "Enter")
        screen += [f"> {typed}", *follows]
        talk.show([*screen, ">"])
    talk.type("/stats", "Enter")
    shown = talk.wait(r"^\d+ of 512 tokens of context are used\n.*load time.*\n(.*\n)+>\s*\Z")
    assert shown.startswith("\n".join([*screen, "> /stats\n"]))
    talk.type("/quit", "Enter")
    assert re.search("total time", talk.wait("^ended 0$"))
    assert [message["role"] for message in json.loads(file.read_text())["messages"]] == ["system", "user", "assistant"]


def test_ctrl_c_at_the_mark(chats: Chats) -> None:
    talk = chats("-n", "4")
    talk.type("half a question")
    talk.wait("^> half a question$")
    talk.type("C-c")  # of a question that is begun takes it away
    talk.show([BEGIN, ">"])
    talk.type("C-c")
    talk.wait(r"^\(Ctrl-C once more, Ctrl-D or /quit ends the chat\)$")
    talk.ready()
    talk.type("C-c")
    talk.wait("^ended 130$")


def test_questions_are_searched_and_long_ones_wrapped(chats: Chats) -> None:
    talk = chats("-n", "1")
    for n, question in enumerate(("first", "second"), 1):
        talk.type(question, "Enter")
        talk.wait("^> (first|second)$", n)
        talk.ready()
    talk.type("C-r", "fir")
    talk.wait("^> first$", 2)
    talk.type("Enter")
    talk.wait(r"^> first\s*\Z")  # without the line of the search
    talk.type("C-c", "C-r", "sec")
    talk.wait("^> second$", 2)
    talk.type("C-c")
    talk.ready()
    talk.type("x" * 150)
    talk.wait("^> x{97,98}\n  x{52,53}$")
    talk.type("C-c", "C-d")
    talk.wait("^ended 0$")


def test_ctrl_z_at_the_mark(chats: Chats, model: Path) -> None:
    shell = chats.start(["bash", "--norc", "-i"], PS1="shell: ")
    shell.wait("^shell:")
    words = [sys.executable, "-m", "q4engine", "run", str(model), "-t", "1", "-n", "1"]
    shell.type(f"clear; {shlex.join(words)}", "Enter")
    shell.ready()
    shell.type("half")
    shell.wait("^> half$")
    shell.type("C-z")
    shell.wait(r"^\[1\]\+ +Stopped")
    shell.type("fg", "Enter")
    shell.wait("^> half\\s*\\Z")
    shell.type(" a question", "Enter")
    shell.wait("^> half a question$")
    shell.ready()
    shell.type("C-d")
    shell.wait("^shell:\\s*\\Z")


def test_an_answer_that_the_context_cuts_short_and_the_next_question(chats: Chats) -> None:
    talk = chats("-c", "64", "--ignore-eos")
    talk.type("abc", "Enter")
    talk.wait("note: the answer ends here: the context of 64 tokens is full")
    talk.ready()
    talk.type("def", "Enter")
    talk.wait("note: the context of 64 tokens is full: the oldest turn is forgotten")
    talk.wait("note: the answer ends here: ", 2)
    talk.ready()
    talk.type("/new", "Enter")
    talk.wait("^a new talk$")
    talk.ready()
    talk.type("C-d")
    talk.wait("^ended 0$")


WAITING = """\
import os, sys, time
from q4engine.cli import main
from q4engine.engine import Engine
load, gate = Engine.load, sys.argv[1]
def slow(*given):
    while not os.path.exists(gate):
        time.sleep(0.05)
    return load(*given)
Engine.load = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_something_moves_while_a_model_is_loaded(chats: Chats, model: Path, environment: dict[str, str]) -> None:
    gate = chats.folder / "gate"
    words = [sys.executable, "-c", WAITING, str(gate), "run", str(model), "-t", "1", "-n", "1"]
    talk = chats.start(words, **environment)
    if environment.get("TERM") != "dumb":  # where nothing could move
        first = talk.wait("loading synthetic-tiny.gguf")
        while talk.text() == first:
            pass
    gate.touch()
    talk.show([BEGIN, ">"])
    talk.type("/quit", "Enter")
    talk.wait("^ended 0$")


def test_commands_and_their_completion(chats: Chats) -> None:
    talk = chats("-n", "4")
    talk.type("/he", "Tab")
    talk.wait("^> /help$")
    talk.type("Enter")
    talk.wait("^  /regen +answer the last question again$")
    talk.type("/sav nowhere", "Enter")
    talk.wait("there is no command '/sav', did you mean /save\\?")
    talk.type("/quit", "Enter")
    talk.wait("^ended 0$")


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_persons_words_have_a_colour_where_it_is_wanted(
    chats: Chats, environment: dict[str, str], coloured: bool
) -> None:
    talk = chats("-n", "4", **environment)
    talk.type("abc", "Enter")
    talk.wait("^> abc$")
    talk.ready()
    line = next(line for line in talk.text(colours=True).splitlines() if line.endswith("abc") or "abc\x1b" in line)
    assert bool(re.search(r"\x1b\[(\d+;)*(36|96)m", line)) == coloured
    talk.type("C-d")
    talk.wait("^ended 0$")
