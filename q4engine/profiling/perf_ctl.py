"""Tells a perf that runs beside us when to count: the pipes of ``perf stat --control fifo:CTL,ACK``."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path

from q4engine.engine import Phase
from q4engine.errors import Q4Error

_OPEN_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


class PerfControl:
    """Has perf count while calls of one phase run. Q4Error where perf is not there or does not answer.

    With an acknowledging pipe each switch waits until perf has made it, so that no call runs half counted.
    """

    def __init__(self, pipes: str, phase: Phase) -> None:
        control, _, answer = pipes.removeprefix("fifo:").partition(",")
        self._phase = phase
        self._enabled = False
        self._answer: int | None = None
        self._control = self._open(Path(control), os.O_WRONLY)
        if answer:
            try:
                self._answer = self._open(Path(answer), os.O_RDONLY)
            except Q4Error:
                os.close(self._control)
                raise

    def enter(self, phase: Phase) -> None:
        """A call of this phase is about to run."""
        wanted = phase == self._phase
        if wanted != self._enabled:
            self._send("enable" if wanted else "disable")
            self._enabled = wanted

    def close(self) -> None:
        """Stops the counting and hangs up; closing twice is fine."""
        if self._control < 0:
            return
        try:
            if self._enabled:
                self._send("disable")
        finally:
            os.close(self._control)
            if self._answer is not None:
                os.close(self._answer)
            self._control, self._enabled = -1, False

    def _open(self, path: Path, mode: int) -> int:
        """Never blocks: a pipe without a perf at its other end is an error after some seconds."""
        try:
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise Q4Error(f"--perf-ctl {path}: expected a pipe made with mkfifo")
            deadline = time.monotonic() + _OPEN_SECONDS
            while True:
                try:
                    return os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC)
                except OSError as error:
                    if error.errno != errno.ENXIO or time.monotonic() > deadline:
                        raise
                time.sleep(0.05)
        except OSError as error:
            nobody = "nobody reads from it; start perf with --control fifo:… first"
            reason = nobody if error.errno == errno.ENXIO else error.strerror
            raise Q4Error(f"--perf-ctl {path}: {reason}") from None

    def _send(self, command: str) -> None:
        try:
            os.write(self._control, f"{command}\n".encode())
        except OSError as error:
            raise Q4Error(f"--perf-ctl: perf does not take '{command}': {error.strerror}") from None
        if self._answer is not None:
            self._await_answer(command)

    def _await_answer(self, command: str) -> None:
        assert self._answer is not None
        deadline, heard = time.monotonic() + _ANSWER_SECONDS, b""
        while b"ack" not in heard:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answer], [], [], left)[0]:
                raise Q4Error(f"--perf-ctl: perf did not acknowledge '{command}' within {_ANSWER_SECONDS:.0f} s")
            part = os.read(self._answer, 64)
            if not part:
                raise Q4Error(f"--perf-ctl: perf ended before it acknowledged '{command}'")
            heard += part
