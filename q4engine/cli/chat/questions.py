"""How a person's questions are read: with editing and history in a terminal, as plain lines elsewhere."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, Self

from q4engine.cli.chat.commands import COMMANDS
from q4engine.errors import Q4Error
from q4engine.home import expanded

if TYPE_CHECKING:
    from prompt_toolkit.application import Application
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

_MARK, _MARK_GOES_ON = "> ", ". "


class Questions(Protocol):
    """EOFError at the end of the input; KeyboardInterrupt for a Ctrl-C on an empty line."""

    def ask(self) -> str: ...


def questions(multiline: bool = False) -> Questions:
    """The reader that this terminal allows. multiline: a line end goes on, and only a backslash before it ends the
    question, unless it is a command."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    own = sys.stdin is sys.__stdin__ and sys.stdout is sys.__stdout__
    edited = own and not dumb and sys.stdin.isatty() and sys.stdout.isatty()
    return Edited(multiline) if edited else Lines(multiline)


class Lines:
    """Lines as they come; one that ends with a backslash goes on in the next, or with ``multiline`` does not."""

    def __init__(self, multiline: bool = False) -> None:
        self._multiline = multiline

    def ask(self) -> str:
        lines: list[str] = []
        goes_on = True
        while goes_on:
            line = self._line(_MARK_GOES_ON if lines else _MARK)
            marked = line.endswith("\\")
            lines.append(line[:-1] if marked else line)
            goes_on = marked != self._multiline and not (self._multiline and _is_command("\n".join(lines)))
        return "\n".join(lines)

    def _line(self, mark: str) -> str:
        shown = sys.stdout if sys.stdout.isatty() else sys.stderr
        shown.write(mark)
        shown.flush()
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            shown.write("\n")  # behind the terminal's ^C
            raise
        if not line:
            raise EOFError
        return line.removesuffix("\n")


class Edited:
    """prompt_toolkit's editor: a paste is one question, Alt-Enter and a backslash at the end begin another line.

    Questions are coloured unless NO_COLOR is set, and kept for later chats in a file of the user's own
    (Q4_HISTORY names another; empty: none). ``multiline``: Enter begins another line, and those two end the question.
    """

    def __init__(self, multiline: bool = False) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.styles import Style

        commands = [f"/{name}" for name in COMMANDS]
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            prompt_continuation=lambda width, number, wrapped: " " * width if wrapped else _MARK_GOES_ON,
            key_bindings=_keys(multiline),
            history=_history(),
            completer=WordCompleter(commands, sentence=True),
            complete_while_typing=False,
            enable_suspend=True,
            style=Style.from_dict({"": "ansicyan", "mark": "bold ansicyan"}),
        )

    def ask(self) -> str:
        # Ctrl-C is a key here, the signal comes from elsewhere
        with _SignalsEnd(self._session.app) as signals:
            return self._session.prompt([("class:mark", _MARK)], handle_sigint=False, pre_run=signals.begun)


class _SignalsEnd:
    """In this block a signal's handler is called once the editor has ended, which the signal makes it do.

    An exception that a handler raises anywhere in the editor would leave a loop half made or half closed, which says
    so on stderr, and a terminal that shows nothing.
    """

    def __init__(self, app: Application[str]) -> None:
        self._app = app
        self._pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pending is not None:
            self._before[self._pending](self._pending, inspect.currentframe())

    def begun(self) -> None:
        """The editor runs, and can be ended from here on."""
        if self._pending is not None:
            self._end()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._pending in (None, signal.SIGINT):  # the others end the program
            self._pending = number
        if self._app.is_running and (loop := self._app.loop) is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._app.future is not None and not self._app.future.done():
            self._app.exit(result="")


def _is_command(text: str) -> bool:
    return text.startswith("/") and "\n" not in text


def _keys(multiline: bool) -> KeyBindings:
    from prompt_toolkit.filters import is_searching
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    typing = ~is_searching  # Ctrl-R has a line of its own, and keys for it

    @keys.add("enter", filter=typing)
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        marked = buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\")
        if marked:
            buffer.delete_before_cursor()
        if marked == multiline or (multiline and _is_command(buffer.text)):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("escape", "enter", filter=typing)
    def the_other(event: KeyPressEvent) -> None:
        if multiline:
            event.current_buffer.validate_and_handle()
        else:
            event.current_buffer.insert_text("\n")

    @keys.add("c-c", filter=typing)
    def interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt(), style="class:aborting")

    return keys


def _history() -> History:
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = history_path()
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    except OSError:  # a home that cannot be written
        return InMemoryHistory()
    return FileHistory(str(path))


def history_path() -> Path | None:
    """Where questions are kept: Q4_HISTORY, else in XDG's folder for state; None for an empty Q4_HISTORY, and where
    there is no home."""
    named = os.environ.get("Q4_HISTORY")
    state = os.environ.get("XDG_STATE_HOME", "")
    state = state if state.startswith("/") else "~/.local/state"
    try:
        return expanded(f"{state}/q4engine/questions" if named is None else named) if named != "" else None
    except Q4Error:
        return None
