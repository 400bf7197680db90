"""What watching a run costs it: single tokens of one session, every second one observed.

python tests/bench/observing.py MODEL.gguf -t 1,2
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from q4engine.engine import Engine, Session
from q4engine.profiling.observer import Observation, observe

PROMPT, TOKEN = list(range(1, 33)), 100
WARM_UP = 20  # pairs that are not counted


def pairs(session: Session, what: Observation, n: int) -> tuple[list[tuple[int, int]], float | None]:
    """Nanoseconds of a token alone and of one that is observed, n times; what the observer says that it cost."""
    session.truncate(0)
    session.decode(PROMPT)
    found = []
    with observe(session, what) as observer:
        for _ in range(n):
            with session.unobserved():
                alone = _token(session)
            with session.unobserved():  # the same Python runs before both
                pass
            found.append((alone, _token(session)))
    return found[WARM_UP:], observer.cost.percent


def _token(session: Session) -> int:
    start = time.perf_counter_ns()
    session.decode([TOKEN])
    return time.perf_counter_ns() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="GGUF file")
    parser.add_argument("-t", "--threads", default="1,2", metavar="LIST", help="thread counts (default: 1,2)")
    parser.add_argument("-n", type=int, default=700, metavar="N", help="pairs of tokens (default: 700)")
    parser.add_argument("--events", default="none", metavar="LIST", help="as q4engine run has it (default: none)")
    args = parser.parse_args()
    print(
        "| threads | recorded | token, ms | longer by, µs | of a token | the capture says |\n|--:|---|--:|--:|--:|--:|"
    )
    for n_threads in map(int, args.threads.split(",")):
        session = Engine.load(args.model, n_threads=n_threads).session(n_ctx=len(PROMPT) + 2 * args.n)
        for per_op in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                what = Observation(capture=Path(folder, "c.csv"), per_op=per_op, events=args.events)
                found, said = pairs(session, what, args.n)
            alone = statistics.median(first for first, _ in found)
            longer = statistics.median(second - first for first, second in found)
            print(
                f"| {n_threads} | {'operations' if per_op else 'calls'} | {alone / 1e6:.2f} | {longer / 1e3:.1f} "
                f"| {100 * longer / alone:.2f} % | {'' if said is None else f'{said:.2f} %'} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
