"""Elementary functions against the standard library's, and exactly where they must be exact."""

from __future__ import annotations

import math

import numpy as np
import pytest

from q4engine.sampling import elementary


def test_exp_and_log_are_close() -> None:
    x = np.concatenate([np.linspace(-690, 690, 20001), np.linspace(-1, 1, 20001)])
    wanted = np.array([math.exp(value) for value in x])
    assert np.max(np.abs(elementary.exp(x) / wanted - 1.0)) < 5e-16
    y = np.exp2(np.linspace(-1000, 1000, 20001)) * np.linspace(0.5, 1.5, 20001)
    wanted = np.array([math.log(value) for value in y])
    assert np.max(np.abs(elementary.log(y) - wanted) / np.maximum(np.abs(wanted), 1e-3)) < 1e-15


def test_values_that_are_exact() -> None:
    assert float(elementary.exp(0.0)) == 1.0 and float(elementary.log(1.0)) == 0.0
    assert float(elementary.exp(-701.0)) == 0.0 and float(elementary.exp(1e9)) == float(elementary.exp(700.0))
    assert float(elementary.log(2.0)) == elementary.LN2 == math.log(2.0)


@pytest.mark.parametrize(("base", "exponent", "power"), [(1.5, 0, 1.0), (1.5, 5, 7.59375), (2.0, 127, 2.0**127)])
def test_powers(base: float, exponent: int, power: float) -> None:
    assert elementary.power(base, exponent) == power


def test_sums_go_from_the_first_to_the_last() -> None:
    values = np.array([1.0, 1e100, 1.0, -1e100] * 100)
    assert elementary.in_order(values) == sum(values.tolist()[:4]) == 0.0
    assert elementary.in_order(np.zeros(0)) == 0.0
