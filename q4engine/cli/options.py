"""Options that commands share, and how their values are read."""

from __future__ import annotations

import argparse
import codecs
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from analysis.help_pages import Help
from q4engine import __version__
from q4engine.cpus import MAX_THREADS, parse_cpu_mask
from q4engine.errors import Q4Error, shown
from q4engine.kv_forms import KV_FORMS, KVForm

MAX_CONTEXT = 1 << 28  # positions that a session can hold (native/session.h), if there is memory for them
MAX_BATCH = 1 << 20
MAX_PROMPT_BYTES = 1 << 25  # the largest contexts of today, 2^20 tokens, take a tenth of it
DEFAULT_THREADS = "-1"  # as llama.cpp has it
MAX_COUNT = (1 << 31) - 1  # tokens, steps, repetitions: more than anybody waits for
_INTEGER = re.compile(r"[+-]?[0-9]+")
_LONGEST_INTEGER = 100  # digits; Python converts no more than some thousands
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BIAS = re.compile(r"([0-9]{1,9})([+-][0-9]{1,7}(?:\.[0-9]{0,20})?|-inf)")
_OVERRIDE = re.compile(r"([^=]+)=(int|float|bool|str):(.*)", re.DOTALL)
_NEXT_OVERRIDE = re.compile(r",(?=[^=,]+=(?:int|float|bool|str):)")
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([nrt'\"\\]))")
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def integer(low: int, high: int) -> Callable[[str], int]:
    """An argparse type: an integer from ``low`` to ``high``."""

    def parsed(text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{shown(text)} is no integer")
        value = int(text) if len(text) < _LONGEST_INTEGER else high + 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)} is out of range, expected {low} to {high}")
        return value

    return parsed


def thread_count(text: str) -> int | None:
    """An argparse type: a number of threads, None for the default."""
    return None if text.strip() == DEFAULT_THREADS else integer(1, MAX_THREADS)(text)


def number(low: float, high: float) -> Callable[[str], float]:
    """An argparse type: a number from ``low`` to ``high``, not NaN."""

    def parsed(text: str) -> float:
        if not _NUMBER.fullmatch(text):
            raise argparse.ArgumentTypeError(f"{shown(text)} is no number")
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{shown(text)} is out of range, expected {low:g} to {high:g}")
        return value

    return parsed


def file(text: str) -> Path:
    """An argparse type: a path. An empty one would be the current folder, and is a variable that was never set."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


def text(value: str) -> str:
    """An argparse type: any text but an empty one."""
    if not value:
        raise argparse.ArgumentTypeError("the value is empty")
    return value


def cpu_mask(text: str) -> list[int]:
    """An argparse type: the CPUs of a mask or list."""
    try:
        return parse_cpu_mask(text)
    except Q4Error as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def logit_bias(text: str) -> tuple[int, float]:
    """An argparse type: a token's id and what is added to its logit, as 15043+1.5 or 15043-inf."""
    match = _BIAS.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no bias, expected an id, a sign and a number, as 15043+1.5")
    return int(match[1]), -math.inf if match[2] == "-inf" else float(match[2])


def override_kv(text: str) -> list[tuple[str, int | float | bool | str]]:
    """An argparse type: KEY=TYPE:VALUE, several with commas between."""
    found = []
    for pair in _NEXT_OVERRIDE.split(text):
        match = _OVERRIDE.fullmatch(pair)
        if match is None:
            raise argparse.ArgumentTypeError(
                f"{shown(pair)} is none of KEY=int:N, KEY=float:X, KEY=bool:true, KEY=str:TEXT"
            )
        found.append((match[1], _OVERRIDES[match[2]](match[3])))
    return found


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{shown(text)} is neither true nor false")
    return text == "true"


_OVERRIDES: dict[str, Callable[[str], int | float | bool | str]] = {
    "int": integer(-(1 << 63), (1 << 63) - 1),
    "float": number(-math.inf, math.inf),
    "bool": _truth,
    "str": str,
}


def add_command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    help: str,
    description: str,
    epilog: str | None = None,
    aliases: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """A sub-command's parser. ``run`` takes the arguments and returns the exit code."""
    parser = subparsers.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=Help,
        allow_abbrev=False,
        add_help=False,
        aliases=aliases,
    )
    parser.add_argument("-h", "--help", "--usage", action="help", help="show this help message and exit")
    parser.add_argument("--version", action="version", version=f"q4engine {__version__}", help="show the version")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model_position", metavar="MODEL", nargs="?", type=file, help="GGUF file")
    parser.add_argument("-m", "--model", metavar="MODEL", type=file, help="the same, as an option")
    add_hub(parser)


def add_hub(parser: argparse.ArgumentParser, action: str = "store") -> None:
    """-hf; with ``action="append"`` for several models."""
    parser.add_argument(
        "-hf",
        "-hfr",
        "--hf-repo",
        metavar="USER/REPO[:QUANT]",
        type=text,
        action=action,
        help="a model by its name on Hugging Face: out of the cache, else downloaded (pip install 'q4engine[hub]')",
    )


def hub_model(name: str) -> Path:
    """The file of a model named by -hf, found or downloaded. Q4Error where it is neither."""
    from q4engine.hub import HubModel, find_model

    return find_model(HubModel.parse(name), note)


def model_path(args: argparse.Namespace) -> Path:
    """The one model given; one that is named by -hf is found or downloaded. Usage error where there is none or two."""
    given = [path for path in (args.model_position, args.model, args.hf_repo) if path is not None]
    if len(given) != 1:
        args.parser.error("give one MODEL" if not given else "give MODEL once: in its place, with -m or with -hf")
    if args.hf_repo is not None:
        args.model, args.hf_repo = hub_model(args.hf_repo), None
        given = [args.model]
    path: Path = given[0]
    tell_of_truncation(path)
    return path


def add_prompt(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-p", "--prompt", metavar="TEXT", help=r"the prompt; \n, \t, \xHH and the like are escapes")
    source.add_argument("-f", "--file", metavar="FILE", type=file, help="read the prompt from a file, - for stdin")
    parser.add_argument("--no-escape", dest="escape", action="store_false", help="take backslashes in -p as they are")
    parser.add_argument("-e", "--escape", dest="escape", action="store_true", help="the contrary, which is the default")
    parser.set_defaults(escape=True)


def read_prompt(args: argparse.Namespace) -> str | None:
    """The prompt of -p, -f or a stdin that is no terminal; else None. One line end at the end of a file is dropped."""
    if args.prompt is not None:
        return unescape(args.prompt) if args.escape else str(args.prompt)
    if args.file is not None and str(args.file) != "-":
        return read_text(args.file)
    if args.file is None and sys.stdin.isatty():
        return None
    return _one_text(sys.stdin.buffer, "stdin")


def read_text(path: Path) -> str:
    """A text file without one line end at its end. Q4Error where it cannot be read or is no text."""
    try:
        with path.open("rb") as opened:
            return _one_text(opened, str(path))
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None


def _one_text(file: BinaryIO, name: str) -> str:
    raw = file.read(MAX_PROMPT_BYTES + 1)
    if len(raw) > MAX_PROMPT_BYTES:  # a device or a pipe may never end
        raise Q4Error(f"{name}: holds more than {MAX_PROMPT_BYTES >> 20} MiB, which no context takes")
    return decoded(raw, name).removesuffix("\n").removesuffix("\r")


def decoded(raw: bytes, name: str) -> str:
    """Text in UTF-8, or in UTF-16 with its mark, without the mark. Q4Error names the first byte that is neither."""
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + (len(codecs.BOM_UTF8) if not wide and raw.startswith(codecs.BOM_UTF8) else 0)
        raise Q4Error(
            f"{name}: byte 0x{raw[at]:02x} at offset {at} is no {'UTF-16' if wide else 'UTF-8'}; "
            "prompts are UTF-8, or UTF-16 with its mark (iconv converts others)"
        ) from None


NO_PROMPT = "give -p TEXT or -f FILE, or pipe the text in"


def unescape(text: str) -> str:
    r"""Replaces \n, \r, \t, \', \", \\ and \xHH (a byte, so that \xc3\xa9 is é). Other backslashes stay."""

    def replacement(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)]) if match[1] else _ESCAPED.get(match[2], match[2])

    return _ESCAPE.sub(replacement, text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def add_context(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--ctx-size",
        metavar="N",
        type=integer(0, MAX_CONTEXT),
        help="tokens of context, prompt and text together (default: the model's, up to 4096; 0: the model's)",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-t",
        "--threads",
        metavar="N",
        type=thread_count,
        help="threads (default, and -1: as many as make it faster)",
    )
    add_threads_batch(parser)
    parser.add_argument(
        "-b",
        "--batch-size",
        metavar="N",
        type=integer(1, MAX_BATCH),
        default=512,
        help="tokens evaluated at once when reading the prompt (default: %(default)s)",
    )
    parser.add_argument(
        "--backend", choices=("native", "numpy"), default="native", help="numpy: the readable reference (slow)"
    )


def add_threads_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-tb", "--threads-batch", metavar="N", type=thread_count, help="threads for prompts (default, and -1: as -t)"
    )


def add_kv_form(parser: argparse.ArgumentParser) -> None:
    for letter, what in (("k", "keys"), ("v", "values")):
        parser.add_argument(
            f"-ct{letter}",
            f"--cache-type-{letter}",
            choices=tuple(KV_FORMS),
            default="f16",
            help=f"how {what} are kept: f16, or q8_0, half the bytes; give both (default: %(default)s)",
        )


def kv_form(args: argparse.Namespace) -> KVForm:
    """Usage error where keys and values are to be of two forms."""
    if args.cache_type_k != args.cache_type_v:
        args.parser.error("keys and values have one form: give -ctk and -ctv the same")
    form: KVForm = args.cache_type_k
    return form


def add_no_tuned(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-tuned",
        dest="tuned",
        action="store_false",
        help="take the default where q4engine tune has found other threads or CPUs for this machine and model",
    )


def add_json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def check_events(args: argparse.Namespace) -> None:
    """A mistake in --events shows before a model is loaded."""
    from q4engine.machine import architecture
    from q4engine.profiling.events import parse_events

    if args.events is not None:
        try:
            parse_events(args.events, architecture())
        except Q4Error as error:
            args.parser.error(str(error))


def tell_of_truncation(path: Path) -> None:
    """If somebody cuts the file short from now on, the process ends with one line and exit code 1.

    What is mapped is read while the model runs: an embedding's rows, and by NumPy all. SIGBUS leaves no way to go on.
    """
    try:
        from q4engine import _native
    except ImportError:  # reading works without the extension
        return
    name = printable(str(path)).encode("utf-8", "replace")[:4000]
    _native.tell_of_truncation(b"error: " + name + b": the file was cut short while it was in use\n")


def printable(text: str) -> str:
    """What a path or a variable brings along neither breaks a line nor steers the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def note(text: str) -> None:
    """A line for the user beside the output."""
    print(text, file=sys.stderr)
