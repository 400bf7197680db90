"""How tokens are chosen: the settings of samplers, in llama.cpp's names, order and defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

from q4engine.errors import Q4Error, shown

MAX_SEED = (1 << 64) - 1
_MAX_BIAS = 1e6
_MAX_TOKEN = (1 << 31) - 1

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
    "top_n_sigma": (-1e6, 1e6),
    "typical_p": (0.0, 1.0),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "dry_multiplier": (0.0, 1e6),
    "dry_base": (1.0, 1e6),
    "dry_allowed_length": (0, 1 << 30),
    "dry_penalty_last_n": (-1, 1 << 30),
    "dynatemp_range": (0.0, 1e6),
    "dynatemp_exponent": (0.0, 1e3),
    "mirostat": (0, 2),
    "mirostat_tau": (0.0, 1e3),
    "mirostat_eta": (0.0, 1e3),
}

SAMPLERS: dict[str, str] = {
    "penalties": "e",
    "dry": "d",
    "top_n_sigma": "s",
    "top_k": "k",
    "typ_p": "y",
    "top_p": "p",
    "min_p": "m",
    "xtc": "x",
    "temperature": "t",
}
"""llama.cpp's names of samplers, in its default order, and their letters."""

_NATIVE = ("penalties", "top_k", "top_p", "min_p", "temperature")
"""What ``native/sampling.c`` does, in this order."""
_LEAST_XTC_OFF = 0.5  # no two tokens have more of the probability


@dataclass(frozen=True)
class SamplerSettings:
    """How tokens are chosen. Q4Error for a value out of range.

    ``temperature`` 0 takes the likeliest token; ``top_k`` 0, ``top_p`` 1, ``min_p`` 0, ``repeat_penalty`` 1 and the
    other penalties at 0 switch a filter off. Penalties apply to the last ``repeat_last_n`` tokens (-1: all). ``seed``
    None draws one. ``logit_bias``: what is added to a token's logit before all else, by its id; -inf excludes it.

    ``samplers``: names of SAMPLERS in the order in which they run; one that is not named is off. ``top_n_sigma`` ≤ 0,
    ``typical_p`` 1, ``xtc_probability`` 0 and ``dry_multiplier`` 0 switch theirs off. ``dry_penalty_last_n`` as
    ``repeat_last_n``. ``dynatemp_range``: the temperature varies by so much with the entropy. ``mirostat`` 1 or 2
    replaces all samplers but the temperature and keeps surprises near ``mirostat_tau`` bits.
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
    top_n_sigma: float = -1.0
    typical_p: float = 1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_sequence_breakers: Sequence[str] = ("\n", ":", '"', "*")
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    samplers: Sequence[str] = tuple(SAMPLERS)

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value, whole = getattr(self, name), isinstance(low, int)
            if value is None and name == "seed":
                continue
            kind: type = Integral if whole else Real
            if not isinstance(value, kind) or not low <= value <= high:  # NaN is not, either
                limits = f"an integer from {low} to {high}" if whole else f"{low:g} to {high:g}"
                raise Q4Error(f"{name} is {_told(value)}, expected {limits}")
        self._check_biases()
        for name in ("samplers", "dry_sequence_breakers"):
            value = getattr(self, name)
            texts = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
            if not texts or not all(isinstance(text, str) for text in value):
                raise Q4Error(f"{name} is {_told(value)}, expected a list of texts")
        for name in self.samplers:
            if name not in SAMPLERS:
                raise Q4Error(f"there is no sampler {shown(name)}, expected {', '.join(SAMPLERS)}")

    def _check_biases(self) -> None:
        if not isinstance(self.logit_bias, Mapping):
            raise Q4Error(f"logit_bias is {_told(self.logit_bias)}, expected numbers by the ids of tokens")
        for token, bias in self.logit_bias.items():
            if not isinstance(token, Integral) or not 0 <= token <= _MAX_TOKEN:
                raise Q4Error(f"logit_bias has the key {_told(token)}, expected the id of a token")
            if not isinstance(bias, Real) or not (abs(bias) <= _MAX_BIAS or bias == -math.inf):
                expected = f"{-_MAX_BIAS:g} to {_MAX_BIAS:g} or -inf"
                raise Q4Error(f"the bias of token {token} is {_told(bias)}, expected {expected}")

    @property
    def penalises(self) -> bool:
        """Whether any penalty is on."""
        on = self.repeat_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0
        return on and self.repeat_last_n != 0

    def recent(self, history: Sequence[int]) -> Sequence[int]:
        """The tokens that penalties apply to."""
        if "penalties" not in self.active:
            return ()
        return history if self.repeat_last_n < 0 else history[-self.repeat_last_n :]

    @cached_property
    def active(self) -> tuple[str, ...]:
        """The samplers that do anything, in their order."""
        on = {
            "penalties": self.penalises,
            "dry": self.dry_multiplier > 0.0 and self.dry_penalty_last_n != 0,
            "top_n_sigma": self.top_n_sigma > 0.0,
            "top_k": self.top_k > 0,
            "typ_p": self.typical_p < 1.0,
            "top_p": self.top_p < 1.0,
            "min_p": self.min_p > 0.0,
            "xtc": self.xtc_probability > 0.0 and self.xtc_threshold <= _LEAST_XTC_OFF,
            "temperature": self.temperature != 1.0 or self.dynatemp_range > 0.0,
        }
        if self.mirostat:
            return ("temperature",) if self.temperature != 1.0 else ()
        return tuple(name for name in self.samplers if on[name])

    @property
    def is_native(self) -> bool:
        """Whether native/sampling.c does what is active, in that order."""
        places = [_NATIVE.index(name) for name in self.active if name in _NATIVE]
        strictly = all(a < b for a, b in pairwise(places))
        return strictly and len(places) == len(self.active) and not self.mirostat and self.dynatemp_range == 0.0

    @cached_property
    def native_values(self) -> tuple[float, int, float, float, float, float, float]:
        """Temperature, top-k, top-p, min-p and the three penalties, at what changes nothing where they are off."""
        on = set(self.active)
        penalties = (self.repeat_penalty, self.frequency_penalty, self.presence_penalty)
        return (
            self.temperature if "temperature" in on else 1.0,
            self.top_k if "top_k" in on else 0,
            self.top_p if "top_p" in on else 1.0,
            self.min_p if "min_p" in on else 0.0,
            *(penalties if "penalties" in on else (1.0, 0.0, 0.0)),
        )


def _told(value: object) -> str:
    """A value in an error."""
    return str(value) if isinstance(value, Real) else shown(repr(value))[1:-1]
