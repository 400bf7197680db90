"""A synthetic engine for sweeps, started as a program: it says that it took a stated time, and takes next to none.

Arguments: seconds, and a file that gets a line a run. Exit code 3 where the seconds are "broken".
"""

from __future__ import annotations

import os
import sys


def main(seconds: str, log: str, *words: str) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(descriptor, f"{' '.join(words)}\n".encode())
    if seconds == "broken":
        print("synthetic: cannot do that", file=sys.stderr)
        raise SystemExit(3)
    print(f"synthetic: took {seconds} s")
    print(f"synthetic: rate {10 / float(seconds)} tokens/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
