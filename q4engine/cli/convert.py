"""``q4engine convert SOURCE OUT``: models in other formats to GGUF."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.outputs import conflict
from q4engine.cli.options import add_command, file, note
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.convert.conversion import Conversion, Progress

_TYPES = ("f32", "f16", "bf16")  # the names of q4engine.convert.conversion.FLOAT_TYPES, which is slow to import

_DESCRIPTION = """\
Write a GGUF file of a Hugging Face folder (config.json, *.safetensors, and
tokenizer.json or tokenizer.model) or of a llama2.c checkpoint. OUT appears
when it is whole and q4engine can load it; `q4engine quantize` makes it small.
Checkpoints that are pickles are refused: opening one may run code.
"""
_EPILOG = """\
examples:
  q4engine convert ~/models/Qwen2.5-0.5B-Instruct qwen.gguf
  q4engine convert stories260K.bin stories.gguf --tokenizer tok512.bin
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers, "convert", run, help="make a GGUF file of a model", description=_DESCRIPTION, epilog=_EPILOG
    )
    parser.add_argument("source", metavar="SOURCE", type=file, help="folder or checkpoint to read")
    parser.add_argument("out", metavar="OUT", type=file, help="GGUF file to write")
    parser.add_argument("--type", choices=_TYPES, help="type of the matrices (default: as they are)")
    parser.add_argument("--tokenizer", metavar="FILE", type=file, help="tokenizer.bin of a llama2.c checkpoint")


def run(args: argparse.Namespace) -> int:
    """Convert; progress and a summary go to stderr."""
    from q4engine.convert.conversion import write_gguf
    from q4engine.gguf import TensorType

    start = time.perf_counter()
    _check_files(args)
    model = _read(args)
    for line in model.notes:
        note(line)
    kind = None if args.type is None else TensorType[args.type.upper()]
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar

        total = sum(_size(tensor.shape) for tensor in model.tensors)
        with Bar(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("converting", total=total)

            def advance(name: str, n_weights: int) -> None:
                bar.update(task, advance=n_weights, description=f"{name:<28}")

            progress: Progress | None = advance
            write_gguf(args.out, model, kind, progress)
    else:
        write_gguf(args.out, model, kind)
    seconds = time.perf_counter() - start
    note(f"{args.out}: {len(model.tensors)} tensors, {args.out.stat().st_size / 1e6:.1f} MB, in {seconds:.1f} s")
    return 0


def _check_files(args: argparse.Namespace) -> None:
    """Q4Error where OUT is a file that is read; an earlier OUT in the folder of a model is none."""
    source: Path = args.source
    read = [path for path in source.iterdir() if path.suffix != ".gguf"] if source.is_dir() else [source]
    refused = conflict([("the output", args.out)], [("the source", path) for path in [*read, args.tokenizer]])
    if refused:
        raise Q4Error(refused)


def _size(shape: tuple[int, ...]) -> int:
    import math

    return math.prod(shape)


def _read(args: argparse.Namespace) -> Conversion:
    from q4engine.convert.pickles import refuse_pickle

    source: Path = args.source
    if source.is_dir():
        if args.tokenizer is not None:
            args.parser.error("--tokenizer belongs to a llama2.c checkpoint; a folder has its own")
        from q4engine.convert.hugging_face import read_folder

        return read_folder(source)
    if not source.exists():
        raise Q4Error(f"{source}: no such file or folder")
    if not source.is_file():  # opening a pipe would wait for its writer
        raise Q4Error(f"{source}: is no regular file")
    refuse_pickle(source)
    if source.suffix == ".safetensors":
        raise Q4Error(f"{source}: give the folder that it lies in, with config.json and the tokenizer")
    if args.tokenizer is None:
        args.parser.error("a llama2.c checkpoint needs --tokenizer; a Hugging Face model is a folder")
    from q4engine.convert.llama2c import read_llama2c

    return read_llama2c(source, args.tokenizer)
