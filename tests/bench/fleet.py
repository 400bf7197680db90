"""A fleet at its full size: 20,000 synthetic captures (2 GB) by local workers, one of which is killed on the way.

    python tests/bench/fleet.py FOLDER [--captures 20000] [--devices 101] [--calls 640] [--workers 2]

Writes the captures below FOLDER unless they are there, then runs `analysis.fleet` on them, and again with 1 % new ones.
Printed are the time, the CPU time of all its processes together against the CPUs', the most memory that each held, how
many captures and rows there are, and who is accused; and, for machines that others use as well, for how much of their
time the workers had work, that is ran or waited for a CPU (Linux's schedstat, of each worker's busiest thread). Nothing
here was measured by a machine: of 101 devices one has a slow clock, and with the last of four commits a token takes
more cycles.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SUPPORT = REPOSITORY / "tests" / "support"
sys.path[:0] = [str(REPOSITORY), str(SUPPORT)]

import fleet_processes  # noqa: E402
import synthetic_fleet  # noqa: E402

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Watched:
    """Of a process and its descendants: the most memory of each in bytes, and its CPU seconds.

    threads: (worker, thread) -> (moment, seconds of running and of waiting for a CPU) when first and when last seen.
    """

    memory: dict[int, int] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    workers: set[int] = field(default_factory=set)
    threads: dict[tuple[int, int], list[tuple[float, float]]] = field(default_factory=dict)

    def look(self, process: int) -> None:
        for each in {process} | fleet_processes.descendants(process):
            with contextlib.suppress(OSError, ValueError):
                entry = Path(f"/proc/{each}")
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                self.seconds[each] = (int(fields[11]) + int(fields[12])) / _TICK
                status = (entry / "status").read_text()
                held = int(status.partition("VmHWM:")[2].split()[0]) << 10
                self.memory[each] = max(held, self.memory.get(each, 0))
                if "spawn_main" in (entry / "cmdline").read_text():
                    self.workers.add(each)
                    self._look_at_threads(each)

    def _look_at_threads(self, worker: int) -> None:
        for thread in Path(f"/proc/{worker}/task").iterdir():
            ran, waited, _ = map(int, (thread / "schedstat").read_text().split())
            seen = self.threads.setdefault((worker, int(thread.name)), [])
            seen[1:] = [(time.monotonic(), (ran + waited) / 1e9)]

    def had_work(self) -> float:
        """The share of their time in which the workers ran or waited for a CPU, 0 where nothing tells."""
        wanted = whole = 0.0
        for worker in self.workers:
            spans = [seen for (of, _), seen in self.threads.items() if of == worker and len(seen) > 1]
            if spans:
                begin, end = max(spans, key=lambda seen: seen[-1][1] - seen[0][1])
                wanted += end[1] - begin[1]
                whole += end[0] - begin[0]
        return wanted / whole if whole else 0.0


def plan(args: argparse.Namespace) -> synthetic_fleet.Plan:
    whole = args.captures + args.captures // 100
    return synthetic_fleet.Plan(devices=args.devices, captures=whole, calls=args.calls)


def write(args: argparse.Namespace, folder: Path, first: int, last: int) -> None:
    """Captures of the plan, by as many processes as there are CPUs."""
    n = len(os.sched_getaffinity(0))
    bounds = [first + (last - first) * part // n for part in range(n + 1)]
    words = [sys.executable, str(SUPPORT / "synthetic_fleet.py"), str(args.devices), str(plan(args).captures)]
    parts = [
        subprocess.Popen(
            [*words, str(args.calls), str(folder), str(begin), str(end)],
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SUPPORT}"},
        )
        for begin, end in pairwise(bounds)
    ]
    for part in parts:
        if part.wait():
            sys.exit("error: the captures could not be written")


def run(words: list[str], log: Path, kill_after: float | None = None) -> tuple[float, Watched, Any]:
    """Seconds, what its processes took, and the document; kill_after: seconds until one worker is killed."""
    watched, start = Watched(), time.monotonic()
    with fleet_processes.started("analysis.fleet", *words, "--json", log=log) as process:
        stop = threading.Event()

        def look() -> None:
            to_kill = kill_after is not None
            while not stop.wait(0.5):
                watched.look(process.pid)
                if to_kill and time.monotonic() - start > (kill_after or 0) and watched.workers:
                    os.kill(max(watched.workers), signal.SIGKILL)
                    print(f"killed worker {max(watched.workers)} after {time.monotonic() - start:.0f} s")
                    to_kill = False

        thread = threading.Thread(target=look)
        thread.start()
        try:
            out, _ = process.communicate()
        finally:
            stop.set()
            thread.join()
    print(log.read_text(), end="")
    return time.monotonic() - start, watched, json.loads(out)


def said(seconds: float, watched: Watched, document: Any) -> Iterator[str]:
    cpus = len(os.sched_getaffinity(0))
    used = sum(watched.seconds.values())
    workers = [watched.memory[each] for each in watched.workers]
    others = [held for each, held in watched.memory.items() if each not in watched.workers]
    yield f"{document['captures']} captures, {document['read']} read, {document['known']} known before"
    yield f"{seconds:.1f} s; {used:.1f} s of CPU, {100 * used / seconds / cpus:.0f} % of {cpus} CPUs"
    yield f"workers had work {100 * watched.had_work():.0f} % of their time"
    yield f"workers held {max(workers, default=0) / 1e6:.0f} MB at most, the command {max(others) / 1e6:.0f} MB"
    slower = {each["device"] for each in document["devices"] if each["verdict"] == "slower than its twins"}
    steps = {each["after"] for each in document["commits"] if each["verdict"] == "slower"}
    yield f"slower: {', '.join(sorted(slower)) or 'none'} of {len({each['device'] for each in document['devices']})}"
    yield f"regressions: {', '.join(sorted(steps)) or 'none'}; without a result: {document['without_result']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--captures", type=int, default=20_000)
    parser.add_argument("--devices", type=int, default=101)
    parser.add_argument("--calls", type=int, default=640, help="tokens of each; 640 make 100 kB")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    captures, more, dataset = (args.folder / name for name in ("captures", "more", "set"))
    if dataset.exists():
        sys.exit(f"error: {dataset} is there: remove it")
    if not captures.exists():
        write(args, captures, 0, args.captures)
        write(args, more, args.captures, plan(args).captures)
    size = sum(path.stat().st_size for path in captures.rglob("*.csv"))
    print(f"{args.captures} captures, {size / 1e9:.2f} GB")
    words = ["--output", str(dataset), "--workers", str(args.workers)]
    print(*said(*run([str(captures), *words], args.folder / "first.log", kill_after=30.0)), sep="\n")
    print("again, with 1 % more:")
    print(*said(*run([str(captures), str(more), *words], args.folder / "second.log")), sep="\n")


if __name__ == "__main__":
    main()
