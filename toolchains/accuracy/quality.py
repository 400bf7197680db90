"""Quantises a model in every way and measures each: the tables of docs/quality.md.

    python toolchains/accuracy/quality.py MODEL.gguf TEXT.txt [--imatrix FILE] [--windows 12] [--types q4_0,iq4_nl]
        [--ways search]
    python toolchains/accuracy/quality.py MODEL.gguf TEXT.txt --blocks Q4_K,IQ4_XS [--imatrix FILE]
    python toolchains/accuracy/quality.py MODEL.gguf --errors all --imatrix FILE

The first makes files as `q4engine quantize --type` does: by the search, by the reference method where the type has one,
and with --imatrix by the search that it weighs. The second shows what a type costs by itself, also where a model's
columns do not divide by its block: the rows of each matrix of the layers are laid end to end, quantised, decoded and
kept as F16, so that activations and all else are as they were. Both print a line each: MB of tensors, bytes a weight,
perplexity, divergence from MODEL (KL(MODEL || made), nats) and how often both find the same token likeliest. The third
takes no model's run: in percent, by how much what the matrices of a layer in the middle give is off, worked out from
the errors of weights and the mean squares of what they are multiplied with.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from q4engine.engine import Engine, Session
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize, dequantize_tensor
from q4engine.gguf.imatrix import ImportanceMatrix
from q4engine.gguf.mixtures import TARGETS
from q4engine.gguf.quantize_file import Method, quantize_file, quantize_rows
from q4engine.gguf.write import GGUFWriter, NewTensor
from q4engine.scoring import Mean, score, text_tokens

_TYPES = [kind for kind in TensorType if kind.usable and kind.block_size > 1]
_WAYS = ("search", "reference", "imatrix")


@dataclass
class Remembered:
    """The base's session: what it answered once is not worked out again."""

    session: Session
    _past: tuple[int, ...] = ()
    _answers: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict)

    @property
    def engine(self) -> Engine:
        return self.session.engine

    def truncate(self, n_past: int) -> None:
        self._past = self._past[:n_past]

    def decode(self, ids: Sequence[int], all_logits: bool = False, phase: str = "prefill") -> np.ndarray:
        key = (*self._past, *ids)
        if key not in self._answers:
            self.session.truncate(self.session.held([*self._past, 0]))
            logits = self.session.decode(key[self.session.n_past :], all_logits=True)
            self._answers[key] = logits[-len(ids) :] if all_logits else logits[-1:].copy()
        self._past = key
        return self._answers[key]


def make_with_types(args: argparse.Namespace, out: Path) -> Iterator[str]:
    importance = ImportanceMatrix.open(args.imatrix) if args.imatrix else None
    for name in args.types.split(",") if args.types else TARGETS:
        target = TARGETS[name]
        ways: list[tuple[str, Method, ImportanceMatrix | None]] = [("search", "search", None)]
        if target.type.name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
            ways.append(("reference", "reference", None))
        if importance is not None and name not in ("f16", "q8_0"):
            ways.append(("imatrix", "search", importance))
        for way, method, weights in (each for each in ways if each[0] in args.ways):
            quantize_file(args.model, out, target, method, args.threads, importance=weights)
            yield f"{name}, {way}"


def make_with_blocks(args: argparse.Namespace, out: Path) -> Iterator[str]:
    importance = ImportanceMatrix.open(args.imatrix) if args.imatrix else None
    for name in args.blocks.split(","):
        for weights in (None, importance) if importance is not None else (None,):
            _round_matrices(args.model, out, TensorType[name], weights)
            yield f"{name}, {'imatrix' if weights else 'search'}"


def print_errors(args: argparse.Namespace) -> None:
    """sqrt(Σ importance · (w − ŵ)² / Σ importance · w²) by type: reference method, search, weighed search."""
    importance = ImportanceMatrix.open(args.imatrix)
    chosen = [TensorType[name] for name in args.errors.split(",")] if args.errors != "all" else _TYPES
    with GGUFFile.open(args.model) as file:
        layer = f"blk.{file.metadata.integer(str(file.metadata['general.architecture']) + '.block_count') // 2}."
        infos = [info for name, info in file.tensors.items() if name.startswith(layer) and name in importance.entries]
        for kind in chosen:
            wrong, whole = np.zeros(3), 0.0
            for info in infos:
                counts, columns = importance.of(info), info.shape[-1]
                assert counts is not None
                turns = np.lcm(columns, kind.block_size) // columns
                tiled, lines = np.tile(counts[0], turns), dequantize_tensor(info).reshape(-1, turns * columns)
                whole += float((lines.astype(np.float64) ** 2 * tiled).sum())
                ways: list[tuple[Method, np.ndarray | None]] = [
                    ("reference", None),
                    ("search", None),
                    ("search", tiled),
                ]
                for at, (method, told) in enumerate(ways):
                    raw = quantize_rows(lines, kind, method, told).reshape(-1)
                    gap = dequantize(raw, kind, lines.shape).astype(np.float64) - lines
                    wrong[at] += float((gap**2 * tiled).sum())
            percents = " | ".join(f"{100 * np.sqrt(each / whole):.2f}" for each in wrong)
            print(f"| {kind.name} | {8 * kind.block_bytes / kind.block_size:.2f} | {percents} |", flush=True)


def _round_matrices(model: Path, out: Path, kind: TensorType, importance: ImportanceMatrix | None) -> None:
    with GGUFFile.open(model) as file:
        rounded = [name for name, info in file.tensors.items() if name.startswith("blk.") and len(info.shape) == 2]
        table = [
            NewTensor(name, TensorType.F16 if name in rounded else info.type, info.shape)
            for name, info in file.tensors.items()
        ]
        with GGUFWriter(out, [file.metadata.raw(key) for key in file.metadata], table, file.alignment) as writer:
            for name, info in file.tensors.items():
                if name not in rounded:
                    writer.write(info.data)
                    continue
                values = dequantize_tensor(info)
                columns = info.shape[-1]
                turns = np.lcm(columns, kind.block_size) // columns  # rows that whole blocks lie over
                counts = None if importance is None else importance.of(info)
                tiled = None if counts is None else np.tile(counts[0], turns)
                lines = values.reshape(-1, turns * columns)
                decoded = dequantize(quantize_rows(lines, kind, importance=tiled).reshape(-1), kind, lines.shape)
                writer.write(decoded.astype(np.float16))


def shown(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} ± {mean.error:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path, nargs="?", help="plain text")
    parser.add_argument("--imatrix", type=Path)
    parser.add_argument("--types", help="as --type of quantize has them (default: all)")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=_WAYS, help="for --types (default: all)")
    parser.add_argument("--blocks", help="tensor types")
    parser.add_argument("--errors", help="tensor types, or all")
    parser.add_argument("--files", nargs="*", type=Path, default=[], help="made elsewhere: measured first")
    parser.add_argument("-c", "--ctx-size", type=int, default=512)
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("-t", "--threads", type=int, default=2)
    args = parser.parse_args()
    if args.errors:
        print_errors(args)
        return
    with tempfile.TemporaryDirectory() as folder, Engine.load(args.model, n_threads=args.threads) as base:
        ids = text_tokens(base.tokenizer, args.text.read_text(encoding="utf-8"))
        remembered = Remembered(base.session(n_ctx=args.ctx_size))
        found, _ = score(cast(Session, remembered), ids, args.ctx_size, None, args.windows)
        print(f"| {args.model.name} | | | {shown(found.perplexity, 2)} | | | |", flush=True)
        for path in args.files:
            measure(path.name, path, args, ids, remembered)
        out = Path(folder) / "made.gguf"
        for name in make_with_blocks(args, out) if args.blocks else make_with_types(args, out):
            measure(name, out, args, ids, remembered)


def measure(name: str, path: Path, args: argparse.Namespace, ids: list[int], base: Remembered) -> None:
    with GGUFFile.open(path) as file:
        size = sum(info.n_bytes for info in file.tensors.values())
        a_weight = size / sum(info.n_elements for info in file.tensors.values())
    with Engine.load(path, n_threads=args.threads) as engine:
        session = engine.session(n_ctx=args.ctx_size)
        found, far = score(session, ids, args.ctx_size, cast(Session, base), args.windows)
    assert far is not None
    same = f"{100 * far.same_top.value:.1f} % ± {100 * far.same_top.error:.1f}"
    print(
        f"| {name} | {size / 1e6:.1f} | {a_weight:.3f} | {shown(found.perplexity, 2)} | {shown(far.kl, 4)} "
        f"| {far.largest_kl:.2f} | {same} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
