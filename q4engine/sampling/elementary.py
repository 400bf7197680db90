"""eˣ, ln x and powers in fp64, by operations that round alike on every machine; libm's and NumPy's own do not.

Arrays and single numbers; docs/arithmetic.md writes the order down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # 32 bits: a whole number times it is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_LEAST, _MOST = -700.0, 700.0
_EXP = [1.0 / math.factorial(k) for k in range(13, -1, -1)]
_LOG = [1.0 / (2 * k + 1) for k in range(11, -1, -1)]


def exp(x: Any) -> Any:
    """eˣ, off by two units in the last place at most; 0 below −700, that of 700 above it."""
    x = np.asarray(x, np.float64)
    clipped = np.clip(x, _LEAST, _MOST)
    n = np.rint(clipped * _LOG2_E)
    r = (clipped - n * _LN2_HIGH) - n * _LN2_LOW
    return np.where(x < _LEAST, 0.0, np.ldexp(_polynomial(_EXP, r), n.astype(np.int32)))


def log(x: Any) -> Any:
    """ln x of finite x > 0, off by some units in the last place."""
    m, e = np.frexp(np.asarray(x, np.float64))
    low = m < _SQRT_HALF
    m, e = np.where(low, m + m, m), e - low
    s = (m - 1.0) / (m + 1.0)
    return e * _LN2_HIGH + (2.0 * s * _polynomial(_LOG, s * s) + e * _LN2_LOW)


def power(base: float, exponent: int) -> float:
    """base to a whole exponent ≥ 0, by squaring."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def in_order(values: np.ndarray) -> float:
    """The sum from the first value on, one after the other."""
    return float(np.cumsum(values)[-1]) if len(values) else 0.0


def _polynomial(coefficients: list[float], x: Any) -> Any:
    """The coefficient of the highest power first."""
    value: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
