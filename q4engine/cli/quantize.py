"""``q4engine quantize IN OUT --type q4_0|q4_k_m|q8_0|…``"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from q4engine.cli.options import add_command, file, integer, note, printable, tell_of_truncation, thread_count
from q4engine.cpus import default_thread_count
from q4engine.errors import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from q4engine.gguf.quantize_file import Summary

# the keys of q4engine.gguf.mixtures.TARGETS, which is slow to import
_TYPES = (
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k_m", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k",
    "iq4_nl", "iq4_xs", "f16",
)  # fmt: skip

_DEFAULT = "q4_0"
_OTHER_NAMES = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}
_NUMBERED = {
    "1": "f16", "2": "q4_0", "3": "q4_1", "7": "q8_0", "8": "q5_0", "9": "q5_1", "10": "q2_k", "12": "q3_k_m",
    "14": "q4_k_s", "15": "q4_k_m", "16": "q5_k_s", "17": "q5_k_m", "18": "q6_k", "25": "iq4_nl", "30": "iq4_xs",
}  # fmt: skip
"""llama.cpp's numbers of file types."""

_DESCRIPTION = """\
Quantise the matrices of a GGUF file; metadata and vectors are carried over.
With q4_0 and q4_1 the embedding and the output take Q6_K if their columns
divide by 256, else Q8_0; q8_0 and f16 are one type throughout; the others
choose each tensor's type as llama.cpp does. Matrices whose columns fit no block become F16, and
tensors that have their type already are copied. OUT appears when it is whole.
Its bytes are the same on every machine.
"""
_EPILOG = """\
examples:
  q4engine quantize model-f16.gguf model-q4_0.gguf
  q4engine quantize model-f16.gguf model-q4_k_m.gguf --type q4_k_m --imatrix model.imatrix
  q4engine quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M 4      as llama-quantize has it
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "quantize",
        run,
        help="quantise a GGUF file",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("source", metavar="IN", type=file, help="GGUF file to read")
    parser.add_argument("out", metavar="OUT", type=file, help="GGUF file to write")
    parser.add_argument("type_position", metavar="TYPE", nargs="?", help="as --type")
    parser.add_argument("threads_position", metavar="N", nargs="?", type=integer(1, 256), help="as -t")
    parser.add_argument(
        "--type",
        metavar="TYPE",
        type=_type_of,
        choices=_TYPES,
        help=f"type of the matrices (default: {_DEFAULT}): {', '.join(_TYPES)}",
    )
    parser.add_argument(
        "--allow-requantize", action="store_true", help="say nothing of a source that is quantised already"
    )
    parser.add_argument(
        "--method",
        choices=("search", "reference"),
        default="search",
        help="search: the scale of smallest squared error per block (default); reference: the bytes of gguf's own code",
    )
    parser.add_argument(
        "--imatrix",
        metavar="FILE",
        type=file,
        help="importance matrix by which the search weighs errors, as llama-imatrix writes it (GGUF or .dat)",
    )
    parser.add_argument("-t", "--threads", metavar="N", type=thread_count, help="threads (default, and -1: as for run)")


def _type_of(text: str) -> str:
    """An argparse type: llama.cpp's spellings and numbers of types as the names that they have here."""
    name = text.lower()
    return _OTHER_NAMES.get(name, _NUMBERED.get(name, name))


def _sort(args: argparse.Namespace) -> None:
    """OUT may be absent, as for llama-quantize: a type in its place is one."""
    kind, threads = args.type_position, args.threads_position
    if _type_of(str(args.out)) in _TYPES:
        if threads is not None:
            args.parser.error("expected IN OUT TYPE N or IN TYPE N")
        try:
            threads = None if kind is None else integer(1, 256)(kind)
        except argparse.ArgumentTypeError as error:
            args.parser.error(f"argument N: {error}")
        kind = _type_of(str(args.out))
        args.out = args.source.with_name(f"ggml-model-{kind.upper()}.gguf")
    if kind is not None and _type_of(kind) not in _TYPES:
        args.parser.error(f"there is no type {shown(kind)}, expected one of {', '.join(_TYPES)}")
    if (kind is not None and args.type is not None) or (threads is not None and args.threads is not None):
        args.parser.error("a type and a number of threads are given once, in their places or as options")
    args.type, args.threads = args.type or _type_of(kind or _DEFAULT), args.threads or threads


def run(args: argparse.Namespace) -> int:
    """Quantise; progress and a summary go to stderr. Q4Error where something is wrong with IN or OUT."""
    _sort(args)
    if args.imatrix is not None and args.method == "reference":
        args.parser.error("--imatrix weighs the search; --method reference has none")
    tell_of_truncation(args.source)
    start = time.perf_counter()
    if sys.stderr.isatty():
        summary = _with_progress_bar(args)
    else:
        summary = _quantize(args, None)
    note(
        f"{args.out}: {summary.n_bytes_after / 1e6:.1f} MB of tensors (were {summary.n_bytes_before / 1e6:.1f}), "
        f"{summary.n_converted} of {summary.n_tensors} tensors converted in {time.perf_counter() - start:.1f} s"
    )
    if summary.requantised and not args.allow_requantize:
        note(
            f"note: {args.source.name} was quantised already ({', '.join(summary.requantised)}): what was lost then is "
            "not brought back (--allow-requantize says nothing of it)"
        )
    if summary.unweighted:
        names = ", ".join(printable(name) for name in summary.unweighted[:3])
        more = len(summary.unweighted) - 3
        note(f"{args.imatrix} says nothing of {names}" + (f" and {more} others" if more > 0 else ""))
    return 0


def _quantize(args: argparse.Namespace, progress: Callable[[str, int], None] | None) -> Summary:
    from q4engine.gguf.imatrix import ImportanceMatrix
    from q4engine.gguf.mixtures import TARGETS
    from q4engine.gguf.quantize_file import quantize_file

    threads = args.threads or default_thread_count()
    importance = None if args.imatrix is None else ImportanceMatrix.open(args.imatrix)
    return quantize_file(args.source, args.out, TARGETS[args.type], args.method, threads, progress, importance)


def _with_progress_bar(args: argparse.Namespace) -> Summary:
    from rich.console import Console
    from rich.progress import Progress

    from q4engine.gguf import GGUFFile

    with GGUFFile.open(args.source) as file:
        total = sum(info.n_elements for info in file.tensors.values())
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("quantising", total=total)

        def advance(name: str, n_weights: int) -> None:
            bar.update(task, advance=n_weights, description=f"{name:<28}")

        return _quantize(args, advance)
