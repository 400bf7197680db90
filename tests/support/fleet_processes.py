"""Fleets summarised by processes of their own: the command, a scheduler, a worker, and everything that they start.

Each has a session of its own, which is ended with the block, whatever happened in it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
SECONDS = 600.0  # that anything may take on a busy machine


@contextlib.contextmanager
def started(*words: object, environment: Mapping[str, str] | None = None, log: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m WORDS` in a session of its own; what it says on stderr goes to `log`."""
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            cwd=REPO,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def ended(process: subprocess.Popen[str], log: Path) -> tuple[int, str, str]:
    """Its status, what it wrote, and what it said on stderr."""
    out, _ = process.communicate(timeout=SECONDS)
    return process.returncode, out, log.read_text()


def fleet(*words: object, folder: Path, environment: Mapping[str, str] | None = None) -> tuple[int, Any, str]:
    """The command with `--json`: its status, the document (None without), and what it said on stderr."""
    log = folder / "fleet.log"
    with started("analysis.fleet", *words, "--json", environment=environment, log=log) as process:
        status, out, err = ended(process, log)
    return status, json.loads(out) if out else None, err


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition; AssertionError where it takes too long."""
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {SECONDS:.0f} s for {what}")


def descendants(process: int) -> set[int]:
    """Processes that it and its children have started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    fresh = {process}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def reader_of(pipe: Path, of: int) -> int:
    """The descendant that has the pipe open, 0 where none has."""
    for process in descendants(of):
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{process}/fd").iterdir():
                if entry.readlink() == pipe:
                    return process
    return 0


def opened_for(pipe: Path, process: subprocess.Popen[str]) -> int:
    """The pipe opened for writing as soon as the process or one of its own reads it; its descriptor."""

    def attempt() -> int:
        assert process.poll() is None, "it has ended"
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return 0

    return int(until(attempt, "a reader of the pipe"))


@contextlib.contextmanager
def served(pipe: Path, content: bytes, process: subprocess.Popen[str]) -> Iterator[None]:
    """Each of the process's own that reads the pipe in this block gets the content, and then the end of the file."""
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.02):
            with contextlib.suppress(OSError):  # nobody reads it, or its reader is gone
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                os.write(writer, content)
                os.close(writer)
                while reader_of(pipe, process.pid) and not stop.is_set():
                    time.sleep(0.02)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
