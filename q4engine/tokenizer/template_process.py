"""Renders templates in a process of their own, so that limits on time and memory hold whatever a template does."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error
from q4engine.interrupts import uninterrupted
from q4engine.tokenizer import template_worker

_START_SECONDS = 300.0  # nothing of a template has run yet: a machine that is this busy is no template's fault
_WALL = 10  # CPU time is what a template is held to; this times as much may pass until it has had that
_READ = 1 << 16
_MAX_ANSWER = 4 * template_worker.MAX_CHARS + (1 << 16)  # bytes
_HEADER = 9


class TemplateEnded(Exception):
    """The process ended, or was ended, before it answered; says why."""


class TemplateProcess:
    """A child process that renders, started when it is first needed and again where it was ended.

    One rendering at a time; other threads wait. After a fork the child has none and starts its own. It ends with this
    object, with ``close()``, and where whoever holds this process dies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._seconds = 0.0
        self._end: weakref.finalize[Any, Any] | None = None
        _all.add(self)

    def ask(self, source: str, values: dict[str, Any] | None) -> tuple[str, str]:
        """The worker's answer: its kind and text. TemplateEnded where there is none; Q4Error where none can be started.

        An exception of a signal's handler, such as KeyboardInterrupt, ends the child.
        """
        body = json.dumps({"source": source, "values": values}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        with self._lock:
            try:
                child = self._started()
                answer = self._exchange(child, b"J" + len(body).to_bytes(8, "little") + body, _WALL * self._seconds)
            except BaseException:
                self._stop()
                raise
            if answer[0] == "M":
                self._stop()
            return answer

    def close(self) -> None:
        """Ends the child. A later ``ask`` starts another."""
        with self._lock:
            self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._stop()
        with uninterrupted():
            self._child = _spawned()
            self._end = weakref.finalize(self, _ended, self._child)
        try:
            _, seconds = self._exchange(self._child, b"", _START_SECONDS)
        except TemplateEnded as ended:
            raise Q4Error(f"the process that renders chat templates cannot be started: {ended}") from None
        self._seconds = float(seconds)
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], request: bytes, seconds: float) -> tuple[str, str]:
        """Writes the request while it reads the answer. The worker is not trusted either: its answer has a limit."""
        assert child.stdin is not None and child.stdout is not None
        left, answer, wanted = memoryview(request), bytearray(), _HEADER
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        while len(answer) < wanted:
            if left:
                poll.register(child.stdin, select.POLLOUT)
            ready = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
            if not ready:
                raise TemplateEnded(f"it takes more than {seconds:.0f} s")
            if child.stdin.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    try:
                        left = left[os.write(child.stdin.fileno(), left) :]
                    except BrokenPipeError:
                        left = left[:0]
                if not left:
                    poll.unregister(child.stdin)
            if child.stdout.fileno() in ready:
                piece = os.read(child.stdout.fileno(), min(_READ, wanted - len(answer)))
                if not piece:
                    raise TemplateEnded(self._why_ended(child))
                answer += piece
            if len(answer) == _HEADER == wanted:
                wanted += min(int.from_bytes(answer[1:], "little"), _MAX_ANSWER)
        return chr(answer[0]), answer[_HEADER:].decode("utf-8", "surrogatepass")

    def _why_ended(self, child: subprocess.Popen[bytes]) -> str:
        try:
            code = child.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if code == -signal.SIGPROF:
            return f"it takes more than {self._seconds:.1f} s of CPU time"
        return f"its process was ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"

    def _stop(self) -> None:
        end, self._child, self._end = self._end, None, None
        if end is not None:
            end()

    def _forked(self) -> None:
        """In a forked child: the worker is the parent's."""
        self._lock = threading.Lock()
        child, end, self._child, self._end = self._child, self._end, None, None
        if end is not None:
            end.detach()
        if child is not None:
            child.returncode = 0  # nothing of ours to wait for
            _close(child)


_all: weakref.WeakSet[TemplateProcess] = weakref.WeakSet()


def _after_fork() -> None:
    for process in list(_all):
        process._forked()


os.register_at_fork(after_in_child=_after_fork)


def _spawned() -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise Q4Error("chat templates are rendered by a Python of their own, and this program names none")
    found = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    folders = {str(Path(spec.origin).parent.parent) for spec in found if spec is not None and spec.origin is not None}
    worker = Path(__file__).with_name("template_worker.py")
    try:
        child = subprocess.Popen(
            [sys.executable, "-S", "-P", str(worker), *sorted(folders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={name: text for name, text in os.environ.items() if name != "QEMU_PLUGIN"},  # it counts one process
            process_group=0,  # a terminal's Ctrl-C is for us, who then end it
        )
    except OSError as error:
        raise Q4Error(f"the process that renders chat templates cannot be started: {error.strerror}") from None
    assert child.stdin is not None
    os.set_blocking(child.stdin.fileno(), False)
    return child


def _ended(child: subprocess.Popen[bytes]) -> None:
    with uninterrupted():
        child.kill()
        child.wait()
        _close(child)


def _close(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
