"""The machine's limits, measured between the repetitions of a test: on the same threads, over the same memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from q4engine.bench.cases import Case, Work
from q4engine.bench.statistics import median
from q4engine.engine import Engine

INT8_MACS = 4_000_000_000
"""A thread's share of one look at the int8 peak: about 10 ms of AVX-512 VNNI, 100 ms of a small in-order core."""
PASSES = 2
"""Looks at a limit before each repetition, and once more behind the last."""


@dataclass
class Limit:
    """One limit and what a test got out of it. Rates are 10⁹ a second: bytes, or operations (two a product)."""

    name: str
    unit: str
    samples: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.samples)


class Limits:
    """Measures the limit that matters to a test: reading for a generation, int8 products for a prompt.

    A prompt with its generation has both, one behind the other, so none that its speed could be a share of.
    """

    def __init__(self, engine: Engine, test: Case) -> None:
        self._model: Any = engine.native
        self._generation = test.n_gen > 0
        self._is_one_kind = test.is_one_kind
        self.limit: Limit | None = None

    def measure(self) -> None:
        # the NumPy backend has neither packed weights nor threads
        if self._model is None or not self._is_one_kind:
            return
        for _ in range(PASSES):
            if self._generation:
                self._read()
            else:
                self._multiply()

    def _read(self) -> None:
        from q4engine import _native

        n_bytes, seconds = _native.probe_read(self._model)
        self._add("read", "GB/s", n_bytes / seconds / 1e9)

    def _multiply(self) -> None:
        from q4engine import _native

        found = _native.probe_int8(self._model, INT8_MACS)
        if found is not None:
            instruction, macs, seconds = found
            self._add(f"int8 {instruction}", "GOP/s", 2 * macs / seconds / 1e9)

    def _add(self, name: str, unit: str, rate: float) -> None:
        if self.limit is None:
            self.limit = Limit(name, unit)
        self.limit.samples.append(rate)


def rate_of(work: Work, test: Case, seconds: float) -> float:
    """What the test moved or computed, in the unit of its limit."""
    return (work.n_bytes if test.n_gen else 2 * work.int8_macs) / seconds / 1e9
