"""What `q4engine watch` costs a program's tokens: llama.cpp with and without it, in turns.

    python tests/bench/watching.py MODEL --python PYTHON [--starts 5] [--pairs 15] [--tokens 64] [--threads 1,2]

PYTHON has llama-cpp-python. Three processes have the model: one alone, one watched by calls, one by operations. They
take turns, and each turn gives two ratios of a token's time and of the CPU time of all its threads. Processes differ by
where their memory lies, so they are started anew several times. Worth something on a machine where nobody else works.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from q4engine.bench.peer import Peer
from q4engine.bench.statistics import median
from q4engine.bench.targets import random_tokens
from q4engine.gguf.reader import GGUFFile

DEPTH = 16
WAYS = {"alone": None, "calls": [], "operations": ["--per-op"]}


def watching(folder: Path, name: str) -> list[str]:
    """The command before the program's own; nothing for the one that runs alone."""
    options = WAYS[name]
    if options is None:
        return []
    capture = ["--capture", str(folder / f"{name}.csv"), "--events", "none", "--no-peak", "--annotate", "off"]
    return [sys.executable, "-m", "q4engine", "watch", *capture, *options, "--"]


def turns(args: argparse.Namespace, n_threads: int) -> None:
    with GGUFFile.open(args.model) as gguf:
        vocab = len(gguf.metadata.get("tokenizer.ggml.tokens") or range(1000))
    prompt, generated = random_tokens(DEPTH, vocab, 1), random_tokens(args.tokens, vocab, 2)
    n_ctx = DEPTH + args.tokens
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(args.starts):
        _turns(args, n_threads, n_ctx, prompt, generated, took)
    token = 1e3 * median([wall for wall, _ in took["alone"]]) / args.tokens
    print(f"{n_threads} threads: {token:.3f} ms a token alone")
    for name in [name for name in WAYS if name != "alone"]:
        print(f"  {name}: time {_more(took, name, 0)}; CPU time {_more(took, name, 1)}", flush=True)


def _more(took: dict[str, list[tuple[float, float]]], name: str, which: int) -> str:
    ratios = sorted(100 * (a[which] / b[which] - 1) for a, b in zip(took[name], took["alone"], strict=True))
    quarter = len(ratios) // 4
    return f"{median(ratios):+.2f} % (half of the turns {ratios[quarter]:+.2f} to {ratios[-1 - quarter]:+.2f} %)"


def _turns(
    args: argparse.Namespace,
    n_threads: int,
    n_ctx: int,
    prompt: list[int],
    generated: list[int],
    took: dict[str, list[tuple[float, float]]],
) -> None:
    """A start of each."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        peers = {
            name: stack.enter_context(
                Peer(args.python, args.model, n_ctx, DEPTH, (n_threads, n_threads), watching(Path(folder), name))
            )
            for name in WAYS
        }
        for peer in peers.values():
            peer.prepare(prompt)
            peer.run([], generated)
        for turn in range(-(-args.pairs // args.starts)):
            for name in [*WAYS][:: 1 if turn % 2 == 0 else -1]:
                wall = peers[name].run([], generated)
                took[name].append((wall, peers[name].cpu_seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", default="1,2")
    args = parser.parse_args()
    for n_threads in map(int, args.threads.split(",")):
        turns(args, n_threads)


if __name__ == "__main__":
    main()
