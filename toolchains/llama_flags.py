"""Writes docs/from-llama.cpp.md: ``python toolchains/llama_flags.py`` after a change of the options."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from host import REPO

from q4engine.cli import parser_of
from q4engine.cli.llama_cpp import ABSENT, RUN_IGNORED, Flags

DOCUMENT = REPO / "docs" / "from-llama.cpp.md"
_HEAD = """\
# Coming from llama.cpp

`q4engine run` takes the place of `llama-cli` and `llama-completion`, and `bench`, `quantize`, `perplexity` and
`tokenize` that of llama.cpp's programs of those names. What fingers know works, is accepted without effect and said to
be, or is refused in one line that names the way out. Underscores equal hyphens; an option is known by its whole name,
and only a number may follow a letter without a blank (`-t4`).

This page is written by `python toolchains/llama_flags.py` from the parsers.
"""
COMMANDS = {
    "run": "llama-cli, llama-completion",
    "bench": "llama-bench",
    "quantize": "llama-quantize",
    "perplexity": "llama-perplexity",
    "tokenize": "llama-tokenize",
}
# Options of ours that llama.cpp does not have, or not for this.
_OURS = {
    "run": ("--annotate", "--annotate-ops", "--markers", "--capture", "--no-peak", "--per-op", "--events", "--trace",
            "--perf-ctl", "--perf-phase", "--backend", "--json", "--no-tuned"),
}  # fmt: skip


def options_of(command: str) -> Iterator[tuple[list[str], str]]:
    """Names and help of what a command's parser shows and llama.cpp has."""
    ours = set(_OURS.get(command, ()))
    for action in parser_of(command)._actions:
        if (
            action.option_strings
            and action.help not in (None, argparse.SUPPRESS)
            and not ours & {*action.option_strings}
        ):
            yield list(action.option_strings), _plain(action)


def _plain(action: argparse.Action) -> str:
    values = {**vars(action), "prog": "q4engine"}
    return " ".join((str(action.help) % values).split()).replace("|", "\\|")


def _rows(kinds: Iterable[Flags]) -> Iterator[str]:
    for kind in kinds:
        for names in kind:
            yield f"| {_code(names)} | {kind.what}: {kind.advice} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def document() -> str:
    """The page."""
    lines = [_HEAD]
    for command, theirs in COMMANDS.items():
        lines += [f"## `q4engine {command}` ({theirs})", "", "| works | |", "|---|---|"]
        lines += [f"| {_code(names)} | {text} |" for names, text in options_of(command)]
        if command == "run":
            lines += ["", "| accepted, changes nothing | |", "|---|---|", *_rows(RUN_IGNORED)]
        lines += ["", "| not there | |", "|---|---|", *_rows(ABSENT[command]), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
