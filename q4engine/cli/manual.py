"""``q4engine manual [COMMAND]``: a manual page, written from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from q4engine import __version__
from q4engine.cli import COMMANDS, options
from q4engine.cli.described import described_options, parser_of, positionals, summaries

_EPILOG = """\
examples:
  q4engine manual run | man -l -
  for c in "" run bench; do q4engine manual $c > ~/.local/share/man/man1/q4engine${c:+-$c}.1; done
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "manual",
        run,
        help="print a manual page",
        description="Print the manual page of a command, or the one that lists them, for man.",
        epilog=_EPILOG,
    )
    parser.add_argument("page", choices=COMMANDS, metavar="COMMAND", nargs="?", help="without one: the list")


def run(args: argparse.Namespace) -> int:
    """Prints the page."""
    print("\n".join(_page(args.page) if args.page else _list()))
    return 0


def _list() -> Iterator[str]:
    yield from _head("q4engine", "an LLM engine for Arm CPUs that explains its own speed")
    yield from (".SH SYNOPSIS", r"\fBq4engine\fR \fICOMMAND\fR …", ".SH COMMANDS")
    for command, summary in summaries().items():
        yield from (".TP", rf"\fBq4engine-{command}\fR(1)", _escaped(summary))


def _page(command: str) -> Iterator[str]:
    parser = parser_of(command)
    yield from _head(f"q4engine-{command}", summaries()[command])
    usage = parser.format_usage().partition(":")[2]
    yield from (".SH SYNOPSIS", _escaped(" ".join(usage.split())))
    yield ".SH DESCRIPTION"
    yield from map(_escaped, str(parser.description).splitlines())
    yield ".SH OPTIONS"
    for name, text, _ in positionals(command):
        yield from (".TP", rf"\fI{_escaped(name)}\fR", _escaped(text))
    for option in described_options(command):
        names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in option.names)
        value = "" if option.value is None else rf" \fI{_escaped(option.value)}\fR"
        yield from (".TP", names + value, _escaped(option.help))
    if parser.epilog:
        yield from (".SH EXAMPLES AND NOTES", ".nf", *map(_escaped, parser.epilog.splitlines()), ".fi")


def _head(name: str, summary: str) -> Iterator[str]:
    yield f'.TH {name.upper()} 1 "" "q4engine {__version__}"'
    yield from (".SH NAME", rf"{name} \- {_escaped(summary.rstrip('.'))}")


def _escaped(line: str) -> str:
    """Text as roff takes it: backslashes and hyphens as they are, no line a request."""
    text = line.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) or not text else text
