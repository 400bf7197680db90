"""What a second thread brings where another program has one of two CPUs, and more threads than CPUs.

    python tests/bench/busy_cpu.py MODEL.gguf [--cpus 0,1] [-r 15] [--without-busy]

A loop of equal priority is pinned to the second CPU. In turns, -r times each: one thread on the first CPU, two threads
on both, and as many as `-t 4` starts there; 256 tokens of prompt, then 32 that follow. Printed are medians of each
turn's ratio to one thread (for -t 4: to two), with the quartiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from q4engine.cpus import without_crowd
from q4engine.engine import Engine, Session

PROMPT, TOKENS = [(7 * i) % 997 + 2 for i in range(256)], 32
BUSY = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile os.getppid() == int(sys.argv[2]): pass\n"


def timed(session: Session) -> tuple[float, float]:
    """Seconds of the prompt, and of the tokens behind it."""
    session.truncate(0)
    start = time.perf_counter()
    session.decode(PROMPT)
    middle = time.perf_counter()
    for token in PROMPT[:TOKENS]:
        session.decode([token])
    return middle - start, time.perf_counter() - middle


def shown(name: str, ratios: list[float], wanted: float) -> str:
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{name:40} {median:5.2f} ({low:.2f} to {high:.2f}), wanted {wanted:.2f} at least"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--cpus", default=",".join(map(str, sorted(os.sched_getaffinity(0))[:2])), help="two of them")
    parser.add_argument("-r", "--repetitions", type=int, default=15)
    parser.add_argument("--without-busy", action="store_true", help="leave both CPUs to the engine")
    args = parser.parse_args()
    free, shared = (int(cpu) for cpu in args.cpus.split(","))
    os.sched_setaffinity(0, {free, shared})
    crowd, _ = without_crowd(4, None)
    one, two, many = (
        Engine.load(args.model, n_threads=n, cpu_mask=mask).session(n_ctx=512)
        for n, mask in ((1, [free]), (2, None), (crowd, None))
    )
    command = [sys.executable, "-c", BUSY, str(shared), str(os.getpid())]
    busy = None if args.without_busy else subprocess.Popen(command)
    try:
        for session in (one, two, many):
            timed(session)  # a warm-up
        turns = [[timed(session) for session in (one, two, many)] for _ in range(args.repetitions)]
    finally:
        if busy is not None:
            busy.kill()
            busy.wait()
    for phase, name, wanted in ((0, "prompt", 1.2), (1, "generation", 1.0)):
        print(shown(f"{name}: two threads to one", [a[phase] / b[phase] for a, b, _ in turns], wanted))
        print(shown(f"{name}: -t 4 ({crowd} start) to two", [b[phase] / c[phase] for _, b, c in turns], 0.85))


if __name__ == "__main__":
    main()
