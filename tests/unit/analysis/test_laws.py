"""Laws of speed-up: known numbers are found again, and a law that does not hold says so."""

from __future__ import annotations

import pytest

from analysis.laws import Law, laws

THREADS = (1, 2, 4, 8)


def gains(serial: float, crosstalk: float = 0.0) -> dict[int, float]:
    law = Law("synthetic", serial, crosstalk, 0.0)
    return {count: law.at(count) for count in THREADS}


@pytest.mark.parametrize("serial", [0.0, 0.05, 0.5])
def test_amdahl_is_found_again(serial: float) -> None:
    for law in laws(gains(serial)):
        assert law.serial == pytest.approx(serial, abs=1e-9) and law.crosstalk == pytest.approx(0, abs=1e-9)
        assert law.holds and law.residual < 1e-9
        assert law.most == pytest.approx(1 / serial if serial else float("inf"), rel=1e-3) or law.crosstalk > 0


def test_the_universal_law_is_found_where_amdahls_does_not_hold() -> None:
    amdahl, universal = laws(gains(0.02, 0.03))
    assert not amdahl.holds and universal.holds
    assert universal.serial == pytest.approx(0.02) and universal.crosstalk == pytest.approx(0.03)
    assert universal.most == pytest.approx(max(universal.at(n / 10) for n in range(10, 300)), rel=1e-3)


def test_more_than_ideal_is_no_negative_share() -> None:
    for law in laws({1: 1.0, 2: 2.4, 4: 5.0, 8: 11.0}):
        assert (law.serial, law.crosstalk) == (0, 0) and not law.holds


def test_few_numbers_of_threads_say_nothing() -> None:
    assert laws({1: 1.0, 2: 1.9}) == [] and laws({2: 1.0, 4: 1.9, 8: 3.0}) == []
    assert [law.name for law in laws({1: 1.0, 2: 1.9, 4: 3.5})] == ["Amdahl"]
