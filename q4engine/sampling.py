"""Sampling: the next token from logits.

The arithmetic is native (``native/sampling.c``), so that the same seed gives the same text on every machine. Filters
run in the order that llama.cpp documents: bias, penalties, top-k, top-p, min-p, temperature, draw.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from q4engine.errors import Q4Error

if TYPE_CHECKING:
    import numpy as np

MAX_SEED = (1 << 64) - 1
_MAX_BIAS = 1e6

# the bounds of the two that scale logits keep them from over- and underflowing in fp32
BOUNDS: dict[str, tuple[Any, Any]] = {
    "temperature": (0.0, 1e6),
    "top_k": (0, 1 << 30),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (1e-3, 1e3),
    "frequency_penalty": (-1e6, 1e6),
    "presence_penalty": (-1e6, 1e6),
    "repeat_last_n": (-1, 1 << 30),
    "seed": (0, MAX_SEED),
}


@dataclass(frozen=True)
class SamplerSettings:
    """How tokens are chosen. Q4Error for a value out of range.

    ``temperature`` 0 takes the likeliest token; ``top_k`` 0, ``top_p`` 1, ``min_p`` 0, ``repeat_penalty`` 1 and the
    other penalties at 0 switch a filter off. Penalties apply to the last ``repeat_last_n`` tokens (-1: all). ``seed``
    None draws one. ``logit_bias``: what is added to a token's logit before all else, by its id; -inf excludes it.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_last_n: int = 64
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # NaN is not, either
                limits = f"{low} to {high}" if isinstance(low, int) else f"{low:g} to {high:g}"
                raise Q4Error(f"{name} is {value}, expected {limits}")
        for token, bias in self.logit_bias.items():
            if not (abs(bias) <= _MAX_BIAS or bias == -math.inf):
                raise Q4Error(f"the bias of token {token} is {bias}, expected {-_MAX_BIAS:g} to {_MAX_BIAS:g} or -inf")

    @property
    def penalises(self) -> bool:
        """Whether any penalty is on."""
        on = self.repeat_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0
        return on and self.repeat_last_n != 0


class Sampler:
    """Chooses tokens, one after the other, from one stream of random numbers."""

    def __init__(self, settings: SamplerSettings) -> None:
        from q4engine import _native

        self.settings = settings
        self.seed = int.from_bytes(os.urandom(4), "little") if settings.seed is None else settings.seed
        self._native = _native
        self._state = _native.random_state(self.seed)

    def fork(self) -> Sampler:
        """Another one that will draw what this one would."""
        twin = Sampler(self.settings)
        twin.seed, twin._state = self.seed, self._state
        return twin

    def sample(self, logits: np.ndarray, history: Sequence[int] = ()) -> int:
        """The id of the next token. ``logits``: float32 [vocab_size]; ``history``: all tokens so far.

        Q4Error where a logit is not finite; it names the token and the position of the last token evaluated.
        """
        import numpy as np

        settings = self.settings
        recent: Sequence[int] = ()
        if settings.penalises:
            recent = history if settings.repeat_last_n < 0 else history[-settings.repeat_last_n :]
        values = np.ascontiguousarray(logits, np.float32)
        if settings.logit_bias:
            values = self._biased(values)
        try:
            token, self._state = self._native.sample(
                values,
                array("i", recent),
                settings.temperature,
                settings.top_k,
                settings.top_p,
                settings.min_p,
                settings.repeat_penalty,
                settings.frequency_penalty,
                settings.presence_penalty,
                self._state,
            )
        except ValueError as error:
            bad = np.flatnonzero(~np.isfinite(values))
            if not bad.size:
                raise
            value, position = float(values[bad[0]]), len(history) - 1
            found = "NaN" if math.isnan(value) else f"{value}"
            raise Q4Error(
                f"the logit of token {bad[0]} at position {position} is {found}, expected a finite number"
            ) from error
        return int(token)

    def _biased(self, logits: np.ndarray) -> np.ndarray:
        """A copy with the biases added in fp32; what would leave its range, and what is excluded, stays at its end."""
        import numpy as np

        lowest, highest = float(np.finfo(np.float32).min), float(np.finfo(np.float32).max)
        values = logits.copy()
        for token, bias in self.settings.logit_bias.items():
            if not 0 <= token < len(values):
                raise Q4Error(f"there is no token {token} to bias, the vocabulary has {len(values)}")
            if math.isfinite(values[token]):
                with np.errstate(over="ignore"):
                    values[token] = np.clip(values[token] + np.float32(bias), lowest, highest)
        return values
