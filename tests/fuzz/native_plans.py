"""Plans with mistakes, given to the native core from C: ``plan_mistakes`` of the C test program (native/tests).

Each plan is built and run twice, as it would be and with every operation on its own: the same bits, or a refusal. The
program itself holds a case to a second of CPU time.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.harness import HANG_SECONDS, MEMORY, Outcome

NAME = "native-plans"
PROGRAM = Path(__file__).resolve().parents[2] / "build" / "native" / "q4_kernel_test"
TEST = "plan_mistakes"
_DONE = re.compile(rf"^(?:ok  |FAIL) {TEST}: (\d+) cases", re.M)
_TAKEN = re.compile(r"^ +of these plans (\d+) were taken", re.M)


def build() -> None:
    """The program, which takes a moment where nothing has changed."""
    cmake = Path(sys.executable).parent / "cmake"
    command = [cmake if cmake.exists() else "cmake", "--build", PROGRAM.parent, "--target", PROGRAM.name]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run(first: int, seconds: float, program: Path = PROGRAM) -> Outcome:
    """Runs cases from the seed ``first`` on until the time is over."""
    command = [program, "--seed", first, "--cases", 1 << 30, "--seconds", seconds, TEST]
    # Until it executes the program a child has this process's pages, and Linux counts them as its peak.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        child = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file)
        try:
            status, usage = _wait(child.pid, seconds + HANG_SECONDS)
        except BaseException:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            raise
        finally:
            child.returncode = 0  # waited for here
        file.seek(0)
        said = file.read()
    done, taken = _DONE.search(said), _TAKEN.search(said)
    cases = int(done[1]) if done else 0
    outcome = Outcome(cases, cases - int(taken[1]) if taken else cases, usage.ru_utime + usage.ru_stime)
    code = os.waitstatus_to_exitcode(status)
    if code or not done:
        outcome.failure = f"{NAME}, from seed {first} on: exit code {code}\n{said}"
    elif usage.ru_maxrss << 10 > max(MEMORY, own):
        outcome.failure = f"{NAME}, from seed {first} on: {usage.ru_maxrss >> 10} MB"
    return outcome


def _wait(pid: int, seconds: float) -> tuple[int, os.struct_rusage]:  # type: ignore[name-defined]
    end = time.monotonic() + seconds
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage
        if time.monotonic() > end:
            os.kill(pid, signal.SIGABRT)
            return os.wait4(pid, 0)[1:]
        time.sleep(0.05)
