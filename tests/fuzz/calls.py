"""Calls of the native module's functions with anything for an argument."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mistakes import ANYTHING, NO_INTEGERS, REFUSALS, SPEC, model_arguments

from fuzz.harness import Folder
from q4engine import _native
from q4engine.kv_forms import KV_FORMS

_ROWS = [
    np.random.default_rng(1).standard_normal((2, 256), np.float32),
    np.zeros((2, 256), np.float32), np.full((2, 256), 3e38, np.float32), np.zeros(2049, np.uint8)[1:],
]  # fmt: skip
_PACKED = {number: 512 // block * size for _, number, block, size, _ in _native.tensor_types()}
"""Bytes of two rows of 256, by the number of the type."""
_GROUPS = [[], [[]], [[(1, 0, True)]], [[None]], [[(1, 0, True), (1, 1, False)]] * 3, [[(1, 0, True)] * 40]]


class Calls:
    """Of what takes no plan; ``Plans`` has that."""

    refused = (*REFUSALS, OSError)

    def __init__(self) -> None:
        self._folder = Folder()
        folder = Path(self._folder.name)
        self._engines = [model_arguments(folder, n_threads=1, kv_form=form)["_engine"] for form in KV_FORMS]
        self._sessions = [_native.Session(engine.native, 64, 8) for engine in self._engines]
        self._model, self._session = self._engines[0].native, self._sessions[0]
        self._logits = np.zeros(SPEC.vocab_size, np.float32)
        self._calls: list[Callable[[random.Random], object]] = [
            self._decode, _quantize, self._sample, self._record, self._keep, self._others,
        ]  # fmt: skip

    def case(self, rng: random.Random) -> None:
        form = rng.randrange(len(KV_FORMS))
        self._model, self._session = self._engines[form].native, self._sessions[form]
        rng.choice(self._calls)(rng)

    def _decode(self, rng: random.Random) -> object:
        tokens: Any = np.array([rng.randrange(-1, SPEC.vocab_size + 1) for _ in range(rng.randrange(4))], np.int32)
        given = [
            _usually(rng, tokens, [*ANYTHING, array("i", [5]), b"abc", np.arange(16, dtype=np.int32)[::2]]),
            _usually(rng, rng.choice((0, 1, 60)), ANYTHING),
            _usually(rng, False, [True, *ANYTHING]),
            _usually(rng, self._logits, [*ANYTHING, bytes(4 * SPEC.vocab_size), np.zeros((3, 320), np.float32)]),
            _usually(rng, 1, ANYTHING),
        ]  # fmt: skip
        return self._session.decode(*given)

    def _sample(self, rng: random.Random) -> object:
        logits = np.array(rng.choices((0.0, 1.0, -1e30, 3e38, float("nan"), float("inf")), k=9), np.float32)
        usual = (0.8, 40, 0.9, 0.05, 1.1, 0.5, 0.5, 7)
        recent = _usually(rng, array("i", [3]), [array("i"), array("i", [99]), *ANYTHING])
        return _native.sample(
            _usually(rng, logits, [*_ROWS, *ANYTHING]), recent, *(_usually(rng, one, ANYTHING) for one in usual)
        )

    def _record(self, rng: random.Random) -> object:
        what = rng.randrange(5)
        if what == 0:
            return self._session.record(_usually(rng, rng.randrange(4), ANYTHING), rng.choice([*_GROUPS, *ANYTHING]))
        if what == 1:
            return self._session.select(rng.choice([0, 1, *ANYTHING]))
        if what == 2:
            return self._session.remind(rng.choice([0, 10**9, *ANYTHING]), rng.choice([0, 1 << 20, *ANYTHING]))
        return self._session.recorded() if what == 3 else self._session.record_cost()

    def _keep(self, rng: random.Random) -> object:
        """Keys and values of anybody's making, which the calls that follow read."""
        n = rng.choice((0, 1, 60, 64))
        kept = bytearray(rng.randbytes(1024) * -(-self._session.kv_bytes(n) // 1024))[: self._session.kv_bytes(n)]
        call = rng.choice((self._session.save_kv, self._session.load_kv))
        self._session.kv_bytes(_usually(rng, n, ANYTHING))
        return call(_usually(rng, n, ANYTHING), _usually(rng, kept, ANYTHING))

    def _others(self, rng: random.Random) -> object:
        anything = rng.choice(ANYTHING)
        calls: tuple[Callable[[], object], ...] = (
            lambda: _native.tell_of_truncation(rng.choice([b"", bytes(5000), anything])),
            lambda: _native.skip_strings(rng.choice([bytes(16), b"\xff" * 16, anything]), *rng.choices(ANYTHING, k=2)),
            lambda: _native.cpu_features(rng.choice([anything, "avx2," * 500])),
            lambda: _native.random_state(anything),
            lambda: _native.Session(_usually(rng, self._model, ANYTHING), *rng.choices(ANYTHING, k=2)),
            lambda: _native.probe_int8(_usually(rng, self._model, ANYTHING), rng.choice(NO_INTEGERS)),  # type: ignore[arg-type]
            lambda: _native.pmu_try(rng.choice([*_GROUPS, anything]), *rng.choices(ANYTHING, k=rng.randrange(2))),
            lambda: _native.Counters(rng.choice([[], [0], [-1], anything]), rng.choice([*_GROUPS, anything])),
        )
        return rng.choice(calls)()


def _quantize(rng: random.Random) -> object:
    kind = rng.choice(list(_PACKED))
    return _native.quantize_rows(
        _usually(rng, rng.choice(_ROWS), ANYTHING),
        _usually(rng, np.zeros(_PACKED[kind], np.uint8), [*ANYTHING, b"x" * 288]),
        _usually(rng, kind, [*range(32), *ANYTHING]),
        _usually(rng, 2, ANYTHING),
        _usually(rng, 256, ANYTHING),
        _usually(rng, rng.choice(("search", "reference")), ANYTHING),
        *([_usually(rng, rng.choice((None, np.ones(256, np.float32))), ANYTHING)] if rng.random() < 0.5 else []),
    )


def _usually(rng: random.Random, right: Any, wrong: Any) -> Any:
    return right if rng.random() < 0.7 else rng.choice(wrong)
