"""Factors of RoPE's frequencies, against formulations of their own in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

from q4engine.models.rope_scaling import RopeScaling, log2, yarn_magnitude


@pytest.mark.parametrize("x", [1.0, 2.0, 1e-3, 3.0, 1e4, 1e6, 5e5, 0.7071067811865476, 1.4142135623730951, 1e30])
def test_log2(x: float) -> None:
    assert log2(x) == pytest.approx(math.log2(x), rel=4e-16, abs=1e-300)


def test_nothing_is_scaled_unless_the_file_says_so() -> None:
    assert RopeScaling().factors(64, 10000.0) is None
    assert RopeScaling("longrope", original=4096, magnitude=1.19).factors(64, 10000.0) is None


def test_linear() -> None:
    factors = RopeScaling("linear", 8.0).factors(64, 1e6)
    assert factors is not None and factors.dtype == np.float32 and factors.tolist() == [8.0] * 32


@pytest.mark.parametrize(("dim", "base", "factor", "original"), [(128, 10000.0, 16.0, 4096), (64, 1e6, 4.0, 32768)])
def test_yarn(dim: int, base: float, factor: float, original: int) -> None:
    """Frequencies as their authors' code has them: interpolated · (1 − kept) + extrapolated · kept."""
    factors = RopeScaling("yarn", factor, original).factors(dim, base)
    assert factors is not None

    def place(turns: float) -> float:
        return dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = max(math.floor(place(32)), 0), min(math.ceil(place(1)), dim - 1)
    for i, found in enumerate(factors):
        kept = 1 - min(max((i - low) / (high - low), 0), 1)
        frequency = base ** (-2 * i / dim)
        expected = frequency / factor * (1 - kept) + frequency * kept
        assert frequency / float(found) == pytest.approx(expected, rel=1e-7)
    assert factors[0] == 1.0 and factors[-1] == np.float32(factor)


def test_magnitude_of_yarn() -> None:
    assert yarn_magnitude(1.0) == 1.0
    assert yarn_magnitude(32.0) == pytest.approx(0.1 * math.log(32) + 1, rel=1e-15)
