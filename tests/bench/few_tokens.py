"""What a call of a few tokens costs over one of a single token, all their logits included, in turns.

    python tests/bench/few_tokens.py MODEL.gguf [-n 2,3,4,6,8,16] [-t 1,2] [-d 64] [-r 25]

A turn is one call of each number of tokens behind the same context. On one thread time is the thread's own CPU time
(what others do on the machine is not in it but by the memory that they use), on several the clock's. Printed are the
median of a single token and, for each number, the median of the turns' ratios with its quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from q4engine.engine import Engine, Session


def seconds(session: Session, depth: int, n_tokens: int, n_threads: int) -> float:
    """One call of n_tokens behind depth tokens; the session is left as it was."""
    clock = time.thread_time if n_threads == 1 else time.perf_counter
    tokens = [5 + each for each in range(n_tokens)]
    start = clock()
    session.decode(tokens, all_logits=True)
    spent = clock() - start
    session.truncate(depth)
    return spent


def measure(model: Path, numbers: list[int], n_threads: int, depth: int, repetitions: int) -> None:
    with Engine.load(model, n_threads=n_threads) as engine:
        session = engine.session(n_ctx=depth + max(numbers), n_batch=max(*numbers, depth))
        session.decode([1] * depth)
        for number in (1, *numbers):
            seconds(session, depth, number, n_threads)  # a warm-up
        turns = [[seconds(session, depth, number, n_threads) for number in (1, *numbers)] for _ in range(repetitions)]
    one = statistics.median(turn[0] for turn in turns)
    print(f"{model.name}, -t {n_threads}: one token {1e3 * one:.2f} ms")
    for at, number in enumerate(numbers, start=1):
        low, median, high = statistics.quantiles([turn[at] / turn[0] for turn in turns], n=4)
        print(f"  {number:2} tokens {median:.2f} ({low:.2f} to {high:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("-n", "--numbers", default="2,3,4,6,8,16")
    parser.add_argument("-t", "--threads", default="1,2")
    parser.add_argument("-d", "--depth", type=int, default=64)
    parser.add_argument("-r", "--repetitions", type=int, default=25)
    args = parser.parse_args()
    numbers = [int(number) for number in args.numbers.split(",")]
    for threads in map(int, args.threads.split(",")):
        measure(args.model, numbers, threads, args.depth, args.repetitions)


if __name__ == "__main__":
    main()
