"""Samplers of the chain against values worked out by hand; llama.cpp's definitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sampled

from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.sampling import Sampler, repetition
from q4engine.sampling import chain as sampler_chain
from q4engine.sampling.chain import Candidates, Chain, Random
from q4engine.sampling.settings import SAMPLERS, SamplerSettings

SHARES = [0.5, 0.3, 0.15, 0.05]  # entropy 1.1421 nats; surprises 0.6931, 1.2040, 1.8971, 2.9957
LOGITS = np.log(np.array(SHARES)).astype(np.float32)
ALL = SamplerSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=9)


def left_of(shares: list[float]) -> Candidates:
    return Candidates(np.arange(len(shares)), np.log(np.array(shares)))


@pytest.mark.parametrize(
    ("how", "possible"),
    [
        (replace(ALL, typical_p=0.2), {1}),  # nearest to the entropy: 0.3, then 0.5, then 0.15
        (replace(ALL, typical_p=0.5), {0, 1}),
        (replace(ALL, typical_p=0.85), {0, 1, 2}),
        (replace(ALL, typical_p=0.2, temperature=0.0), {1}),  # the likeliest is gone before the temperature comes
        (replace(ALL, xtc_probability=1.0, xtc_threshold=0.1), {2, 3}),
        (replace(ALL, xtc_probability=1.0, xtc_threshold=0.2), {1, 2, 3}),
        (replace(ALL, xtc_probability=1.0, xtc_threshold=0.4), {0, 1, 2, 3}),
        (replace(ALL, xtc_probability=1.0, xtc_threshold=0.1, temperature=0.0), {2}),
        (replace(ALL, xtc_probability=1.0, xtc_threshold=0.1, top_p=0.75), {1}),
        (replace(ALL, samplers=("xtc", "top_p"), xtc_probability=1.0, xtc_threshold=0.1, top_p=0.75), {2}),
        (replace(ALL, top_n_sigma=1.0), {0, 1}),  # mean −1.70, deviation 0.85
        (replace(ALL, top_n_sigma=3.0), {0, 1, 2, 3}),
        (replace(ALL, samplers=("temperature", "top_p"), temperature=0.5, top_p=0.65), {0}),  # 0.68 of the probability
        (replace(ALL, samplers=("top_p", "temperature"), temperature=0.5, top_p=0.65), {0, 1}),
        (replace(ALL, samplers=("min_p", "top_k"), top_k=3, min_p=0.2), {0, 1, 2}),
        (replace(ALL, samplers=("top_p",), top_k=1, top_p=0.79), {0, 1}),
        (replace(ALL, samplers=()), {0, 1, 2, 3}),
    ],
)
def test_what_is_left(how: SamplerSettings, possible: set[int]) -> None:
    sampler = Sampler(how)
    assert {sampler.sample(LOGITS) for _ in range(400)} == possible


def test_shares_are_kept_by_what_is_left() -> None:
    sampler = Sampler(replace(ALL, xtc_probability=0.5, xtc_threshold=0.2))
    counts = Counter(sampler.sample(LOGITS) for _ in range(20000))
    for token, (before, after) in enumerate(zip(SHARES, [0.0, 0.6, 0.3, 0.1], strict=True)):
        assert abs(counts[token] / 20000 - (before + after) / 2) < 0.015


def test_the_chain_chooses_what_the_native_sampler_does() -> None:
    numbers = np.random.default_rng(3)
    for how in (
        SamplerSettings(seed=1),
        SamplerSettings(seed=2, top_k=0, top_p=1.0, min_p=0.0, temperature=1.7),
        SamplerSettings(seed=3, top_k=0, top_p=0.9, min_p=0.01, temperature=1.0, repeat_penalty=1.3),
        SamplerSettings(seed=4, top_k=5, frequency_penalty=0.5, presence_penalty=-1.0, repeat_last_n=-1),
        SamplerSettings(seed=5, temperature=0.0, repeat_penalty=1.7),
    ):
        assert how.is_native and how.seed is not None
        native, chain, history = Sampler(how), Chain(how, {}), [0]
        random = Random(native._random.state)
        for _ in range(40):
            logits = numbers.normal(0, 3, 400).astype(np.float32)
            token = native.sample(logits, history)
            assert token == chain.sample(logits, history, random)
            assert random.state == native._random.state or how.temperature == 0
            history.append(token)


def test_the_generator_is_the_native_one() -> None:
    from q4engine import _native

    random = Random(_native.random_state(42))
    assert [random.next() for _ in range(3)] == [0xA15C02B7, 0x7B47F409, 0xBA1D3330]


def test_which_settings_are_native() -> None:
    assert SamplerSettings().is_native and replace(ALL, samplers=("top_k", "temperature")).is_native
    assert SamplerSettings(samplers=("top_k", "xtc", "dry", "temperature")).is_native  # those are off
    assert not SamplerSettings(samplers=("temperature", "top_k")).is_native
    assert not SamplerSettings(samplers=("top_k", "top_k")).is_native
    assert not SamplerSettings(typical_p=0.9).is_native and not SamplerSettings(dynatemp_range=0.1).is_native
    assert not SamplerSettings(mirostat=1).is_native
    penalised = SamplerSettings(repeat_penalty=2.0, temperature=0.0, samplers=("top_k",))
    assert penalised.native_values == (1.0, 40, 1.0, 0.0, 1.0, 0.0, 0.0) and penalised.recent([1, 2]) == ()


@pytest.mark.parametrize(("exponent", "temperature"), [(1.0, 0.9943), (2.0, 0.9073), (0.0, 1.1)])
def test_the_temperature_follows_the_entropy(exponent: float, temperature: float) -> None:
    left = left_of(SHARES)  # 1.1421 of at most ln 4: a share of 0.8239
    sampler_chain._temperature(left, replace(ALL, temperature=0.8, dynatemp_range=0.3, dynatemp_exponent=exponent))
    assert left.logits.tolist() == pytest.approx((np.log(SHARES) / temperature).tolist(), rel=1e-4)


def test_a_temperature_of_certain_tokens() -> None:
    certain = Candidates(np.arange(3), np.array([0.0, -50.0, -60.0]))
    sampler_chain._temperature(certain, replace(ALL, temperature=0.5, dynatemp_range=0.5))
    assert certain.ids.tolist() == [0]  # a temperature of 0
    alone = Candidates(np.array([5]), np.array([2.0]))
    sampler_chain._temperature(alone, replace(ALL, temperature=0.5, dynatemp_range=0.5))
    assert (alone.ids.tolist(), alone.logits.tolist()) == ([5], [2.0])


def test_mirostat_2_keeps_what_surprises_less_than_mu_and_learns() -> None:
    how = replace(ALL, mirostat=2, mirostat_tau=1.0, mirostat_eta=0.5)  # mu is 2 bits: 0.5 and 0.3 surprise less
    chain, random = Chain(how, {}), Random(1)
    learnt = {0: 2.0 - 0.5 * (math.log2(8 / 5) - 1.0), 1: 2.0 - 0.5 * (math.log2(8 / 3) - 1.0)}
    seen = set()
    for _ in range(50):
        chain.begin()
        token = chain.sample(LOGITS, (), random)
        assert chain.mu == pytest.approx(learnt[token], rel=1e-6)
        seen.add(token)
    assert seen == {0, 1}
    chain.mu = -3.0
    assert chain.sample(LOGITS, (), random) == 0  # one always stays


@pytest.mark.parametrize(
    ("power", "mu", "k"),
    [
        (1.0, 2.0, 2),  # 2² / ln 4 = 2.885
        (1.0, 2.5, 4),
        (2.0, 3.0, 3),  # √(2³ / (1 − 1/4)) = 3.266
        (2.0, 2.0, 2),  # 2.309
        (2.0, -9.0, 1),
        (0.5, 1.8, 3),  # (−0.5 · 2^1.8 / (1 − 4^0.5))² = 3.03
    ],
)
def test_mirostat_1_estimates_how_many_to_keep(power: float, mu: float, k: int) -> None:
    weights = np.arange(1, 5) ** -power
    surprises = -np.log(weights / weights.sum())
    assert sampler_chain._mirostat_k(surprises, mu, 4) == k


def test_mirostat_1_where_nothing_can_be_estimated() -> None:
    assert sampler_chain._mirostat_k(np.array([0.0, np.inf]), 10.0, 9) == 1
    assert sampler_chain._mirostat_k(np.full(4, math.log(4)), 10.0, 4) == 1
    chain = Chain(replace(ALL, mirostat=1, mirostat_tau=3.0), {})
    assert {chain.sample(LOGITS, (), Random(seed)) for seed in range(40)} <= {0, 1, 2, 3}


def test_mirostat_has_the_temperature_alone() -> None:
    how = replace(ALL, mirostat=2, mirostat_tau=9.0, top_k=1, min_p=0.9, repeat_penalty=9.0)
    assert how.active == () and replace(how, temperature=0.5).active == ("temperature",)
    sampler = Sampler(how)
    assert {sampler.sample(LOGITS, [0]) for _ in range(200)} == {0, 1, 2, 3}
    assert Sampler(replace(how, temperature=0.0)).sample(LOGITS, [0]) == 0


A, B, C, Y, Q = range(5)
TEXT = [A, B, C, C, B, C, Y, A, B, C]  # the example of llama.cpp's comments


def test_what_repeats() -> None:
    assert repetition.repeated(TEXT, 1, 99) == {C: 3, B: 1, Y: 2}
    assert repetition.repeated(TEXT, 2, 99) == {C: 3, Y: 2}
    assert repetition.repeated(TEXT, 1, 2) == {C: 2, B: 1, Y: 2}
    assert repetition.repeated([A] * 5, 1, 99) == {A: 4}
    assert repetition.repeated([A, B], 0, 99) == {B: 0} and repetition.repeated([], 1, 9) == {}


def test_penalties_grow_with_what_repeats() -> None:
    def penalties(allowed: int, breakers: repetition.Breakers, text: list[int] = TEXT) -> dict[int, float]:
        return {t: round(p, 6) for t, p in repetition.penalties(text, 0.8, 1.75, allowed, breakers).items()}

    assert penalties(1, {}) == {C: 2.45, B: 0.8, Y: 1.4}
    assert penalties(2, {}) == {C: 1.4, Y: 0.8}
    assert penalties(3, {}) == {C: 0.8} and penalties(10, {}) == {}
    assert penalties(1, {Y: {()}}) == {C: 2.45, B: 0.8}  # a breaker itself is never penalised
    assert penalties(2, {B: {()}}) == {}  # one token stands behind it
    assert penalties(1, {A: {(B,)}}) == {C: 0.8, B: 0.8, Y: 0.8}  # behind "a b"
    assert penalties(1, {A: {(Q,)}, B: {(C, Q)}}) == penalties(1, {})
    longest = repetition.penalties([A] * 9000, 0.5, 2.0, 2, {})[A]
    assert longest == 0.5 * 2.0**127  # ⌊88.72 / ln 2⌋: what fp32 holds
    assert repetition.penalties([A] * 50, 0.5, 1.0, 2, {}) == {A: 0.5}


def test_dry_in_the_chain() -> None:
    how = replace(ALL, temperature=0.0, dry_multiplier=0.8, dry_sequence_breakers=())
    logits = np.array([1.0, 0.0, 2.0, 0.5, -1.0], np.float32)
    assert Sampler(how).sample(logits, TEXT) == A  # 2.0 − 1.4 for C
    assert Sampler(replace(how, dry_multiplier=0.5)).sample(logits, TEXT) == C
    assert Sampler(replace(how, dry_penalty_last_n=5)).sample(logits, TEXT) == C
    assert Sampler(replace(how, dry_multiplier=0.5, dry_penalty_last_n=-1, dry_base=3.0)).sample(logits, TEXT) == A
    with pytest.raises(Q4Error, match="the sampler needs the tokenizer, or dry_sequence_breakers"):
        Sampler(SamplerSettings(dry_multiplier=1.0))


def test_breakers_of_a_vocabulary() -> None:
    class Words:
        words = (b"a", b"b\n", b"\n", b"xy", b"yx", b"z")

        def __len__(self) -> int:
            return len(self.words)

        def token_bytes(self, token: int) -> bytes:
            return self.words[token]

        def encode(self, text: str, **_: object) -> list[int]:
            return [100 + ord(char) for char in text]

    words: Any = Words()
    assert repetition.breakers_of(["\n"], words) == {1: {()}, 2: {()}}
    assert repetition.breakers_of(["yxz"], words) == {3: {(220, 222)}, 4: {(222,)}}
    assert repetition.breakers_of(["x", "yz"], words) == {3: {(), (222,)}, 4: {()}}


def test_a_tokenizer_tells_breakers(tiny: Path) -> None:
    with Engine.load(tiny, n_threads=1) as engine:
        how = SamplerSettings(temperature=0.0, dry_multiplier=5.0, dry_sequence_breakers=("b",), seed=1)
        history = engine.tokenizer.encode("xyb", add_bos=False) * 3
        logits = np.zeros(engine.config.vocab_size, np.float32)
        following = engine.tokenizer.encode("x", add_bos=False)[0]
        logits[following] = 1.0
        assert Sampler(how, engine.tokenizer).sample(logits, history) == following
        assert Sampler(replace(how, dry_sequence_breakers=())).sample(logits, history) != following


def test_another_text_begins_anew() -> None:
    sampler = Sampler(replace(ALL, mirostat=2))
    chain = sampler._chain
    assert chain is not None and chain.mu == 10.0
    sampler.sample(LOGITS)
    assert chain.mu != 10.0
    twin = sampler.fork()
    assert [twin.sample(LOGITS) for _ in range(20)] == [sampler.sample(LOGITS) for _ in range(20)]
    state = sampler._random.state
    sampler.begin()
    assert chain.mu == 10.0 and sampler._random.state == state


@pytest.mark.parametrize(
    ("field", "value"),
    [("typical_p", 1.1), ("xtc_threshold", -0.1), ("dry_base", 0.5), ("mirostat", 3), ("mirostat_tau", math.nan)],
)
def test_settings_out_of_range(field: str, value: float) -> None:
    with pytest.raises(Q4Error, match=rf"^{field} is .*, expected "):
        SamplerSettings(**{field: value})


def test_a_sampler_that_is_none() -> None:
    with pytest.raises(Q4Error, match="there is no sampler 'topk', expected penalties, dry, top_n_sigma, "):
        SamplerSettings(samplers=("topk",))
    assert len(set(SAMPLERS.values())) == len(SAMPLERS)


def test_excluded_and_infinite_logits() -> None:
    how = replace(ALL, typical_p=0.999, logit_bias={0: -math.inf, 1: -math.inf})
    sampler = Sampler(how)
    assert {sampler.sample(LOGITS) for _ in range(100)} == {2, 3}
    assert Sampler(replace(how, logit_bias=dict.fromkeys(range(4), -math.inf))).sample(LOGITS) in range(4)
    with pytest.raises(Q4Error, match="the logit of token 1 at position 0 is NaN"):
        sampler.sample(np.array([0.0, math.nan], np.float32), [7])


def test_the_same_tokens_as_on_every_machine() -> None:
    assert sampled.chain_sha256() == sampled.EXPECTED_CHAIN
