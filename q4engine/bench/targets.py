"""What is measured: this engine, or another one on the same file (peer.py)."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from q4engine.engine import Engine
from q4engine.profiling.recording import Facts, Level


class Target(Protocol):
    """An engine with one timeline. ``run`` leaves the timeline as ``prepare`` left it."""

    name: str

    def prepare(self, depth: Sequence[int]) -> None:
        """Forget everything, then evaluate these tokens."""

    def run(self, prompt: Sequence[int], generated: Sequence[int]) -> float:
        """Seconds to evaluate the prompt at once, then the other tokens one by one."""


def random_tokens(n: int, vocab_size: int, seed: int) -> list[int]:
    """Tokens without meaning, the same ones every time: their values do not matter for the speed."""
    generator = random.Random(seed)
    return [generator.randrange(vocab_size) for _ in range(n)]


class Own:
    """q4engine itself, on ``session``.

    ``migrations`` counts how often a thread was found on another CPU than the last time.
    """

    name = "q4engine"

    def __init__(self, engine: Engine, n_ctx: int, n_batch: int) -> None:
        self.session = engine.session(n_ctx=n_ctx, n_batch=n_batch)
        self._depth = 0
        self.migrations = 0
        self._cpus: dict[int, int] = {}
        if self.session.recorder is not None:
            self.session.recorder.record(int(Level.CALLS), [])

    def prepare(self, depth: Sequence[int]) -> None:
        self.session.truncate(0)
        if depth:
            self.session.decode(depth)
        self._depth = len(depth)
        self._count_migrations()
        self.migrations = 0

    def run(self, prompt: Sequence[int], generated: Sequence[int]) -> float:
        decode = self.session.decode
        start = time.perf_counter()
        if prompt:
            decode(prompt)
        for token in generated:
            decode([token])
        seconds = time.perf_counter() - start
        self.session.truncate(self._depth)
        self._count_migrations()
        return seconds

    def _count_migrations(self) -> None:
        """Reads what was recorded, when no clock is running."""
        recorder = self.session.recorder
        facts = b"".join(call["facts"] for call in recorder.recorded()) if recorder is not None else b""
        for row in np.frombuffer(facts, np.int64).reshape(-1, len(Facts._fields)).tolist():
            thread = Facts(*row)
            last = self._cpus.get(thread.tid, thread.first_cpu)
            self.migrations += (last != thread.first_cpu) + (thread.first_cpu != thread.last_cpu)
            self._cpus[thread.tid] = thread.last_cpu
