"""llama.cpp under `q4engine watch`, recorded as each line of its input says: run by tests/bench/watching.py.

Arguments: model, n_threads, n_prompt, n_generated. Input: 0 nothing is recorded, 1 calls, 2 operations too. Answer:
seconds of the generated tokens, CPU seconds of all threads. Runs in the peer's interpreter and needs nothing of
q4engine but the peer's worker.
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "q4engine" / "bench"))

import peer_worker


def main(model: str, n_threads: int, n_prompt: int, n_generated: int) -> None:
    n_ctx = n_prompt + n_generated
    engine = peer_worker.LlamaCpp(model, "f16", n_ctx, n_prompt, n_threads, n_threads)
    record = getattr(ctypes.CDLL(None), "q4_watch_record", None)  # of the preloaded library, if it is
    engine.prepare([100 + i for i in range(n_prompt)])
    generated = [1000 + 7 * i for i in range(n_generated)]
    engine.run([], generated)
    print("ready", flush=True)
    for line in sys.stdin:
        if record is not None:
            record(int(line))
        before = time.process_time()
        seconds = engine.run([], generated)
        print(seconds, time.process_time() - before, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
