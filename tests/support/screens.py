"""A terminal of its own (tmux) in which one command runs: what a person types, and the screen that follows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TMUX = shutil.which("tmux")
EMPTY = r"\n>\s*\Z"  # the mark of a question of which nothing is typed yet
SECONDS = 90  # that a screen may take to come on a busy machine


class Screen:
    """``folder``: where its socket lies, whose path has a hundred characters at most."""

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
            known = re.fullmatch(r"(C|M)-\w+|Enter|Up|Down|Escape|Tab", key)
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
        """The last question, which is there once its file has been read; a key too much is taken back."""
        end = time.monotonic() + SECONDS
        while not re.search(pattern, screen := self.text(), re.MULTILINE):
            assert time.monotonic() < end, f"no {pattern!r} within {SECONDS} s on\n{screen.rstrip()}"
            self.type("Up" if re.search(EMPTY, screen) else "Down")
            self._settle(screen)

    def _settle(self, before: str) -> None:
        """Waits a while for another screen."""
        end = time.monotonic() + 3
        while time.monotonic() < end and self.text() == before:
            time.sleep(0.05)

    def show(self, lines: Sequence[str]) -> None:
        """Waits until the screen is these lines and nothing else."""
        wanted, end = [line.rstrip() for line in lines], time.monotonic() + SECONDS
        while (found := [line.rstrip() for line in self.text().rstrip().splitlines()]) != wanted:
            assert time.monotonic() < end, "\n".join(["not on the screen:", *wanted, "but:", *found])
            time.sleep(0.05)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets; it goes with the block."""
    folder = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
