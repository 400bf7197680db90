"""Sampling against a mirror in plain Python: the same algorithm in another language must choose the same ids."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import sampled
from hypothesis import example, given, settings
from hypothesis import strategies as st

from q4engine.errors import Q4Error
from q4engine.sampling import Sampler, SamplerSettings

FLT_MAX = float.fromhex("0x1.fffffep127")

# ---- fp32 by the book ------------------------------------------------------------------------------------------------


def f32(x: float) -> float:
    """A double to the nearest fp32. For one +, -, * or / of fp32 values in doubles the result is as if rounded once."""
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(math.inf, x)


def f32_exactly(x: Fraction) -> float:
    """A fraction in fp32's normal range, rounded once, ties to even."""
    if x == 0:
        return 0.0
    exponent = abs(x.numerator).bit_length() - x.denominator.bit_length()
    exponent -= abs(x) < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    return float(round(x / unit) * unit)  # round() of a Fraction takes ties to even


def fma(a: float, b: float, c: float) -> float:
    return f32_exactly(Fraction(a) * Fraction(b) + Fraction(c))


def exp_mirror(x: float) -> float:
    """docs/arithmetic.md: eˣ."""
    if x < -87.0:
        return 0.0
    n = float(round(f32(x * float.fromhex("0x1.715476p+0"))))
    r = fma(n, float.fromhex("-0x1.62e400p-1"), x)
    r = fma(n, float.fromhex("-0x1.7f7d1cp-20"), r)
    p = float.fromhex("0x1.a01a02p-13")
    for coefficient in (
        "0x1.6c16c2p-10",
        "0x1.111112p-7",
        "0x1.555556p-5",
        "0x1.555556p-3",
        "0x1p-1",
        "0x1p0",
        "0x1p0",
    ):
        p = fma(p, r, float.fromhex(coefficient))
    return f32(p * 2.0**n)


# ---- the sampler by the book -----------------------------------------------------------------------------------------

MASK = (1 << 64) - 1


class RandomMirror:
    """PCG32."""

    def __init__(self, seed: int) -> None:
        self.state = 0
        self.next()
        self.state = (self.state + seed) & MASK
        self.next()

    def next(self) -> int:
        old = self.state
        self.state = (old * 6364136223846793005 + 109) & MASK
        mixed = ((old >> 18) ^ old) >> 27 & 0xFFFFFFFF
        turn = old >> 59
        return (mixed >> turn | mixed << (-turn & 31)) & 0xFFFFFFFF

    def below(self, total: int) -> int:
        bits = (self.next() << 32 | self.next()) >> 11
        return min(int(bits * 2.0**-53 * float(total)), total - 1)


def weight(x: float) -> int:
    return int(exp_mirror(x) * 2.0**32)


class SamplerMirror:
    def __init__(self, how: SamplerSettings) -> None:
        assert how.seed is not None
        self.how, self.random = how, RandomMirror(how.seed)

    def penalised(self, logits: Sequence[float], history: Sequence[int]) -> list[float]:
        how, values = self.how, list(logits)
        last = history
        if how.repeat_last_n >= 0:
            last = history[max(0, len(history) - how.repeat_last_n) :]
        penalty = f32(how.repeat_penalty)
        for token in set(last):
            lower = f32(values[token] / penalty if values[token] > 0 else values[token] * penalty)
            values[token] = max(-FLT_MAX, min(lower, FLT_MAX))
        for token, often in Counter(last).items():
            for less in [*[f32(how.frequency_penalty)] * often, f32(how.presence_penalty)]:
                values[token] = max(-FLT_MAX, min(f32(values[token] - less), FLT_MAX))
        return values

    def sample(self, logits: Sequence[float], history: Sequence[int]) -> int:
        how = self.how
        values = self.penalised(logits, history)
        ranked = sorted(range(len(values)), key=lambda token: (-values[token], token))
        if how.temperature == 0:
            return ranked[0]
        distance = [f32(values[token] - values[ranked[0]]) for token in ranked]
        kept = min(how.top_k or len(ranked), len(ranked))
        weights = [weight(x) for x in distance]
        if how.top_p < 1:
            wanted = f32(how.top_p) * float(sum(weights[:kept]))
            sums = enumerate(accumulate(weights[:kept]), 1)
            kept = next((count for count, total in sums if float(total) >= wanted), kept)
        if how.min_p > 0:
            kept = next((i for i in range(1, kept) if weights[i] < f32(how.min_p) * 2.0**32), kept)
        final = [weight(f32(x / f32(how.temperature))) for x in distance[:kept]]
        target = self.random.below(sum(final))
        return next(token for token, total in zip(ranked, accumulate(final), strict=False) if total > target)


# ---- tests -----------------------------------------------------------------------------------------------------------

logit = st.one_of(st.floats(-30, 30, width=32), st.sampled_from([0.0, -0.0, 1.0, -1.0, 3.4e38, -3.4e38, 1e-40, 88.0]))
how = st.builds(
    SamplerSettings,
    temperature=st.sampled_from([0.0, 0.1, 0.8, 1.0, 1.5, 100.0, 1e-6]),
    top_k=st.sampled_from([0, 1, 2, 5, 40, 1000]),
    top_p=st.sampled_from([0.0, 0.3, 0.9, 0.95, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    repeat_penalty=st.sampled_from([1.0, 1.1, 1.5, 0.9]),
    frequency_penalty=st.sampled_from([0.0, 0.0, 0.3, -1.5, 1e6]),
    presence_penalty=st.sampled_from([0.0, 0.0, 0.7, -2.0]),
    repeat_last_n=st.sampled_from([-1, 0, 1, 4, 64]),
    seed=st.integers(0, MASK),
)


@example(replace(SamplerSettings(temperature=0.0, seed=0), repeat_penalty=0.9, repeat_last_n=4), [1.0, 1.0], [0, 0, 1])
@settings(max_examples=100, deadline=None)
@given(how, st.lists(logit, min_size=1, max_size=40), st.lists(st.integers(0, 39), max_size=8))
def test_the_mirror_chooses_the_same(how: SamplerSettings, logits: list[float], history: list[int]) -> None:
    array = np.array(logits, np.float32)
    history = [token % len(logits) for token in history]
    ours, mirror = Sampler(how), SamplerMirror(how)
    for _ in range(4):
        token = ours.sample(array, history)
        assert token == mirror.sample(array.tolist(), history)
        history = [*history, token]
    assert np.array_equal(array, np.array(logits, np.float32))  # the caller's logits are left alone


def test_the_mirror_on_a_large_vocabulary() -> None:
    logits = np.random.default_rng(7).normal(0, 3, 800).astype(np.float32)
    values = logits.tolist()
    for how in (
        SamplerSettings(seed=1),
        SamplerSettings(seed=2, top_k=0),
        SamplerSettings(seed=3, top_k=0, top_p=1.0, min_p=0.0, temperature=2.0),
        SamplerSettings(seed=4, top_k=799, top_p=0.999),
    ):
        ours, mirror = Sampler(how), SamplerMirror(how)
        assert [ours.sample(logits, []) for _ in range(2)] == [mirror.sample(values, []) for _ in range(2)], how


def test_known_random_numbers() -> None:
    """The generator's published demo: seed 42 on stream 54 (pcg32-demo's first round)."""
    random = RandomMirror(42)
    assert [random.next() for _ in range(3)] == [0xA15C02B7, 0x7B47F409, 0xBA1D3330]


def test_the_same_seed_gives_the_same_tokens() -> None:
    logits = np.zeros(500, np.float32)

    def tokens(seed: int) -> list[int]:
        sampler = Sampler(SamplerSettings(seed=seed, top_k=0, top_p=1.0, min_p=0.0))
        return [sampler.sample(logits) for _ in range(20)]

    assert tokens(11) == tokens(11) != tokens(12)
    assert tokens(1 << 32) != tokens(0)  # all 64 bits count


def test_a_seed_is_drawn_and_kept() -> None:
    first, second = Sampler(SamplerSettings()), Sampler(SamplerSettings())
    assert first.seed != second.seed
    again = Sampler(SamplerSettings(seed=first.seed))
    logits = np.zeros(100, np.float32)
    assert [first.sample(logits) for _ in range(9)] == [again.sample(logits) for _ in range(9)]


def test_greedy_takes_the_lower_of_equal_ids() -> None:
    sampler = Sampler(SamplerSettings(temperature=0.0, seed=0))
    assert sampler.sample(np.array([0.0, 2.0, 1.0, 2.0], np.float32)) == 1
    assert sampler.sample(np.array([-0.0, 0.0], np.float32)) == 0


def test_frequencies_follow_the_probabilities() -> None:
    sampler = Sampler(SamplerSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=5))
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float64)).astype(np.float32)
    counts = Counter(sampler.sample(logits) for _ in range(20000))
    for token, share in enumerate([0.5, 0.3, 0.15, 0.05]):
        assert abs(counts[token] / 20000 - share) < 0.015


ALL = SamplerSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=9)


@pytest.mark.parametrize(
    ("how", "possible"),
    [
        (replace(ALL, top_k=2), {0, 1}),
        (replace(ALL, top_p=0.79), {0, 1}),
        (replace(ALL, top_p=0.49), {0}),
        (replace(ALL, top_p=0.0), {0}),
        (replace(ALL, min_p=0.25), {0, 1, 2}),
        (replace(ALL, min_p=1.0), {0}),
        (replace(ALL, temperature=1e-6), {0}),
        (replace(ALL, top_k=2, top_p=0.6), {0}),  # 0.5 of the 0.8 that top-k leaves is more than 0.6
        (ALL, {0, 1, 2, 3}),
    ],
)
def test_filters(how: SamplerSettings, possible: set[int]) -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float64)).astype(np.float32)
    sampler = Sampler(how)
    assert {sampler.sample(logits) for _ in range(2000)} == possible


def test_repetition_penalty() -> None:
    logits = np.array([2.0, 1.9, -1.0, -1.1], np.float32)

    def greedy(history: list[int], last_n: int, penalty: float = 1.5) -> int:
        how = SamplerSettings(temperature=0.0, repeat_penalty=penalty, repeat_last_n=last_n, seed=0)
        return Sampler(how).sample(logits, history)

    assert greedy([0], 64) == 1
    assert greedy([0, 0, 0, 1], 64) == 0  # once per token: 2.0 and 1.9 shrink alike
    assert greedy([0, 1], 1) == 0
    assert greedy([0, 3], 1) == 0
    assert greedy([0, 3], -1) == 1
    assert greedy([0], 0) == 0
    assert greedy([1], 64, 0.5) == 1  # below 1 it rewards
    below_zero = np.array([-1.0, -1.1], np.float32)
    how = SamplerSettings(temperature=0.0, repeat_penalty=1.5, seed=0)
    assert Sampler(how).sample(below_zero, [0]) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_logits_that_are_not_finite(bad: float, temperature: float) -> None:
    logits = np.zeros(9, np.float32)
    logits[7] = bad
    with pytest.raises(
        Q4Error, match=r"the logit of token 7 at position 2 is (NaN|inf|-inf), expected a finite number"
    ):
        Sampler(SamplerSettings(temperature=temperature, seed=0)).sample(logits, [1, 2, 3])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 1.1),
        ("top_p", -0.1),
        ("min_p", 2),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", float("inf")),
        ("frequency_penalty", float("nan")),
        ("presence_penalty", 1e7),
        ("repeat_last_n", -2),
        ("seed", -1),
        ("seed", 1 << 64),
    ],
)
def test_settings_out_of_range(field: str, value: float) -> None:
    with pytest.raises(Q4Error, match=rf"^{field} is .*, expected "):
        SamplerSettings(**{field: value})


def test_the_same_tokens_as_on_every_machine(tmp_path: Path) -> None:
    assert sampled.sampled_ids_sha256() == sampled.EXPECTED_IDS
    assert sampled.generated_tokens(tmp_path) == sampled.EXPECTED_TOKENS


def test_biases_come_first() -> None:
    logits = np.array([3.0, 2.0, -1.0, 2.5], np.float32)

    def token(**settings: object) -> int:
        return Sampler(SamplerSettings(temperature=0.0, seed=0, **settings)).sample(logits, [2])

    assert token() == 0
    assert token(logit_bias={0: -math.inf}) == 3
    assert token(logit_bias={0: -math.inf, 3: -0.75}) == 1
    assert token(logit_bias={2: 4.5}) == 2
    assert token(logit_bias={2: 4.5}, repeat_penalty=2.0) == 0  # 3.5 / 2
    assert token(logit_bias={2: 4.5}, presence_penalty=0.75) == 0
    assert logits.tolist() == [3.0, 2.0, -1.0, 2.5]
    with pytest.raises(Q4Error, match="there is no token 4 to bias, the vocabulary has 4"):
        token(logit_bias={4: 1.0})
    with pytest.raises(Q4Error, match="the bias of token 1 is nan, expected -1e\\+06 to 1e\\+06 or -inf"):
        token(logit_bias={1: math.nan})
    everything = dict.fromkeys(range(4), -math.inf)
    assert Sampler(SamplerSettings(seed=1, logit_bias=everything)).sample(logits) in range(4)
    with pytest.raises(Q4Error, match="the logit of token 1 at position 0 is NaN"):
        Sampler(SamplerSettings(logit_bias={1: 1.0})).sample(np.array([0.0, math.nan], np.float32), [0])


def test_history_outside_the_vocabulary() -> None:
    sampler = Sampler(SamplerSettings(repeat_penalty=1.1, seed=0))
    with pytest.raises(ValueError, match="recent token 9 is not among the 4 logits"):
        sampler.sample(np.zeros(4, np.float32), [9])


def test_arguments_of_the_native_function() -> None:
    from q4engine import _native

    four = np.zeros(4, np.float32)
    none = np.zeros(0, np.int32)
    for arguments, message in (
        ((np.zeros(0, np.float32), none, 1.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0), "there are 0 logits"),
        ((b"12345", none, 1.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0), "logits has 5 bytes"),
        ((four, b"123", 1.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0), "recent has 3 bytes"),
        ((four, none, -1.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0), "out of range"),
        ((four, none, 1.0, 0, 1.0, float("nan"), 1.0, 0.0, 0.0, 0), "out of range"),
        ((four, none, 1.0, 0, 1.0, 0.0, 1.0, float("inf"), 0.0, 0), "out of range"),
        ((four, none, 1.0, 0, 1.0, 0.0, 1.0, 0.0, float("nan"), 0), "out of range"),
        ((four, np.array([-1], np.int32), 1.0, 0, 1.0, 0.0, 1.1, 0.0, 0.0, 0), "recent token -1"),
    ):
        with pytest.raises(ValueError, match=message):
            _native.sample(*arguments)
