"""Known answers of medians and their intervals: how often they hold what they should, in 1000 simulated sweeps each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from swept import synthetic_plan

from analysis import medians
from q4engine.sweep.order import block_order

SWEEPS = 1000
BLOCKS = 10
SAMPLES = 3


def drawn(generator: np.random.Generator, setups: int, blocks: int, noise: str) -> np.ndarray:
    """Runs' values around a median of 1, [sweeps, setups, blocks]: the median of each run's samples."""
    size = (SWEEPS, setups, blocks, SAMPLES)
    if noise == "normal":
        found = 1 + 0.03 * generator.normal(size=size)
    else:  # a long tail above, as of a machine that others use
        found = 1 + 0.05 * (generator.exponential(size=size) - math.log(2))
    values: np.ndarray = np.median(found, axis=-1)
    return values


def test_intervals_of_known_values() -> None:
    assert medians.interval([1.0] * 5) is None
    low, high = medians.interval([1, 2, 3, 4, 5, 6]) or (0, 0)
    # 1 to 6 covers 31/32, 2 to 5 covers 25/32: a tenth of the way between, weighted by 5 / (1 + 4 · 0.1)
    assert (low, high) == (pytest.approx(1 + 5 / 14), pytest.approx(6 - 5 / 14))
    wide = medians.interval_of_difference([1, 2, 3, 4, 5, 6], [1.0] * 6) or (0, 0)
    assert wide == (pytest.approx(low - 1), pytest.approx(high - 1))
    assert medians.interval_of_difference([1.0] * 6, [1.0] * 5) is None
    assert medians.interval([2.0] * 8) == (2.0, 2.0)
    low, high = medians.interval(list(range(10_000))) or (0, 0)  # about 1.96 · √n / 2 from the middle, on either side
    assert low == pytest.approx(4999.5 - 98, abs=1.5) and low + high == pytest.approx(9999)
    assert medians.middle([3, 1, 2, 10]) == 2.5


@pytest.mark.parametrize("noise", ["normal", "long tail"])
@pytest.mark.parametrize("blocks", [6, 7, 10, 20])
def test_intervals_cover_the_truth(noise: str, blocks: int) -> None:
    generator = np.random.default_rng(blocks)
    values = drawn(generator, 4, blocks, noise)
    truth = 1.0 if noise == "normal" else float(np.median(drawn(generator, 400, 1, noise)))
    low, high = medians.intervals(values)
    covered = np.mean((low <= truth) & (truth <= high))
    assert 0.93 <= covered <= 0.97, covered


def test_intervals_cover_the_truth_where_a_target_ends_the_sweep() -> None:
    """All four setups together, looked at after each pair of blocks: `q4engine.sweep.stopping`."""
    values = drawn(np.random.default_rng(2), 4, 60, "normal")
    covered, ended = np.zeros((SWEEPS, 4), bool), np.zeros(SWEEPS, bool)
    for blocks in range(medians.LEAST, 61, 2):
        low, high = medians.intervals(values[..., :blocks])
        widest = ((high - low) / 2 / np.median(values[..., :blocks], axis=-1)).max(axis=1)
        now = ~ended & ((widest <= 0.015) | (blocks == 60))
        covered[now] = ((low <= 1) & (high >= 1))[now]
        ended |= now
    assert 0.93 <= covered.mean() <= 0.97, covered.mean()


@pytest.mark.parametrize("noise", ["normal", "long tail"])
@pytest.mark.parametrize("blocks", [6, 7, 10, 20])
def test_equal_twins_show_no_difference(noise: str, blocks: int) -> None:
    one, other = np.moveaxis(drawn(np.random.default_rng(blocks), 2, blocks, noise), 1, 0)
    low, high = medians.intervals(medians.ratios(one, other), medians.COMPARED)
    none_shown = np.mean((low <= 0) & (high >= 0))
    assert none_shown >= 0.94, none_shown


@pytest.mark.parametrize("noise", ["normal", "long tail"])
def test_equal_medians_of_two_sweeps_show_no_difference(noise: str) -> None:
    sweeps = drawn(np.random.default_rng(4), 2, BLOCKS, noise)[:400].tolist()
    found = [medians.interval_of_difference(one, other) or (1, 1) for one, other in sweeps]
    assert np.mean([low <= 0 <= high for low, high in found]) >= 0.93


def test_medians_are_those_of_the_engine() -> None:
    values = drawn(np.random.default_rng(1), 4, BLOCKS, "normal") * np.array([1, 2, 3, 4])[:, None]
    found = np.median(values, axis=-1)
    assert np.abs(found.mean(axis=0) / [1, 2, 3, 4] - 1).max() < 0.001
    assert np.mean(np.abs(found / [1, 2, 3, 4] - 1) < 0.01) > 0.8  # noise of 3 %, of one sweep


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("blocks", [6, 10])
def test_a_drift_biases_no_comparison(noise: float, blocks: int) -> None:
    """The machine grows 20 % slower over the sweep; setups that are 1, 1, 1.1 and 2 times as slow."""
    plan = synthetic_plan({"threads": [1, 2, 4, 8]}, blocks=blocks)
    setups = list(plan.combinations)
    slower = np.array([1.0, 1.0, 1.1, 2.0])
    place = np.empty((len(setups), blocks))
    for block in range(blocks):
        for number, combination in enumerate(block_order(setups, plan.pace.seed, block)):
            place[setups.index(combination), block] = block * len(setups) + number
    drift = 1 + 0.2 * place / place.max()
    generator = np.random.default_rng(3)
    values = slower[:, None] * drift * (1 + noise * generator.normal(size=(SWEEPS, *place.shape)))
    for one in range(4):
        for other in range(one + 1, 4):
            found = np.exp(np.median(medians.ratios(values[:, one], values[:, other]), axis=-1))
            bias = found.mean() / (slower[other] / slower[one]) - 1
            assert abs(bias) < 0.01, (one, other, bias)
