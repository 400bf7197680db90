"""What the parsers say of commands and options, for completion and manual pages."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from q4engine.cli import COMMANDS, options
from q4engine.cli import parser_of as made_parser_of

parser_of = cache(made_parser_of)


@dataclass(frozen=True)
class Described:
    """An option: its names, its value's name (None: it takes none), what that may be, and what it does."""

    names: tuple[str, ...]
    value: str | None
    choices: tuple[str, ...]
    is_file: bool
    help: str

    @property
    def first_words(self) -> str:
        """Of the help: up to what stands in parentheses or behind a semicolon."""
        return self.help.partition(" (")[0].partition("; ")[0]


def described_options(command: str) -> Iterator[Described]:
    """The options that a command's help shows."""
    for action in parser_of(command)._actions:
        if action.option_strings and action.help != argparse.SUPPRESS:
            choices = tuple(map(str, action.choices or ()))
            value = None if action.nargs == 0 else str(action.metavar or "|".join(choices) or action.dest.upper())
            is_file = action.type is options.file or value in ("FILE", "DIR", "PATH", "MODEL")
            yield Described(tuple(action.option_strings), value, choices, is_file, help_of(action))


def positionals(command: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, help and choices of what stands without an option."""
    found = [action for action in parser_of(command)._actions if not action.option_strings]
    return [(str(one.metavar or one.dest), help_of(one), tuple(map(str, one.choices or ()))) for one in found]


def summaries() -> dict[str, str]:
    """Each command and what it is for."""
    return {command: str(parser_of(command).description).splitlines()[0] for command in COMMANDS}


def help_of(action: argparse.Action) -> str:
    """In one line, with its values filled in."""
    return " ".join((str(action.help) % {**vars(action), "prog": "q4engine"}).split())
