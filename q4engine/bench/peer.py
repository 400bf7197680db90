"""Another engine on the same file, in a process of its own: one that the user installed for an interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown
from q4engine.kv_forms import KVForm

_WORKER = Path(__file__).with_name("peer_worker.py")
_PATIENCE_ALONE, _PATIENCE = 5, 600
"""Seconds that it has to end: who watches it writes files then."""
_HURRY = 0.5
"""The same where a signal ends this command: the peer may be at an answer that takes long."""


class Peer:
    """A target (targets.py). ``facts`` is what the peer says of itself. Use as a context manager.

    before: a command that runs it, such as ``q4engine watch … --``. name: the engine, one of peer_worker.py's.
    cpu_seconds: of all its threads in the last run. kv_form: how llama.cpp keeps keys and values.

    Q4Error where it cannot be started or ends unexpectedly, with the last line that it wrote.
    """

    def __init__(
        self,
        python: str,
        model: Path,
        n_ctx: int,
        n_batch: int,
        threads: tuple[int, int],
        before: Sequence[str] = (),
        name: str = "llama.cpp",
        kv_form: KVForm = "f16",
    ) -> None:
        self.name = name
        self._patience = _PATIENCE if before else _PATIENCE_ALONE
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        words = [name, str(model), kv_form, *map(str, (n_ctx, n_batch, *threads))]
        command = [*before, python, "-P", str(_WORKER), *words]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=_environment()
            )
        except OSError as error:
            self._log.close()
            raise Q4Error(f"--vs-python {shown(python)}: cannot be started: {error.strerror}") from None
        self._python = python
        self.cpu_seconds = 0.0
        try:
            self.facts = self._answer()
        except BaseException as error:
            self._end(error)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def prepare(self, depth: Sequence[int]) -> None:
        self._ask({"prepare": list(depth)})

    def run(self, prompt: Sequence[int], generated: Sequence[int]) -> float:
        answer = self._ask({"prompt": list(prompt), "generated": list(generated)})
        self.cpu_seconds = float(answer.get("cpu_seconds", 0.0))
        return float(answer["seconds"])

    def tokenize(self, text: str) -> tuple[int, float]:
        """How many tokens the text is, and the seconds that it took; without special tokens."""
        answer = self._ask({"tokenize": text})
        return int(answer["tokens"]), float(answer["seconds"])

    def close(self, patience: float | None = None) -> None:
        """End the process, which has so many seconds for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):  # half a request, to one that has ended
                    pipe.close()
        try:
            self._process.wait(self._patience if patience is None else patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if error is None or isinstance(error, Exception):
            self.close()
        else:
            self._process.terminate()
            self.close(_HURRY)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Q4Error(f"{self.name} ({self._python}): {answer['error']}")
        return answer

    def _ended(self) -> Q4Error:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        said = f": {shown(lines[-1], 200)}" if lines else ""
        return Q4Error(f"{self.name} ({self._python}) ended with exit code {code}{said}")


def _environment() -> dict[str, str]:
    """The peer's interpreter finds its own packages, not ours."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
