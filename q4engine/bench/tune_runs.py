"""One measurement of ``q4engine tune``: a model loaded for a placement, a prompt and some tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from q4engine.bench.placements import Placement
from q4engine.bench.statistics import median
from q4engine.bench.targets import random_tokens
from q4engine.bench.tuning import Rates
from q4engine.engine import Engine

PROMPT = 128
_LEAST, _MOST = 4, 64  # tokens that are generated
_WARM_UP = 16


class Measurer:
    """``seconds`` is how long each phase of a measurement takes, if one call of it is not longer."""

    def __init__(self, model: Path, seconds: float) -> None:
        self._model = model
        self._seconds = seconds

    def __call__(self, placement: Placement) -> Rates:
        cpus = None if placement.cpus is None else placement.cpus[: placement.threads]
        with Engine.load(self._model, placement.threads, cpus) as engine:
            vocab = engine.config.vocab_size
            session = engine.session(n_ctx=PROMPT + _MOST, n_batch=PROMPT)
            prompt, generated = random_tokens(PROMPT, vocab, 1), random_tokens(_MOST, vocab, 2)
            session.decode(prompt[:_WARM_UP])

            def read() -> None:
                session.truncate(0)
                session.decode(prompt)

            prefill = PROMPT / median(self._timed([read] * _MOST, 1))
            decode = 1 / median(self._timed([partial(session.decode, [token]) for token in generated], _LEAST))
        return Rates(prefill, decode)

    def _timed(self, calls: list[Callable[[], object]], least: int) -> list[float]:
        """Seconds of each call, until the time is over."""
        found: list[float] = []
        for call in calls:
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
            if len(found) >= least and sum(found) >= self._seconds:
                break
        return found
