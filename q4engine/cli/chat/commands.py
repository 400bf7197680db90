"""What can be typed into a chat instead of a question. A new command is a row of COMMANDS."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from analysis import outputs
from analysis.terminal import shortened
from q4engine.cli.chat.talk import Talk
from q4engine.cli.observing import conflict_with_run
from q4engine.cli.options import note, printable
from q4engine.conversation import Message
from q4engine.errors import Q4Error, shown
from q4engine.home import expanded

_MAX_TALK_BYTES, _MAX_TALK_PARTS = 1 << 24, 1_000_000  # a chat template takes 4 MiB of characters
_ROLES = ("system", "user", "assistant")


class Chat(Protocol):
    """What commands need of the chat that they are typed into."""

    args: argparse.Namespace
    talk: Talk

    def ask(self, question: str) -> bool: ...


class Leave(Exception):
    """The chat ends, with this exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Command:
    """argument: what its help calls it; None where it takes none, in brackets where it may be absent."""

    run: Callable[[Chat, str], None]
    help: str
    argument: str | None = None

    def problem(self, name: str, given: str) -> str | None:
        if given and self.argument is None:
            return f"/{name} takes nothing behind it, {shown(given)} was given"
        if not given and self.argument is not None and not self.argument.startswith("["):
            return f"/{name} needs a {self.argument}"
        return None


def obey(chat: Chat, line: str) -> None:
    """Does what a line that begins with / says; a mistake is one line, and the chat goes on. Leave ends it."""
    name, _, argument = line[1:].partition(" ")
    name, argument = _ALIASES.get(name.strip(), name.strip()), argument.strip()
    command = COMMANDS.get(name)
    if command is None:
        close = difflib.get_close_matches(name, COMMANDS, 1)
        meant = f", did you mean /{close[0]}?" if close else ": /help lists them."
        note(f"error: there is no command {shown('/' + name)}{meant} A space before it makes it a question")
        return
    try:
        if problem := command.problem(name, argument):
            raise Q4Error(problem)
        command.run(chat, argument)
    except Q4Error as error:
        note(f"error: {error}")


def beginning(text: str) -> str:
    """Of a text, as one line."""
    return shortened(printable(" ".join(text.split())), 60)


def _help(chat: Chat, _: str) -> None:
    for name, command in COMMANDS.items():
        words = f"/{name} {command.argument or ''}"
        note(f"  {words:<16} {command.help}")
    note("  A line that ends with \\ goes on in the next one, as one does after Alt-Enter; a paste is one question.")


def _new(chat: Chat, _: str) -> None:
    system = chat.talk.system
    chat.talk.messages.clear()
    if system is not None:
        chat.talk.set_system(system)
    note("a new talk" + (" with the same system message" if system is not None else ""))


def _system(chat: Chat, text: str) -> None:
    if text:
        chat.talk.set_system("" if text == "none" else text)
    note(f"system message: {chat.talk.system or 'none'}")


def _path(name: str) -> Path:
    if "\0" in name:
        raise Q4Error(f"{shown(name)}: no name of a file")
    return expanded(name)


def _save(chat: Chat, name: str) -> None:
    path = _path(name)
    if refused := conflict_with_run(chat.args, "the talk's file", path):
        raise Q4Error(refused)
    data = {"model": str(chat.talk.conversation.engine.gguf.path), "messages": chat.talk.messages}
    text = json.dumps(data, ensure_ascii=False, indent=2) + "\n"
    try:
        outputs.write(path, text.encode("utf-8", "replace"))  # bytes of -p that were no text
    except OSError as error:
        raise Q4Error(f"{name}: cannot be written: {error.strerror}") from None
    note(f"{len(chat.talk.messages)} messages are in {name}")


def _load(chat: Chat, name: str) -> None:
    chat.talk.messages = messages_of(_path(name))
    note(f"{len(chat.talk.messages)} messages from {name}")
    if (last := chat.talk.messages[-1:]) and last[0]["role"] == "assistant":
        note(f"the last one: {beginning(last[0]['content'])}")


def messages_of(path: Path) -> list[Message]:
    """The messages of a file that /save wrote, or of any with such a list. Q4Error where it is none."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise Q4Error(f"{path}: is no regular file")
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TALK_BYTES + 1)
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > _MAX_TALK_BYTES:
        raise Q4Error(f"{path}: holds more than {_MAX_TALK_BYTES >> 20} MiB, which is no talk")
    if sum(map(raw.count, (b"[", b"{", b","))) > _MAX_TALK_PARTS:  # each may become an object of a hundred bytes
        raise Q4Error(f"{path}: holds more than {_MAX_TALK_PARTS} lists, objects and commas, which is no talk")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Q4Error(f"{path}: is no JSON: {str(error).splitlines()[0]}") from None
    found = data.get("messages") if isinstance(data, dict) else data
    if not isinstance(found, list):
        raise Q4Error(f'{path}: has no list "messages"')
    for number, message in enumerate(found, 1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise Q4Error(f'{path}: message {number} is no object with a text "content"')
        if message.get("role") not in _ROLES or (message["role"] == "system" and number > 1):
            raise Q4Error(
                f"{path}: message {number} has the role {shown(str(message.get('role')))}, expected user or assistant"
                f"{', or system' if number == 1 else ''}"
            )
    last = found[-1:]
    if last and last[0]["role"] == "user":
        raise Q4Error(f"{path}: ends with a question, expected its answer behind it")
    return [{"role": message["role"], "content": message["content"]} for message in found]


def _regen(chat: Chat, _: str) -> None:
    before = list(chat.talk.messages)
    question = chat.talk.take_back()
    if question is None:
        raise Q4Error("there is no question to answer again")
    if chat.args.temperature == 0:
        note("note: with --temp 0 the same question has the same answer")
    if not chat.ask(question):
        chat.talk.messages = before
        note("(the answer that was there stays)")


def _undo(chat: Chat, _: str) -> None:
    question = chat.talk.take_back()
    if question is None:
        raise Q4Error("there is no question to take back")
    note(f"taken back: {beginning(question)}")


def _stats(chat: Chat, _: str) -> None:
    session = chat.talk.conversation.session
    note(f"{len(session.tokens)} of {session.n_ctx} tokens of context are used")
    for line in chat.talk.conversation.timings.lines():
        note(line)


def _quit(chat: Chat, _: str) -> None:
    raise Leave(0)


COMMANDS = {
    "help": Command(_help, "this list"),
    "new": Command(_new, "forget all but the system message"),
    "system": Command(_system, "show the system message or set it (none: without one)", "[TEXT]"),
    "save": Command(_save, "write the talk as JSON", "FILE"),
    "load": Command(_load, "go on with a saved talk", "FILE"),
    "regen": Command(_regen, "answer the last question again"),
    "undo": Command(_undo, "take back the last question and its answer"),
    "stats": Command(_stats, "times so far, and how full the context is"),
    "quit": Command(_quit, "end the chat, as Ctrl-D does"),
}
_ALIASES = {"exit": "quit", "bye": "quit", "?": "help", "clear": "new"}
