"""How RoPE's frequencies are scaled for longer contexts: one factor a pair, by which its frequency is divided.

Everything is basic operations of doubles in one written order, rounded to float32 at the end, so a file gives the same
factors on every machine (docs/arithmetic.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_SQRT_2 = float.fromhex("0x1.6a09e667f3bcdp0")
_LN_2 = float.fromhex("0x1.62e42fefa39efp-1")


@dataclass(frozen=True)
class RopeScaling:
    """``kind`` is GGUF's ``rope.scaling.type``. ``factor`` stretches positions; ``original`` is how many there were.

    ``magnitude`` is what cosines and sines are multiplied by.
    """

    kind: str = "none"
    factor: float = 1.0
    original: int = 0
    magnitude: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0

    def factors(self, dim: int, base: float) -> np.ndarray | None:
        """float32 [dim / 2], or None where nothing is scaled."""
        if self.kind == "linear":
            return np.full(dim // 2, self.factor, np.float32)
        if self.kind == "yarn":
            return self._yarn(dim, base)
        return None

    def _yarn(self, dim: int, base: float) -> np.ndarray:
        """Pairs that turn often keep their frequency, those that turn seldom are stretched, a ramp lies between.

        arXiv 2309.00071, section 3.2; low and high are rounded outwards, as in its authors' code.
        """
        low = max(math.floor(self._pair_of(self.beta_fast, dim, base)), 0)
        high = min(math.ceil(self._pair_of(self.beta_slow, dim, base)), dim - 1)
        kept = [1.0 - min(max((i - low) / max(high - low, 0.001), 0.0), 1.0) for i in range(dim // 2)]
        return np.array([1.0 / (share + (1.0 - share) / self.factor) for share in kept], np.float32)

    def _pair_of(self, turns: float, dim: int, base: float) -> float:
        """The pair, as a fraction, that turns so many times within the original context."""
        return dim * log2(self.original / (turns * 2.0 * math.pi)) / (2.0 * log2(base))


def yarn_magnitude(factor: float) -> float:
    """0.1 · ln(factor) + 1."""
    return 1.0 + 0.1 * (log2(factor) * _LN_2)


def log2(x: float) -> float:
    """Of a positive number, in the order of operations that docs/arithmetic.md has for RoPE's base."""
    m, exponent = math.frexp(x)
    m, exponent = 2.0 * m, exponent - 1
    if m > _SQRT_2:
        m, exponent = 0.5 * m, exponent + 1
    z = (m - 1.0) / (m + 1.0)
    total = 0.0
    for k in range(25, 0, -2):
        total = total * (z * z) + 1.0 / k
    return exponent + (2.0 * z * total) * float.fromhex("0x1.71547652b82fep0")
