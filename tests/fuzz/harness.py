"""Runs targets case by case, each in a child process that a crash, a hang or a greedy case may end.

A case is a target and a seed, so that ``python -m fuzz gguf --seed 17`` repeats it. How many were run is kept, and the
next run goes on with seeds of its own.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CPU_SECONDS = 1.0  # that a case may take; the first of a child loads libraries and is not held to it
CPU_SECONDS_OF_A_TEST = 20.0  # on a machine of any speed, however busy: a case that hangs, not one that dawdles
MEMORY = 200 << 20  # bytes that the child may grow by, over all its cases
HANG_SECONDS = 60.0
FAILED = 3


class Target(Protocol):
    """What is fuzzed. ``Refused`` are the exceptions that a hostile input is right to end in."""

    refused: tuple[type[Exception], ...]

    def case(self, rng: random.Random) -> None:
        """Makes an input, gives it to the code and checks what must hold. Raises what the code raises."""


@dataclass
class Outcome:
    """Of one child: cases that were run, those that were refused, and what went wrong with the last one."""

    cases: int
    refused: int
    failure: str | None = None


def run_case(target: Target, name: str, seed: int, cpu_seconds: float = CPU_SECONDS) -> bool:
    """Whether the input was refused. AssertionError where it cost too much, else what the target raises."""
    rng = random.Random(f"{name} {seed}")
    start = time.process_time()
    try:
        target.case(rng)
        refused = False
    except target.refused as error:
        assert "\n" not in str(error), f"an error of several lines: {error!r}"
        refused = True
    taken = time.process_time() - start
    assert taken < cpu_seconds, f"took {taken:.2f} s of CPU time"
    return refused


def run_for(
    make: Callable[[], Target], name: str, seeds: Iterable[int], seconds: float, cpu_seconds: float = CPU_SECONDS
) -> Outcome:
    """Runs cases of these seeds in a child until the time is over or one of them fails."""
    shared = mmap.mmap(-1, 24)  # cases, refused, the seed at work
    report = tempfile.TemporaryFile()  # noqa: SIM115
    child = os.fork()
    if child == 0:
        os._exit(_child(make, name, seeds, (seconds, cpu_seconds), shared, report.fileno()))
    _, status = os.waitpid(child, 0)
    cases, refused, seed = struct.unpack("<QQQ", shared[:])
    report.seek(0)
    said = report.read().decode(errors="replace").strip()
    report.close()
    code = os.waitstatus_to_exitcode(status)
    outcome = Outcome(cases, refused)
    if code:
        how = f"ended by signal {-code}" if code < 0 else "failed" if code == FAILED else f"exit code {code}"
        outcome.failure = f"{name}, seed {seed}: {how}\n{said}"
    return outcome


def _child(
    make: Callable[[], Target],
    name: str,
    seeds: Iterable[int],
    limits: tuple[float, float],
    shared: mmap.mmap,
    report: int,
) -> int:
    seconds, cpu_seconds = limits
    try:
        os.dup2(report, sys.stderr.fileno())
        target = make()
        _warm(target, name)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        end = time.monotonic() + seconds
        cases = refused = 0
        for seed in seeds:
            shared[:] = struct.pack("<QQQ", cases, refused, seed)
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            refused += run_case(target, name, seed, cpu_seconds)
            cases += 1
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before
            assert grown < MEMORY, f"{grown >> 20} MB more than before the first case"
            if time.monotonic() > end:
                break
        faulthandler.cancel_dump_traceback_later()
        shared[:] = struct.pack("<QQQ", cases, refused, seed)
        return 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return FAILED


def _warm(target: Target, name: str) -> None:
    """Imports and tables that the first cases make."""
    for seed in range(3):
        try:
            target.case(random.Random(f"{name} warm {seed}"))
        except target.refused:
            continue


class Counts:
    """How many cases of each target were run so far, in a file of JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.by_target: dict[str, dict[str, int]] = json.loads(path.read_text()) if path.exists() else {}

    def next_seed(self, name: str) -> int:
        return self.by_target.get(name, {}).get("next_seed", 0)

    def add(self, name: str, outcome: Outcome, next_seed: int) -> None:
        row = self.by_target.setdefault(name, {"cases": 0, "refused": 0, "next_seed": 0})
        row["cases"] += outcome.cases
        row["refused"] += outcome.refused
        row["next_seed"] = next_seed
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.by_target, indent=1) + "\n")
