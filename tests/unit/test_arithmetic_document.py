"""docs/arithmetic.md is complete: what tests/support/contract.py computes from it has the engine's bits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import contract
import contract_decoders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.spec import ModelSpec
from models.tiny import (
    MIXED_TYPES,
    TINY_GEMMA2,
    TINY_GEMMA3,
    TINY_GRANITE,
    TINY_LLAMA,
    TINY_OLMO,
    TINY_OLMO2,
    TINY_OLMOE,
    TINY_PHI3,
    TINY_QWEN2,
    TINY_QWEN2MOE,
    TINY_QWEN3,
    TINY_QWEN3MOE,
    TINY_SMOLLM3,
    write_tiny,
)

from q4engine.engine import Engine
from q4engine.gguf import TensorType

WIDE = {"dim": 256, "head_dim": 16, "n_heads": 4, "n_kv_heads": 2, "n_ffn": 288, "n_ctx_train": 1024}
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 128}
MODELS: dict[str, tuple[ModelSpec, int]] = {
    "llama, all types, two spans": (TINY_LLAMA.with_changes(**WIDE, types=MIXED_TYPES, n_layers=1), 530),
    "llama, rope_freqs, two blocks": (TINY_LLAMA.with_changes(rope_freqs=True), 70),
    "qwen2, all types, tied": (TINY_QWEN2.with_changes(**WIDE, types=MIXED_TYPES, tied_output=True), 12),
    "qwen2, odd sizes": (TINY_QWEN2.with_changes(n_ffn=100, fallback_type=TensorType.F32, vocab_size=333), 9),
    "llama, Q4_1 embedding": (TINY_LLAMA.with_changes(weight_type=TensorType.Q4_1), 5),
    "llama, Q5_0": (TINY_LLAMA.with_changes(weight_type=TensorType.Q5_0), 9),
    "qwen2, Q5_1": (TINY_QWEN2.with_changes(weight_type=TensorType.Q5_1), 9),
    "llama, IQ4_NL": (TINY_LLAMA.with_changes(weight_type=TensorType.IQ4_NL), 9),
    "llama, Q6_K embedding": (TINY_LLAMA.with_changes(**WIDE, weight_type=TensorType.Q6_K), 5),
    "llama, Q4_K, then Q5_K": (
        TINY_LLAMA.with_changes(**WIDE, weight_type=TensorType.Q4_K, types={"attn_v": TensorType.Q5_K}),
        9,
    ),
    "qwen2, Q5_K embedding": (TINY_QWEN2.with_changes(**WIDE, weight_type=TensorType.Q5_K), 5),
    "llama, Q2_K, then Q3_K": (
        TINY_LLAMA.with_changes(**WIDE, weight_type=TensorType.Q2_K, types={"attn_v": TensorType.Q3_K}),
        9,
    ),
    "qwen2, Q3_K embedding": (TINY_QWEN2.with_changes(**WIDE, weight_type=TensorType.Q3_K), 5),
    "llama, IQ4_XS": (TINY_LLAMA.with_changes(**WIDE, weight_type=TensorType.IQ4_XS), 9),
    "qwen3": (TINY_QWEN3, 9),
    "gemma2, windows of 24": (TINY_GEMMA2, 100),
    "gemma3, windows of 530, two spans": (
        TINY_GEMMA3.with_changes(n_layers=1, n_ctx_train=600, keys={"attention.sliding_window": 530}), 560,
    ),
    "phi3, long factors, windows of 40": (TINY_PHI3, 50),
    "phi3, short factors": (TINY_PHI3.with_changes(n_ctx_train=64), 9),
    "smollm3": (TINY_SMOLLM3, 9),
    "granite": (TINY_GRANITE, 9),
    "olmo": (TINY_OLMO, 9),
    "olmo2": (TINY_OLMO2, 9),
    "olmo3, yarn behind windows": (TINY_OLMO2.with_changes(keys=YARN | {"attention.sliding_window": 24}), 30),
    "llama, yarn, biases, windows of 7": (
        TINY_LLAMA.with_changes(
            keys=YARN | {"attention.sliding_window": 7}, qkv_bias=True, other_biases=True, rope_freqs=True
        ), 9,
    ),
    "qwen2moe": (TINY_QWEN2MOE, 9),
    "qwen2moe, 19 experts, many chosen": (TINY_QWEN2MOE.with_changes(n_experts=19, n_used=18, n_layers=1), 5),
    "qwen3moe, Q4_K": (
        TINY_QWEN3MOE.with_changes(dim=256, n_expert_ffn=256, weight_type=TensorType.Q4_K, n_layers=1), 9,
    ),
    "qwen3moe, 40 experts, 17 chosen": (TINY_QWEN3MOE.with_changes(n_experts=40, n_used=17, n_layers=1), 9),
    "olmoe": (TINY_OLMOE, 9),
    "gemma3, windows of 24": (TINY_GEMMA3.with_changes(types=MIXED_TYPES, dim=256), 70),
}  # fmt: skip


WITH_INT8_CACHES: dict[str, tuple[ModelSpec, int]] = {
    "llama, heads of 96, two spans": (
        TINY_LLAMA.with_changes(n_heads=2, n_kv_heads=1, head_dim=96, n_layers=1, n_ctx_train=600), 530,
    ),
    "qwen2, heads of 32": (TINY_QWEN2.with_changes(head_dim=32, n_layers=2), 70),
    "gemma3, heads of 64, windows of 24": (TINY_GEMMA3.with_changes(head_dim=64, n_layers=2), 90),
}  # fmt: skip


def of_the_page(engine: Engine, tokens: list[int]) -> np.ndarray:
    return contract_decoders.forward(engine.gguf, engine.config, tokens, engine.session().n_ctx, engine.kv_form)


@pytest.mark.parametrize("name", MODELS)
def test_the_logits_have_the_same_bits(name: str, tmp_path: Path) -> None:
    spec, n_tokens = MODELS[name]
    engine = Engine.load(write_tiny(tmp_path / "synthetic-tiny.gguf", spec), n_threads=2)
    tokens = np.random.default_rng(7).integers(0, spec.vocab_size, n_tokens).tolist()
    ours = engine.session(n_batch=100).decode(tokens, all_logits=True)
    theirs = of_the_page(engine, tokens)
    assert theirs.dtype == np.float32 and np.isfinite(theirs).all()
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("name", WITH_INT8_CACHES)
def test_int8_caches_have_the_same_bits(name: str, tmp_path: Path) -> None:
    spec, n_tokens = WITH_INT8_CACHES[name]
    path = write_tiny(tmp_path / "synthetic-tiny.gguf", spec)
    tokens = np.random.default_rng(8).integers(0, spec.vocab_size, n_tokens).tolist()
    engine = Engine.load(path, n_threads=2, kv_form="q8_0")
    ours = engine.session(n_batch=100).decode(tokens, all_logits=True)
    assert ours.tobytes() == of_the_page(engine, tokens).tobytes()
    assert ours.tobytes() != Engine.load(path, n_threads=2).session().decode(tokens, all_logits=True).tobytes()


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(floats, floats, floats)
def test_the_fma_it_is_made_of_rounds_once(a: float, b: float, c: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        result = float(contract.fma(np.float32(a), np.float32(b), np.float32(c)))
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        if abs(exact) >= 2**128 - 2**103:
            assert np.isinf(result)
            return
        other = [float(np.nextafter(np.float32(result), np.float32(side))) for side in (-np.inf, np.inf)]
    distance = abs(Fraction(result) - exact)
    closer = [x for x in other if np.isfinite(x) and abs(Fraction(x) - exact) <= distance]
    even = int(np.float32(result).view(np.uint32)) % 2 == 0
    assert not closer or (even and all(abs(Fraction(x) - exact) == distance for x in closer))


def fold_by_halves(s: np.ndarray) -> np.ndarray:
    """Another tree than the page's."""
    while s.shape[-1] > 1:
        s = s[..., ::2] + s[..., 1::2]
    return s[..., 0]


def multiply_and_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return a * b + c


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("fold16", fold_by_halves),
        ("fma", multiply_and_add),
        ("half", lambda x: x),
        ("SPAN_BLOCKS", 2),
    ],
)
def test_another_arithmetic_shows(name: str, other: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TINY_LLAMA.with_changes(n_layers=1, weight_type=TensorType.F32)  # int8 would hide the last bits
    engine = Engine.load(write_tiny(tmp_path / "synthetic-tiny.gguf", spec), n_threads=2)
    tokens = np.random.default_rng(7).integers(0, spec.vocab_size, 210).tolist()
    ours = engine.session().decode(tokens, all_logits=True)
    assert of_the_page(engine, tokens).tobytes() == ours.tobytes()
    monkeypatch.setattr(contract, name, other)
    assert of_the_page(engine, tokens).tobytes() != ours.tobytes()
