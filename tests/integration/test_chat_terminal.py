"""The chat in a real terminal (tmux): what a person types, and the screen that follows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from models.tiny import write_tiny

TMUX = shutil.which("tmux")
EMPTY = r"\n>\s*\Z"  # the mark of a question of which nothing is typed yet
SECONDS = 90  # that a screen may take to come on a busy machine
pytestmark = pytest.mark.skipif(TMUX is None, reason="there is no tmux (make setup brings it)")


class Screen:
    """A terminal of its own in which one command runs."""

    def __init__(self, folder: Path, command: list[str], **environment: str) -> None:
        self._tmux = [str(TMUX), "-S", str(folder / "socket"), "-f", os.devnull]
        variables = {"XDG_STATE_HOME": str(folder.parent / "state"), **environment}
        words = ["env", *(f"{name}={value}" for name, value in variables.items()), *command]
        line = f"trap : INT; {shlex.join(words)}; echo ended $?; exec sleep 1000"
        self._run("new-session", "-d", "-x", "100", "-y", "40", "sh", "-c", line)

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout

    def type(self, *keys: str) -> None:
        """Keys in tmux's names; other words are typed as they are."""
        for key in keys:
            known = re.fullmatch(r"(C|M)-\w+|Enter|Up|Escape|Tab", key)
            self._run("send-keys", *(() if known else ("-l",)), key)

    def paste(self, text: str) -> None:
        """As a terminal pastes: in brackets where the program asks for them."""
        self._run("set-buffer", text)
        self._run("paste-buffer", "-p")

    def text(self, colours: bool = False) -> str:
        return self._run("capture-pane", "-p", "-S", "-500", *(("-e",) if colours else ()))

    def wait(self, pattern: str, count: int = 1) -> str:
        """The screen once the pattern stands on it so many times."""
        end = time.monotonic() + SECONDS
        while len(re.findall(pattern, screen := self.text(), re.MULTILINE)) < count:
            assert time.monotonic() < end, f"no {pattern!r} within {SECONDS} s on\n{screen.rstrip()}"
            time.sleep(0.05)
        return screen

    def ready(self) -> None:
        """Waits for the mark of the next question: what is pasted into an answer is no one question."""
        self.wait(EMPTY)

    def recall(self, pattern: str) -> None:
        """The last question, which is there once its file has been read."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and re.search(EMPTY, self.text()):
            self.type("Up")
            time.sleep(0.5)
        self.wait(pattern)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "synthetic-tiny.gguf")


class Chats:
    """Starts chats; all of them end with the test."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.screens: list[Screen] = []

    def __call__(self, *options: str, **environment: str) -> Screen:
        folder = self.folder / str(len(self.screens))
        folder.mkdir()
        words = [sys.executable, "-m", "q4engine", "run", str(self.model), "-t", "1", "--temp", "0", *options]
        screen = Screen(folder, words, **environment)
        self.screens.append(screen)
        screen.wait(r"^>")
        return screen


@pytest.fixture
def chats(model: Path) -> Iterator[Chats]:
    # a socket's path has at most about a hundred characters
    folder = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    started = Chats(folder, model)
    yield started
    for screen in started.screens:
        screen.close()
    shutil.rmtree(folder)


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
