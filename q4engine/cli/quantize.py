"""``q4engine quantize IN OUT --type q4_0|q4_k_m|q8_0|…``"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from q4engine.cli.options import add_command, file, integer, note, printable, tell_of_truncation
from q4engine.cpus import default_thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from q4engine.gguf.quantize_file import Summary

# the keys of q4engine.gguf.mixtures.TARGETS, which is slow to import
_TYPES = (
    "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k_m", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k",
    "iq4_nl", "iq4_xs", "f16",
)  # fmt: skip

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
    parser.add_argument(
        "--type",
        metavar="TYPE",
        choices=_TYPES,
        default="q4_0",
        help=f"type of the matrices (default: %(default)s): {', '.join(_TYPES)}",
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
    parser.add_argument("-t", "--threads", metavar="N", type=integer(1, 256), help="threads (default: as for run)")


def run(args: argparse.Namespace) -> int:
    """Quantise; progress and a summary go to stderr. Q4Error where something is wrong with IN or OUT."""
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
