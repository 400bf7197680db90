"""What keys and values in 8 bits give: tokens behind a long context with either form, in turns, on one thread.

    python tests/bench/kv_forms.py MODEL.gguf [-d 2048,8192] [-r 15]

Both engines are in this process. The cache is filled with random keys and values: what they are changes no time. A turn
is one token of each, the thread's own CPU time (what others do on the machine is not in it but by the memory that they
use). Printed are the bytes that a token reads, medians, the median of each turn's ratio with its quartiles, and that of
the bytes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from q4engine.engine import Engine, Session
from q4engine.kv_forms import KV_FORMS
from q4engine.profiling.recording import kv_bytes_read, weight_bytes_per_token


def behind(engine: Engine, depth: int) -> Session:
    """A session that holds so many tokens."""
    session = engine.session(n_ctx=depth + 1, n_batch=1)
    n_bytes = session.recorder.kv_bytes(depth)  # type: ignore[union-attr]
    halves = np.random.default_rng(1).integers(0x2000, 0x3400, -(-n_bytes // 2), np.uint16)  # fp16 of 2^-7 to 2^-2
    session.restore([1] * depth, halves.tobytes()[:n_bytes])
    return session


def seconds(session: Session, depth: int) -> float:
    start = time.thread_time()
    session.decode([5])
    spent = time.thread_time() - start
    session.truncate(depth)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("-d", "--depths", default="2048,8192")
    parser.add_argument("-r", "--repetitions", type=int, default=15)
    args = parser.parse_args()
    engines = [Engine.load(args.model, n_threads=1, kv_form=form) for form in KV_FORMS]
    for depth in map(int, args.depths.split(",")):
        sessions = [behind(engine, depth) for engine in engines]
        n_bytes = [weight_bytes_per_token(engine) + kv_bytes_read(engine, depth + 1) for engine in engines]
        for session in sessions:
            seconds(session, depth)  # a warm-up
        turns = [[seconds(session, depth) for session in sessions] for _ in range(args.repetitions)]
        ratios = [wide / narrow for wide, narrow in turns]
        low, median, high = statistics.quantiles(ratios, n=4)
        for form, of_form, each in zip(KV_FORMS, zip(*turns, strict=True), n_bytes, strict=True):
            print(f"d{depth} {form:5} {each / 1e6:7.1f} MB a token, {1e3 * statistics.median(of_form):7.2f} ms")
        print(f"d{depth} ratio {median:.2f} ({low:.2f} to {high:.2f}), of bytes {n_bytes[0] / n_bytes[1]:.2f}")


if __name__ == "__main__":
    main()
