"""Synthetic results of `q4engine bench`, whose times are given."""

from __future__ import annotations

from q4engine.bench import conditions
from q4engine.bench.cases import Case, Work
from q4engine.bench.limits import Limit
from q4engine.bench.model import ModelFacts
from q4engine.bench.runner import Result, Series
from q4engine.cpu_time import MachineTime

STATE = conditions.State(["performance"], [2000.0], {"cpu": 41.5}, 0.5, MachineTime(10.0, 1.0), 5.0, {})
MODEL = ModelFacts("synthetic.gguf", "llama 135M Q4_0", 90 * 2**20, 134_500_000, 0.04)


def result(test: Case, seconds: list[float], peer: list[float] | None = None, limit: Limit | None = None) -> Result:
    return Result(
        test=test,
        n_threads=2,
        n_batch=512,
        work=Work(3_000_000_000, 5_000_000_000),
        started="2026-01-01T00:00:00+00:00",
        own=Series("q4engine", test.n_tokens, 0.5, seconds),
        before=STATE,
        after=STATE,
        peer=Series("llama.cpp", test.n_tokens, None, peer) if peer else None,
        limit=limit,
        migrations=3,
        others=0.0,
    )
