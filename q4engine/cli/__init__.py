"""The command line: ``q4engine COMMAND …``, one module a command.

A command's module has ``add_parser(subparsers)`` and a function of the parsed arguments that returns the exit code. It
imports what is heavy inside that function, so that ``--help`` and mistyped options answer at once.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import importlib.util
import os
import resource
import shlex
import sys
from collections.abc import Sequence

from analysis.help_pages import Help
from analysis.terminal import give_up_stdout, make_safe, say
from q4engine import __version__
from q4engine.cli.options import printable
from q4engine.cli.parsing import Parser
from q4engine.cli.signals import ended_by_signals
from q4engine.errors import Q4Error

COMMANDS = (
    "run", "watch", "bench", "explain", "tune", "sweep", "analyse", "inspect", "convert", "quantize", "perplexity",
    "tokenize", "fingerprint", "doctor", "mcp", "completion", "manual",
)  # fmt: skip

EXIT_ERROR = 1
EXIT_USAGE = 2  # argparse's
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE

_MIN_MEMORY = 192 << 20  # bytes of address space that Python and NumPy take

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a file that is written

_EPILOG = """\
examples:
  q4engine run model.gguf -p "What is the capital of France?"
  q4engine run model.gguf                    chat in the terminal
  q4engine inspect model.gguf                what the file holds, with --kernels: what runs it
  q4engine quantize model-f16.gguf model-q4_0.gguf --type q4_0
  q4engine COMMAND --help                    options and examples of a command

Text goes to stdout, all else to stderr. Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted, 143 terminated.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    _open_closed_streams()
    make_safe()
    try:
        words = sys.argv[1:] if argv is None else argv
        args = _parser().parse_args(words)
        args.command_line = shlex.join(["q4engine", *words])  # for the header of a capture
        _check_memory_limit()
        with ended_by_signals():
            code: int = args.run(args)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: --help, --version, wrong usage
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except Q4Error as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        give_up_stdout()
        return EXIT_BROKEN_PIPE
    except MemoryError:
        return _fail("there is not enough memory")
    except ImportError as error:
        return _fail(f"a part cannot be loaded: {_cause(error)}")
    except OSError as error:
        if error.errno not in _FULL:
            return _fail(str(error))
        give_up_stdout()
        return _fail(f"the output cannot be written: {error.strerror}")


def _check_memory_limit() -> None:
    """Q4Error where not even NumPy could be loaded, which says so in ways of its own."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < _MIN_MEMORY:
        raise Q4Error(
            f"this process may use {limit >> 20} MB of memory (ulimit -v), it needs {_MIN_MEMORY >> 20} MB and the "
            "model's size"
        )


def _cause(error: BaseException) -> str:
    """What libraries wrap into pages of advice."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _fail(message: str) -> int:
    """One line on stderr."""
    say(f"error: {printable(message)}")
    return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="q4engine",
        description="An LLM engine for Arm CPUs that explains its own speed.",
        epilog=_EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"q4engine {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        name = f"{__name__}.{command}"
        if importlib.util.find_spec(name) is not None:
            importlib.import_module(name).add_parser(subparsers)
    return parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    found = next(action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    parser: argparse.ArgumentParser = found[command]
    return parser


def _open_closed_streams() -> None:
    """A standard stream that the caller closed is empty and takes everything.

    Else the next file to be opened would get its number, and what is meant for stderr would go to stdout.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
