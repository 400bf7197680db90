"""What `q4engine watch` costs a program's tokens: llama.cpp with and without it, in turns.

    python tests/bench/watching.py MODEL --python PYTHON [--starts 5] [--pairs 15] [--tokens 64] [--threads 1,2]

PYTHON has llama-cpp-python. A watched process records nothing, calls, or operations too, in turns, and each turn gives
two ratios of a token's time and of the CPU time of all its threads. Another one runs alone, in turns with it: what it
costs to be watched and not recorded, beside what two processes differ by anyway, by where their memory lies. Both are
started anew several times.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from q4engine.bench.statistics import median

WORKER = Path(__file__).parents[1] / "support" / "watched_turns.py"
N_PROMPT = 16
LEVELS = {"nothing": "0", "calls": "1", "operations": "2"}
ORDERS = list(itertools.permutations(LEVELS))
AGAINST = {"nothing": "alone", "calls": "nothing", "operations": "nothing"}

Times = dict[str, list[tuple[float, float]]]


def watching(folder: str) -> list[str]:
    """The command before the program's own."""
    options = ["--per-op", "--events", "none", "--no-peak", "--annotate", "off"]
    return [sys.executable, "-m", "q4engine", "watch", "--capture", f"{folder}/run.csv", *options, "--"]


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    ) as process:
        answer(process)
        yield process
        assert process.stdin is not None
        process.stdin.close()


def answer(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    words = process.stdout.readline().split()
    if not words:
        sys.exit(f"error: {' '.join(map(str, process.args))[:200]} ended")  # type: ignore[arg-type]
    return words


def turns(args: argparse.Namespace, n_threads: int) -> None:
    took: Times = {name: [] for name in ("alone", *LEVELS)}
    for _ in range(args.starts):
        start(args, n_threads, took)
    token = 1e3 * median([wall for wall, _ in took["alone"]]) / args.tokens
    print(f"{n_threads} threads: {token:.3f} ms a token alone")
    for name, other in AGAINST.items():
        time, cpu = more(took[name], took[other], 0), more(took[name], took[other], 1)
        print(f"  {name} against {other}: time {time}; CPU time {cpu}", flush=True)


def more(of: list[tuple[float, float]], than: list[tuple[float, float]], which: int) -> str:
    ratios = sorted(100 * (a[which] / b[which] - 1) for a, b in zip(of, than, strict=True))
    quarter = len(ratios) // 4
    return f"{median(ratios):+.2f} % (half of the turns {ratios[quarter]:+.2f} to {ratios[-1 - quarter]:+.2f} %)"


def start(args: argparse.Namespace, n_threads: int, took: Times) -> None:
    program = [args.python, "-P", str(WORKER), str(args.model), str(n_threads), str(N_PROMPT), str(args.tokens)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        alone = stack.enter_context(started(program))
        watched = stack.enter_context(started([*watching(folder), *program]))
        for turn in range(-(-args.pairs // args.starts)):
            run(alone, "0")  # the caches are its own again
            took["alone"].append(run(alone, "0"))
            run(watched, "0")
            for name in ORDERS[turn % len(ORDERS)]:
                took[name].append(run(watched, LEVELS[name]))


def run(process: subprocess.Popen[str], level: str) -> tuple[float, float]:
    assert process.stdin is not None
    process.stdin.write(level + "\n")
    wall, cpu = map(float, answer(process))
    return wall, cpu


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
