"""Runs targets case by case, each in a child process that a crash, a hang or a greedy case may end.

A case is a target and a seed, so that ``python -m fuzz models --seed 17`` repeats it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import weakref
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CPU_SECONDS = 1.0  # that a case may take; the first of a child loads libraries and is not held to it
CPU_SECONDS_OF_A_TEST = 20.0  # on a machine of any speed, however busy: a case that hangs, not one that dawdles
MEMORY = 200 << 20  # bytes that the child may grow by, over all its cases
HANG_SECONDS = 60.0
FAILED = 3
_LOOK_SECONDS = 0.2
_STATE = struct.Struct("<QQQd")  # cases, refused, the seed at work, CPU seconds


class Target(Protocol):
    """What is fuzzed. ``Refused`` are the exceptions that a hostile input is right to end in."""

    refused: tuple[type[Exception], ...]

    def case(self, rng: random.Random) -> None:
        """Makes an input, gives it to the code and checks what must hold. Raises what the code raises."""


@dataclass
class Outcome:
    """Of a child: cases that were run, those that were refused, its CPU time, and what went wrong with the last."""

    cases: int
    refused: int
    cpu_seconds: float = 0.0
    failure: str | None = None


class Folder:
    """A folder for the files that cases write, in memory where there is such a place. It goes with the target that
    holds it (TemporaryDirectory would warn of that, in the collector), and of a child that was killed with its run."""

    within: str | None = None

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        within = str(memory) if os.access(memory, os.W_OK | os.X_OK) else None
        self.name = tempfile.mkdtemp(prefix="q4-fuzz-", dir=self.within or within)
        self.remove = weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


def run_case(target: Target, name: str, seed: int, cpu_seconds: float = CPU_SECONDS) -> bool:
    """Whether the input was refused. AssertionError where it cost too much, else what the target raises."""
    start = time.process_time()
    refused = _run(target, name, seed)
    taken = time.process_time() - start
    assert taken < cpu_seconds, f"took {taken:.2f} s of CPU time"
    return refused


def _run(target: Target, name: str, seed: int) -> bool:
    try:
        target.case(random.Random(zlib.crc32(name.encode()) << 64 | seed))
    except target.refused as error:
        assert "\n" not in str(error), f"an error of several lines: {error!r}"
        return True
    return False


def run_for(
    make: Callable[[], Target], name: str, seeds: Iterable[int], seconds: float, cpu_seconds: float = CPU_SECONDS
) -> Outcome:
    """Runs cases of these seeds in a child until the time is over or one of them fails."""
    shared = mmap.mmap(-1, _STATE.size)
    report = tempfile.TemporaryFile()  # noqa: SIM115
    folder = Folder()
    child = os.fork()
    if child == 0:
        Folder.within = folder.name
        os._exit(_child(make, name, seeds, (seconds, cpu_seconds), shared, report.fileno()))
    try:
        code = os.waitstatus_to_exitcode(_watch(child, shared))
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        folder.remove()
    cases, refused, seed, taken = _STATE.unpack(shared[:])
    report.seek(0)
    said = report.read().decode(errors="replace").strip()
    report.close()
    outcome = Outcome(cases, refused, taken)
    if code:
        how = f"ended by signal {-code}" if code < 0 else "failed" if code == FAILED else f"exit code {code}"
        outcome.failure = f"{name}, seed {seed}: {how}\n{said}"
    return outcome


def _watch(child: int, shared: mmap.mmap) -> int:
    """Waits for a child; one that stays with a case is aborted, and tells where it was. Its status."""
    before, since = b"", time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        now = shared[:]
        if now != before:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > HANG_SECONDS:
            os.kill(child, signal.SIGABRT)
            return os.waitpid(child, 0)[1]
        time.sleep(_LOOK_SECONDS)


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
        faulthandler.enable()
        target = make()
        _warm(target, name)
        gc.collect()
        gc.freeze()  # what libraries hold is not looked at again
        before = _peak()
        end = time.monotonic() + seconds
        cases = refused = 0
        looked, taken = time.monotonic(), time.process_time()
        for seed in seeds:
            shared[:] = _STATE.pack(cases, refused, seed, taken)
            refused += _run(target, name, seed)
            cases += 1
            now = time.monotonic()  # a system call would take as long as many a case
            if now - looked < _LOOK_SECONDS:
                continue
            before_these, looked, taken = taken, now, time.process_time()
            if taken - before_these >= cpu_seconds:  # with some that ran before
                run_case(target, name, seed, cpu_seconds)
            grown = _peak() - before
            assert grown < MEMORY, f"{grown >> 20} MB more than before the first case"
            if time.monotonic() > end:
                break
        shared[:] = _STATE.pack(cases, refused, seed, time.process_time())
        del target  # with the files of its cases
        return 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return FAILED


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _warm(target: Target, name: str) -> None:
    """Imports and tables that the first cases make."""
    for seed in range(3):
        with contextlib.suppress(*target.refused):
            target.case(random.Random(f"{name} warm {seed}"))
