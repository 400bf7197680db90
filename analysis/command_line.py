"""The command line that all commands share: input options, error handling, exit codes."""

from __future__ import annotations

import argparse
import errno
import glob
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from analysis import collecting, cores, outputs
from analysis.cores import Core
from analysis.cutting import STRADDLE
from analysis.errors import AnalysisError, printable
from analysis.help_pages import Help
from analysis.interrupts import interrupted
from analysis.judging import MOST_SLOTS, Capture, Options
from analysis.readers.formats import NAMES
from analysis.terminal import give_up_stdout, make_safe, say

if TYPE_CHECKING:
    from analysis.reports.model import Report

OK, BAD_INPUT = 0, 1

_MOST = 1e9  # GB/s or GOP/s: a number above it is a mistake

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a file that is written


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Options that say how captures are to be read."""
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--format",
        metavar="FORMAT",
        choices=NAMES,
        help=f"format of the capture, recognised by its content without this: {', '.join(NAMES)}",
    )
    group.add_argument("--lenient", action="store_true", help="skip malformed rows and count them instead of stopping")
    group.add_argument(
        "--core", type=_core, metavar="NAME|MIDR", help="core that counted, e.g. neoverse-v2 or 0x410fd4f0"
    )
    group.add_argument("--slots", type=_slots, metavar="N", help="issue slots a cycle (caps/slots of the PMU in sysfs)")
    group.add_argument("--markers", type=file, metavar="FILE", help="markers file of `q4engine run --markers`")
    group.add_argument(
        "--offset",
        type=finite,
        metavar="SECONDS",
        help="time on the markers' clock at which the capture's time 0 lies",
    )
    group.add_argument(
        "--straddle",
        choices=STRADDLE,
        default=STRADDLE[0],
        help="intervals that hold a boundary: divide them or drop them",
    )
    group.add_argument(
        "--per-scope", action="store_true", help="judge every core, thread or socket of the capture apart"
    )
    group.add_argument(
        "--read-peak", type=positive, metavar="GB/s", help="measured streaming read of the machine, 10^9 B/s"
    )
    group.add_argument(
        "--assume",
        type=_assumed,
        metavar="GB/s,GOP/s",
        help="of an emulated capture: project times by operation on a machine of this bandwidth and arithmetic",
    )
    group.add_argument("--model", type=file, metavar="FILE.gguf", help="the model that ran, for its bytes per token")


def options_of(arguments: argparse.Namespace) -> Options:
    """The reading options of a parsed command line."""
    return Options(
        format=arguments.format,
        lenient=arguments.lenient,
        core=arguments.core,
        slots=arguments.slots,
        markers=arguments.markers,
        offset_s=arguments.offset,
        straddle=arguments.straddle,
        by_scope=arguments.per_scope,
        read_peak=arguments.read_peak * 1e9 if arguments.read_peak else None,
        model=arguments.model,
        assume=arguments.assume,
    )


class Parser(argparse.ArgumentParser):
    """A mistake is one line, abbreviated options are refused, and output that cannot be written is an error, over which
    argparse passes.

    ``called``: what stands before a command's name where it is called. ``examples``: what may stand behind it.
    """

    called = "python -m analysis."

    def __init__(self, prog: str, description: str, examples: Sequence[str]) -> None:
        name = self.called + prog.removeprefix("python -m analysis.")
        epilog = "\n".join(["examples:", *(f"  {name} {words}" for words in examples)])
        super().__init__(prog=name, description=description, epilog=epilog, allow_abbrev=False, formatter_class=Help)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {printable(message, 1000)}; `{self.prog} --help` lists the options\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is not sys.stdout:
            super()._print_message(message, file)
        else:
            file.write(message)
            file.flush()


def run(main: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> int:
    """Run a command with these arguments, else with the process's own: what is wrong becomes one line on stderr and
    status 1, a closed pipe ends quietly."""
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()  # None where the caller closed it
    make_safe()
    alone = signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # as analysis/__init__.py leaves it for the imports
    try:
        if alone:
            signal.signal(signal.SIGINT, interrupted)
        with collecting.rarely():
            status = main(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except AnalysisError as error:
        return _fail(str(error))
    except BrokenPipeError:
        give_up_stdout()
        return OK
    except MemoryError:
        return _fail("there is not enough memory")
    except OSError as error:
        if error.errno not in _FULL:
            return _fail(str(error))
        give_up_stdout()
        return _fail(f"the output cannot be written: {error.strerror}")
    except KeyboardInterrupt:
        return 130
    finally:
        if alone:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    return status


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _fail(message: str) -> int:
    say(f"error: {message}")
    return BAD_INPUT


def expand(patterns: Sequence[str]) -> list[Path]:
    """Files meant by names, patterns and folders (*.csv, *.json, *.txt); AnalysisError where one names none."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir() and not (path / "timeline.csv").is_file():
            inside = sorted(entry for entry in path.iterdir() if entry.suffix in (".csv", ".json", ".txt"))
            if not inside:
                raise AnalysisError("no captures (*.csv, *.json, *.txt) in this folder", path=path)
            found.update(dict.fromkeys(inside))
        elif path.exists() or not glob.has_magic(pattern):
            found[path] = None
        else:
            matches = sorted(Path(name) for name in glob.glob(pattern))  # noqa: PTH207 - takes absolute patterns
            if not matches:
                raise AnalysisError("no file fits this pattern", path=pattern)
            found.update(dict.fromkeys(matches))
    return list(found)


def add_output_options(parser: argparse.ArgumentParser, picture_of: str) -> None:
    """`--plot` and `--html`. picture_of: what the picture does, for the help."""
    parser.add_argument("--plot", type=picture, metavar="FILE.png|FILE.svg", help=picture_of)
    parser.add_argument("--html", type=file, metavar="FILE.html", help="write it as one page, which needs no network")


def write_report(report: Report, given: argparse.Namespace) -> None:
    """Write the picture and the page that the command line asks for."""
    if given.plot or given.html:
        from analysis.reports import drawing, html  # matplotlib takes a while to load

        form = given.plot.suffix.lower().removeprefix(".") or "png" if given.plot else ""
        write((given.plot, lambda: drawing.picture(report, form)), (given.html, lambda: html.render(report)))


def refuse_conflicts(given: argparse.Namespace, captures: Sequence[Path]) -> None:
    """AnalysisError where a file to be written is one that is read, under whatever name."""
    names = ("plot", "html", "collapsed", "speedscope", "flame", "firefox")
    wanted = [(f"--{name}", getattr(given, name, None)) for name in names]
    read: list[tuple[str, Path | None]] = [("the capture", path) for path in captures]
    read += [(f"--{name}", getattr(given, name, None)) for name in ("markers", "model")]
    if refused := outputs.conflict(wanted, read):
        raise AnalysisError(refused)


def say_which(*captures: Capture) -> None:
    """Says on standard error which run was taken of each file that holds several."""
    for capture in captures:
        if capture.which:
            say(f"note: {printable(str(capture.path), 500)}: {capture.which}")


def write(*files: tuple[Path | None, Callable[[], str | bytes]]) -> None:
    """Write output files, each whole or not at all; a path of None is not wanted.

    AnalysisError with the names of all that cannot be written.
    """
    failed = []
    for path, contents in files:
        if path is not None:
            data = contents()
            try:
                outputs.write(path, data)
            except OSError as error:
                failed.append(AnalysisError(f"cannot be written: {error.strerror or error}", path=path))
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise AnalysisError("; ".join(map(str, failed)))


def _core(text: str) -> Core:
    try:
        return cores.find(text)
    except AnalysisError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def file(text: str) -> Path:
    """A path; an empty one would be the current folder, and is a variable that was never set."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


def pattern(text: str) -> str:
    """A file, a folder or a pattern for names."""
    file(text)
    return text


def picture(text: str) -> Path:
    """A file's name that tells a form in which pictures are drawn."""
    path = file(text)
    if path.suffix.lower() not in ("", ".png", ".svg"):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no name of a .png or .svg file")
    return path


def at_least_one(text: str) -> int:
    if not re.fullmatch(r"0{0,9}[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no number from 1 to 999999999")
    return int(text)


def finite(text: str) -> float:
    try:
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no number")
    return value


def positive(text: str) -> float:
    value = finite(text)
    if not 0 < value <= _MOST:
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is out of range, expected above 0 to {_MOST:g}")
    return value


def _assumed(text: str) -> tuple[float, float]:
    """Bytes and operations a second."""
    bandwidth, comma, arithmetic = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"{printable(text)!r} should be two numbers, such as 40,200")
    return positive(bandwidth) * 1e9, positive(arithmetic) * 1e9


def _slots(text: str) -> int:
    """Decimal, or hexadecimal as sysfs has it."""
    match = re.fullmatch(r"0x0{0,8}([0-9a-fA-F]{1,2})|(\d{1,2})", text, re.ASCII)
    number = int(match[1], 16) if match and match[1] else int(match[2]) if match else 0
    if not 1 <= number <= MOST_SLOTS:
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no number of slots, 1 to {MOST_SLOTS}")
    return number
