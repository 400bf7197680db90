"""What one marker costs the calling thread. Run by hand: `python tests/bench/annotate_marker.py`.

In a loop everything is in the caches; after a pass over much memory, as a decode call is, nothing is: both are printed,
and an empty call beside them, since that costs something too. The daemon is a process of its own that reads.
"""

import os
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SUPPORT = REPOSITORY / "tests" / "support"
sys.path.insert(0, str(REPOSITORY))

import annotate  # noqa: E402

PER_ROUND = 200
ROUNDS = 100
COLD_CALLS = 300
COLD_BYTES = 48 << 20


def measure(label: str, call: Callable[[], object], between: Callable[[], object] = lambda: None) -> None:
    """Prints nanoseconds a call: the rounds' minimum and median in a loop, and the median and p99 of cold calls."""
    rounds = []
    for _ in range(ROUNDS):
        rounds.append(timeit.timeit(call, number=PER_ROUND) / PER_ROUND * 1e9)
        between()
    singles = []
    memory = bytes(COLD_BYTES)
    for _ in range(COLD_CALLS):
        bytearray(memory)
        start = time.perf_counter_ns()
        call()
        singles.append(time.perf_counter_ns() - start)
    p99 = statistics.quantiles(singles, n=100)[98]
    loop = f"loop min {min(rounds):6.0f} ns, median {statistics.median(rounds):6.0f} ns"
    print(f"{label:14s} {loop}   cold median {statistics.median(singles):6.0f} ns, p99 {p99:6.0f} ns")


def measure_client(label: str, mode: annotate.Mode, where: annotate.Endpoints) -> None:
    with annotate.streamline(mode, where) as s:
        measure(label, lambda: s.marker("past 600, n_eval 1", annotate.ORANGE), s.flush)
        print(f"{'':14s} daemon there: {s.connected}, dropped: {s.dropped}")


def main() -> None:
    name = f"q4-bench-{os.getpid()}"
    where = annotate.Endpoints(f"{name}-parent", f"{name}-data", 1, 1)
    measure("empty call", lambda: None)
    measure_client("off", "off", where)
    measure_client("no daemon", "auto", where)
    daemon = subprocess.Popen(
        [sys.executable, str(SUPPORT / "annotate_daemon.py"), name],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SUPPORT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        measure_client("daemon", "auto", where)
        daemon.terminate()


if __name__ == "__main__":
    main()
