"""``python -m fuzz.covered TARGET … [--seconds S]``: the share of lines that a target's cases run, by module.

Needs coverage.py (pip install coverage), which nothing else here does. What the import of a module runs counts too, so
that 100 % is every line.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import itertools
import random
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
OF_TARGET = {
    "gguf": ["q4engine/gguf/reader.py", "q4engine/gguf/cursor.py", "q4engine/gguf/metadata.py"],
    "texts": ["q4engine/tokenizer/*.py"],
    "models": ["q4engine/models/*.py", "q4engine/gguf/*.py"],
    "grammars": ["q4engine/sampling/gbnf.py"],
    "templates": ["q4engine/tokenizer/*.py"],
    "sources": ["q4engine/convert/*.py"],
    "side-files": ["q4engine/prompt_cache.py", "q4engine/gguf/imatrix.py", "q4engine/watch/*.py"],
    "sweeps": ["q4engine/sweep/*.py", "analysis/sweep*.py"],
}
READERS = ["analysis/readers/*.py", "analysis/table.py", "analysis/perf_script.py", "analysis/functions.py"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.covered", description="Lines that fuzzing runs.")
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="read-* is every reader")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each (default: %(default)s)")
    given = parser.parse_args()
    try:
        coverage = importlib.import_module("coverage")
    except ImportError:
        print("error: coverage.py is missing: pip install coverage", file=sys.stderr)
        return 1
    files = [file for name in given.targets for file in OF_TARGET.get(name, READERS)]
    watch = coverage.Coverage(data_file=None, include=[str(REPO / file) for file in files])
    watch.start()
    from fuzz.readers import READERS as readers
    from fuzz.targets import TARGETS

    if unknown := [name for name in given.targets if name not in (*TARGETS, "read-*")]:
        parser.error(f"there is no target {unknown[0]}")
    names = [name for given_name in given.targets for name in (readers if given_name == "read-*" else (given_name,))]
    for name in names:
        target, end = TARGETS[name](), time.monotonic() + given.seconds
        for seed in itertools.count():
            with contextlib.suppress(*target.refused):
                target.case(random.Random(f"{name} {seed}"))
            if time.monotonic() > end:
                print(f"{name}: {seed + 1} cases", file=sys.stderr)
                break
    watch.stop()
    watch.report(show_missing=False, skip_empty=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
