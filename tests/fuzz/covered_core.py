"""``python -m fuzz.covered_core [--cases N] [--seconds S]``: the share of the native core's lines that the C test
program runs, and that the fuzzers' targets run which reach it.

Both are built with gcov's counters in build/coverage, without optimisation. A line that several builds of a file have
(native/ops, native/types) counts once. Needs gcc with its gcov.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from host import BUILD, REPO, cmake_build, python_includes, say

from fuzz.native_plans import TEST

FOLDER = BUILD / "coverage"
TARGETS = ("calls", "plans", "models", "gguf")
# What the names of files say that not every x86 CPU has: their lines are told apart.
_LATER = ("avx512", "avxvnni")
Lines = dict[tuple[str, int], bool]  # of files below native/: whether they ran


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fuzz.covered_core", description="Lines of the native core that run."
    )
    parser.add_argument("--cases", type=int, default=3, help="of each C test (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each target (default: %(default)s)")
    parser.add_argument("--of", metavar="TARGET", help=argparse.SUPPRESS)  # the child that runs a target
    given = parser.parse_args()
    if given.of:
        _run_target(given.of, given.seconds)
        return 0
    say("building the core with counters")
    headers = [f"-DPython_INCLUDE_DIR={path}" for path in python_includes()[:1]]
    for target in ("q4_kernel_test", "_native"):
        cmake_build(FOLDER, target, ["-DQ4_COVERAGE=ON", "-DSKBUILD=ON", *headers])
    program = FOLDER / "q4_kernel_test"
    tested = _lines_of([[program, "--cases", given.cases]])
    itself = [sys.executable, "-m", "fuzz.covered_core", "--seconds", given.seconds]
    plans = [program, "--cases", 1 << 30, "--seconds", given.seconds, TEST]
    fuzzed = _lines_of([*([*itself, "--of", name] for name in TARGETS), plans])
    print(*_table(tested, fuzzed), sep="\n")
    return 0


def _run_target(name: str, seconds: float) -> None:
    """Cases of a target in this process, which then ends as any does: the counters are written at its exit."""
    import q4engine

    spec = importlib.util.spec_from_file_location("q4engine._native", FOLDER / "_native.abi3.so")
    assert spec is not None and spec.loader is not None
    native = importlib.util.module_from_spec(spec)
    sys.modules["q4engine._native"] = q4engine._native = native
    spec.loader.exec_module(native)
    from fuzz.targets import TARGETS as targets

    target, end = targets[name](), time.monotonic() + seconds
    for seed in itertools.count():
        with contextlib.suppress(*target.refused):
            target.case(random.Random(f"{name} {seed}"))
        if time.monotonic() > end:
            print(f"{name}: {seed + 1} cases", file=sys.stderr)
            return


def _lines_of(commands: Sequence[Sequence[object]]) -> Lines:
    """The lines that these commands run."""
    for old in FOLDER.rglob("*.gcda"):
        old.unlink()
    for command in commands:
        subprocess.run([str(word) for word in command], check=True, cwd=REPO, stdout=subprocess.DEVNULL)
    lines: Lines = defaultdict(bool)
    # One that did not run at all has notes (.gcno) and no counts.
    for notes in sorted(FOLDER.rglob("*.gcno")):
        counts = notes.with_suffix(".gcda")
        of = counts if counts.exists() else notes
        told = subprocess.run(["gcov", "-j", "-t", of], cwd=FOLDER, check=True, capture_output=True, text=True).stdout
        for file in json.loads(told)["files"]:
            path = os.path.relpath(FOLDER / file["file"], REPO)
            if path.startswith("native/") and not path.startswith("native/tests/"):
                for line in file["lines"]:
                    lines[path, line["line_number"]] |= line["count"] > 0
    return lines


def _table(tested: Lines, fuzzed: Lines) -> list[str]:
    """Folders, what later CPUs are needed for apart, and then the files with the least."""
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    files: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for path, line in tested.keys() | fuzzed.keys():
        later = any(word in path for word in _LATER)
        groups["AVX-512, AVX-VNNI" if later else str(Path(path).parent)].append((path, line))
        if not later:
            groups["all but those"].append((path, line))
            files[path].append((path, line))
    rows = [f"{'':36}{'lines':>7}{'tests':>8}{'fuzzers':>9}{'both':>8}"]

    def add(name: str, lines: Sequence[tuple[str, int]]) -> None:
        ran = [sum(tested[line] for line in lines), sum(fuzzed[line] for line in lines)]
        ran.append(sum(tested[line] or fuzzed[line] for line in lines))
        shares = [f"{100 * count / len(lines):.1f} %" for count in ran]
        rows.append(f"{name:36}{len(lines):7}{shares[0]:>8}{shares[1]:>9}{shares[2]:>8}")

    for name in sorted(groups, key=lambda name: (name == "all but those", name)):
        add(name, groups[name])
    missed = {path: sum(not (tested[line] or fuzzed[line]) for line in lines) for path, lines in files.items()}
    rows.append("most lines that neither runs:")
    for path in sorted(missed, key=lambda path: -missed[path])[:12]:
        add(path, files[path])
    return rows


if __name__ == "__main__":
    sys.exit(main())
