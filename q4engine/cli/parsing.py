"""The parser of the command line: whole names, one line for a mistake, and a word on options of llama.cpp.

argparse alone reads ``-temp 0`` as ``-t emp`` and answers with pages of usage.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from q4engine.cli.llama_cpp import absent
from q4engine.errors import shown

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"  # what word processors make of one or two hyphens
_NUMBER = re.compile(r"-?[0-9.]+([eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+")
_LEAST_LIKENESS = 0.7


class Parser(argparse.ArgumentParser):
    """argparse's own, but for how options are named.

    Underscores equal hyphens. An option is known by its whole name: letters behind one dash are no cluster, and only a
    number may follow a letter without a blank (-t4). ``passes_on``: what follows the first word that is no option is
    another parser's.
    """

    passes_on = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        found, left = super().parse_known_args(list(self._whole_names(words)), namespace)
        if left and self._subparsers is None:
            self.error(f"unrecognized arguments: {' '.join(left)}")
        return found, left

    def error(self, message: str) -> NoReturn:
        listed = "options" if self._subparsers is None else "commands"
        self.exit(2, f"error: {message}; `{self.prog} --help` lists the {listed}\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's own passes over an output that cannot be written."""
        if file is not sys.stdout:
            super()._print_message(message, file)
        else:
            file.write(message)
            file.flush()

    def _whole_names(self, words: Sequence[str]) -> Iterator[str]:
        """The words with options as the parser knows them. Usage error for one that it does not."""
        rest = iter(words)
        taker = ""  # the option that the word before named, where it takes a value
        for word in rest:
            if not _is_option(word):
                self._check_dash(word)
                yield word
                taker = ""
                if self.passes_on:
                    break
                if self._subparsers is None:
                    continue
                self._check_command(word)
                break  # a command, whose own parser reads on
            if word == "--":
                yield word
                break
            name, equals, value = word.partition("=")
            if name.startswith("--"):
                name = name.replace("_", "-")
            if name not in self._option_string_actions and not self._has_value(word):
                self.error(self._unknown(name, taker))
            action = self._option_string_actions.get(name)
            taker = name if action is not None and action.nargs is None and not equals else ""
            yield f"{name}{equals}{value}"
        yield from rest

    def _check_dash(self, word: str) -> None:
        if word[:1] and word[0] in _DASHES:
            for name in (f"--{word[1:]}", f"-{word[1:]}"):
                if name.partition("=")[0] in self._option_string_actions:
                    self.error(f"{shown(word)} begins with U+{ord(word[0]):04X} for a hyphen, did you mean {name}?")

    def _check_command(self, word: str) -> None:
        known = next(list(action.choices or ()) for action in self._actions if isinstance(action.choices, dict))
        if word not in known:
            close = difflib.get_close_matches(word, known, 1, _LEAST_LIKENESS)
            self.error(f"there is no command {shown(word)}" + (f", did you mean {close[0]}?" if close else ""))

    def _has_value(self, word: str) -> bool:
        """Whether a number follows the letter of a short option, as in -t4."""
        action = self._option_string_actions.get(word[:2])
        return action is not None and action.nargs is None and _NUMBER.fullmatch(word[2:]) is not None

    def _unknown(self, name: str, taker: str) -> str:
        command = self.prog.rpartition(" ")[2]
        found = absent(command, name)
        if found is not None:
            return f"{name} is llama.cpp's option for {found.what}, which is not there: {found.advice}"
        if f"-{name}" in self._option_string_actions:
            return f"there is no option {name}, did you mean -{name}?"
        whole, number = re.fullmatch(r"(.*?)([0-9.]*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
        if number and whole in self._option_string_actions:
            return f"there is no option {name}, did you mean {whole} {number}?"
        known = [option for option, action in self._option_string_actions.items() if action.help != argparse.SUPPRESS]
        close = difflib.get_close_matches(name, known, 1, _LEAST_LIKENESS)
        if close:
            return f"there is no option {name}, did you mean {close[0]}?"
        short = self._option_string_actions.get(name[:2])
        if name[1] != "-" and short is not None and short.nargs is None:
            return f"there is no option {shown(name)[1:-1]}: the value of {name[:2]} stands apart from it"
        as_value = f"; as the value of {taker} it is written {taker}={shown(name)[1:-1]}" if taker else ""
        return f"there is no option {shown(name)[1:-1]}{as_value}"


def _is_option(word: str) -> bool:
    """As argparse has it: what begins with a dash and is neither a number nor several words."""
    return len(word) > 1 and word[0] == "-" and " " not in word and not re.fullmatch(r"-\d+|-\d*\.\d+", word)
