"""How a person's questions are read: with editing and history in a terminal, as plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from q4engine.cli.chat.commands import COMMANDS

if TYPE_CHECKING:
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
        line = sys.stdin.readline()
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
            prompt_continuation=_MARK_GOES_ON,
            key_bindings=_keys(multiline),
            history=_history(),
            completer=WordCompleter(commands, sentence=True),
            complete_while_typing=False,
            style=Style.from_dict({"": "ansicyan", "mark": "bold ansicyan"}),
        )

    def ask(self) -> str:
        # Ctrl-C is a key here; the signal goes its usual way, not one through the editor's loop, which may have ended
        return self._session.prompt([("class:mark", _MARK)], handle_sigint=False)


def _is_command(text: str) -> bool:
    return text.startswith("/") and "\n" not in text


def _keys(multiline: bool) -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        marked = buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\")
        if marked:
            buffer.delete_before_cursor()
        if marked == multiline or (multiline and _is_command(buffer.text)):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("escape", "enter")
    def the_other(event: KeyPressEvent) -> None:
        if multiline:
            event.current_buffer.validate_and_handle()
        else:
            event.current_buffer.insert_text("\n")

    @keys.add("c-c")
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
    """Where questions are kept: Q4_HISTORY, else in XDG's folder for state; None for an empty Q4_HISTORY."""
    named = os.environ.get("Q4_HISTORY")
    if named is not None:
        return Path(named).expanduser() if named else None
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()
    return home / "q4engine" / "questions"
