"""Plans with mistakes in them: what the native core takes is run, in other contexts and batches than its own."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from mistakes import INTEGERS, REFUSALS, SPEC, model_arguments, with_a_mistake

from fuzz.harness import Folder
from q4engine import _native


class Plans:
    """Under sanitizers (``make sanitize``) a stray access ends the process."""

    refused = REFUSALS

    def __init__(self) -> None:
        self._folder = Folder()
        self._right = model_arguments(Path(self._folder.name))
        self._engine = self._right.pop("_engine")

    def case(self, rng: random.Random) -> None:
        mistaken = self._right | {"kv_form": rng.choice(("f16", "q8_0"))}
        for _ in range(rng.choice([0, 1, 1, 2])):
            mistaken = with_a_mistake(mistaken, rng)
        model = _native.Model(**mistaken)
        n_ctx, n_batch = rng.choice([64, 600, 1, *INTEGERS[:6]]), rng.choice([8, 8, 1, *INTEGERS[:6]])
        session = _native.Session(model, n_ctx, n_batch)
        logits = np.empty(model.kernels()[-1][2], np.float32)
        for n in (5, 1, 8):
            tokens = np.array([rng.randrange(SPEC.vocab_size) for _ in range(n)], np.int32)
            session.decode(tokens, rng.choice([0, 3, 63, 550]), False, logits)
