"""A command in a process of its own, with signals as a program in the foreground of a terminal has them, to be ended by
one. What is typed for it is typed in a terminal, else it has no input."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 120.0  # that a command may take to end by itself
_START = """
import importlib.util, runpy, signal, sys, warnings
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "-m"
print(flush=True)
runpy.run_module("{module}", run_name="__main__", alter_sys=True)
"""
_OURS = re.compile(r'File ".*[/\\](q4engine|analysis|annotate)[/\\]')


class Started:
    """``words`` are those of q4engine, or of an ``analysis`` command whose module is the first."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path | None = None,
        typed: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = " ".join(words)
        module, words = (words[0], words[1:]) if words[0].startswith("analysis.") else ("q4engine", words)
        self._typed, self._shown = typed, b""
        self._terminal, theirs = pty.openpty() if typed else (-1, -1)
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(module=module), *words],
            cwd=folder,
            stdin=theirs if typed else subprocess.DEVNULL,
            stdout=theirs if typed else self._said,
            stderr=self._said,
            # a terminal that is none is not asked where its cursor is: a second would go by without an answer
            env={**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm", **(environment or {})},
        )
        if typed:
            os.close(theirs)

    def begun(self) -> bool:
        """Whether it is about to load the command; what comes before, Python itself answers."""
        return bool(self._shown) or os.fstat(self._said.fileno()).st_size > 0

    def tend(self, seconds: float) -> None:
        """Types and reads what is shown for a moment."""
        if self._terminal < 0:
            time.sleep(seconds)
            return
        can_read, can_write, _ = select.select([self._terminal], [self._terminal] * bool(self._typed), [], seconds)
        with contextlib.suppress(OSError):  # where the command has ended
            if can_read:
                self._shown = os.read(self._terminal, 1 << 16)
            if can_write and self._shown:
                self._typed = self._typed[os.write(self._terminal, self._typed[:64]) :]

    def wait(self, seconds: float, until_written: Path | None = None) -> bool:
        """Whether the command ended within that time; returns early where it began to write in that folder."""
        end = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < end:
            if until_written is not None and any(until_written.glob(".q4-*")):
                return False
            self.tend(0.001)
        return not self.is_running()

    def is_running(self) -> bool:
        """One that has ended is kept for `cpu_seconds` and its like until `ended`."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def end_by(self, number: signal.Signals, seconds: float = SECONDS) -> None:
        """Sends it a signal and waits for its end. In a chat Ctrl-C stops an answer or what is typed, and the second
        ends it: there it comes again and again."""
        self._typed, end = b"", time.monotonic() + seconds
        again = self._terminal >= 0 and number == signal.SIGINT
        os.kill(self.process.pid, number)
        while not self.wait(min(0.1, end - time.monotonic()) if again else seconds) and time.monotonic() < end:
            os.kill(self.process.pid, number)

    def ended(self, seconds: float = SECONDS) -> str:
        """Waits for the end; what was said. AssertionError where it does not come, or with a traceback of ours."""
        in_time = self.wait(seconds)
        if not in_time:
            self.process.kill()
        self.process.wait()
        if self._terminal >= 0:
            os.close(self._terminal)
        self._said.seek(0)
        with self._said:
            said = self._said.read()
        assert in_time, f"{self.name} goes on"
        assert not _OURS.search(said) and "Exception ignored" not in said, said
        return said

    def cpu_seconds(self) -> float:
        """Of all its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_seconds(self) -> float:
        """That its main thread waited for a CPU so far; 0 where the kernel does not say."""
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0
