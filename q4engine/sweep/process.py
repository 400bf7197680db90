"""One run in a process of its own, which ends with this one, by a signal, or when its time is over."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from q4engine.errors import shown

_PR_SET_PDEATHSIG = 1  # prctl(2)
_MOST_OUTPUT = 1 << 20  # bytes of each stream that are read


@dataclass(frozen=True)
class Ended:
    """``reason``: why it is no result, else empty. ``is_timeout``: its time was over. ``seconds``: of its life."""

    out: str
    err: str
    seconds: float
    reason: str = ""
    is_timeout: bool = False


def run_process(
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    given: bytes = b"",
    cpus: Sequence[int] | None = None,
    folder: Path | None = None,
) -> Ended:
    """Runs the command with ``given`` as its input, on these CPUs, in this folder; what it started ends with it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        begin = time.monotonic()
        try:
            process = _started(command, environment, (stdin, out, err), cpus, folder)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return Ended("", "", 0.0, f"{shown(command[0])} cannot be started: {reason}")
        is_timeout = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            is_timeout = True
        finally:
            seconds = time.monotonic() - begin
            _end_group(process)
        said = _tail(out), _tail(err)
        reason = f"took more than {timeout:g} s" if is_timeout else _why(process.returncode, said)
        return Ended(*said, seconds, reason, is_timeout)


def _started(
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
    cpus: Sequence[int] | None,
    folder: Path | None,
) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare() -> None:
        """Between fork and exec."""
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # killed already
            os._exit(1)
        if cpus:
            os.sched_setaffinity(0, cpus)

    stdin, out, err = streams
    return subprocess.Popen(
        command, stdin=stdin, stdout=out, stderr=err, env=environment, cwd=folder, start_new_session=True,
        preexec_fn=prepare,
    )  # fmt: skip


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and what it started, which is of its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MOST_OUTPUT))
    return file.read(_MOST_OUTPUT).decode("utf-8", "replace")


def _why(code: int, said: tuple[str, str]) -> str:
    if code == 0:
        return ""
    lines = (said[1].strip() or said[0].strip()).splitlines()
    ended = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return ended + (f": {shown(lines[-1], 200)}" if lines else "")
