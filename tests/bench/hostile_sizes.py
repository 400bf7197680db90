"""CPU time and memory that each reader takes for ten megabytes made to be slow to read.

    PYTHONPATH=tests/support python tests/bench/hostile_sizes.py [-r 3] [--under 'chrt -f 40'] [KIND …]

The kinds stand in the files that tests/support/hostile_kinds.py names, each with the command that reads it. CPU time is
user and system time of the command with its start, the median of -r runs; memory the largest resident size. Refused in
one line is as good as read: `rc` tells.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import statistics
import sys
import tempfile
from multiprocessing import Process
from pathlib import Path

from hostile_kinds import KINDS


def measured(command: str, path: Path, under: list[str]) -> tuple[float, int, int, str]:
    """(CPU seconds, peak bytes, exit code, last line of its errors) of the command on the file."""
    words = [*under, sys.executable, "-m", *command.split(), str(path)]
    with tempfile.TemporaryFile() as errors, Path(os.devnull).open("wb") as nothing:
        process = os.posix_spawnp(
            words[0],
            words,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, nothing.fileno(), 1), (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)],
        )
        status, usage = os.wait4(process, 0)[1:]
        errors.seek(0)
        last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, os.waitstatus_to_exitcode(status), last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="patterns of names (default: all)")
    parser.add_argument("-r", "--repetitions", type=int, default=3)
    parser.add_argument("--under", default="", metavar="WORDS", help="what runs the command, such as 'chrt -f 40'")
    args = parser.parse_args()
    names = [name for name in KINDS if any(fnmatch.fnmatch(name, one) for one in args.kinds or ["*"])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        for name in names:
            command, make = KINDS[name]
            writer = Process(target=lambda make=make: path.write_bytes(make()))  # what starts the command stays small
            writer.start()
            writer.join()
            runs = [measured(command, path, args.under.split()) for _ in range(args.repetitions)]
            seconds, peak = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
            print(f"{name:<28} {seconds:6.2f} s {peak >> 20:5} MB  rc {runs[-1][2]}  {runs[-1][3]:.110}", flush=True)


if __name__ == "__main__":
    main()
