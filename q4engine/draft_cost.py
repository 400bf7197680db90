"""What a draft model's work costs in that of the model it guesses for, from their sizes alone."""

from __future__ import annotations

from typing import NamedTuple

from q4engine.engine import Engine
from q4engine.profiling.recording import weight_bytes_per_token


class Cost(NamedTuple):
    """Of a drafter, as shares of the model's own time."""

    token: float
    """A guess, of a single token's time: bytes of weights that are read."""
    prompt: float
    """A token of a prompt, of that of one of the model's: products."""

    def most_speed_up(self, guesses: int) -> float:
        """Over single tokens, where calls of 1 to so many guesses took no longer than a single token's and all guesses
        were right."""
        return max((n + 1) / (1 + n * self.token) for n in range(1, guesses + 1))


def cost_of(draft: Engine, model: Engine) -> Cost:
    """What the draft costs, at as many threads as the model has."""
    n_bytes = weight_bytes_per_token(draft) / weight_bytes_per_token(model)
    return Cost(n_bytes, products_per_token(draft) / products_per_token(model))


def products_per_token(engine: Engine) -> int:
    """Multiplications of a prompt's token with weights; those of its last token alone are not counted."""
    found = 0
    for op in engine.graph.ops:
        if op.kind in ("matmul", "experts") and not op.last:
            n = sum(tensor.n_elements for tensor in engine.graph.weights[op.index("weight")])
            found += n // op.index("experts") * op.index("used") if op.kind == "experts" else n
    return max(1, found)
