"""The NumPy reference against a second, deliberately different formulation of the same mathematics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models.spec import ModelSpec
from models.tiny import (
    MIXED_TYPES,
    TINY_GEMMA2,
    TINY_GEMMA3,
    TINY_LLAMA,
    TINY_OLMOE,
    TINY_QWEN2,
    TINY_QWEN2MOE,
    TINY_QWEN3,
    TINY_QWEN3MOE,
    write_tiny,
)

from q4engine.errors import ContextFullError, Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize_tensor
from q4engine.models import read_model
from q4engine.models.gemma3 import Gemma3
from q4engine.models.graph import Activation, RopeStyle
from q4engine.reference import ReferenceModel
from q4engine.reference.decoder import Decoder
from q4engine.reference.weights import Weights

TOKENS = [256, 3, 77, 77, 12, 319, 0, 45, 200, 131, 9]

SPECS = {
    "llama": TINY_LLAMA,
    "llama one KV head": TINY_LLAMA.with_changes(n_kv_heads=1),
    "llama rope_freqs tied": TINY_LLAMA.with_changes(rope_freqs=True, tied_output=True),
    "llama mixed types": TINY_LLAMA.with_changes(dim=256, types=MIXED_TYPES, n_ffn=172),
    "llama wide heads": TINY_LLAMA.with_changes(n_heads=3, n_kv_heads=3, head_dim=32),
    "llama biases window": TINY_LLAMA.with_changes(
        qkv_bias=True, other_biases=True, keys={"attention.sliding_window": 3}
    ),
    "qwen2": TINY_QWEN2,
    "qwen2 no groups tied": TINY_QWEN2.with_changes(n_kv_heads=4, tied_output=True, weight_type=TensorType.F32),
    "qwen3": TINY_QWEN3,
    "gemma2": TINY_GEMMA2.with_changes(keys=TINY_GEMMA2.keys | {"attention.sliding_window": 5}),
    "gemma3": TINY_GEMMA3.with_changes(keys={"attention.sliding_window": 4}),
    "qwen2moe": TINY_QWEN2MOE,
    "qwen2moe, one expert": TINY_QWEN2MOE.with_changes(n_used=1, weight_type=TensorType.F32),
    "qwen3moe": TINY_QWEN3MOE,
    "olmoe, all experts": TINY_OLMOE.with_changes(n_used=5),
    "qwen2 rope_freqs": TINY_QWEN2.with_changes(rope_freqs=True, weight_type=TensorType.BF16),
}


def reference(file: GGUFFile) -> ReferenceModel:
    return ReferenceModel(read_model(file)[1])


def naive_logits(file: GGUFFile, tokens: list[int]) -> np.ndarray:
    """float64, no cache, whole sequence at once; RoPE as multiplication of complex numbers, heads by einsum."""
    c, _ = read_model(file)
    w = {name: dequantize_tensor(info).astype(np.float64) for name, info in file.tensors.items()}
    n, group = len(tokens), c.n_heads // c.n_kv_heads
    pair = np.arange(c.rope_dim // 2)
    behind = np.subtract.outer(np.arange(n), np.arange(n))

    def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x * weight * (np.mean(x * x, axis=1, keepdims=True) + c.rms_eps) ** -0.5

    def heads_normed(x: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
        return x if weight is None else norm(x.reshape(-1, len(weight)), weight).reshape(x.shape)

    def capped(x: np.ndarray, cap: float) -> np.ndarray:
        return cap * np.tanh(x / cap) if cap else x

    def gated(gate: np.ndarray) -> np.ndarray:
        if c.activation is Activation.SILU:
            return gate / (1 + np.exp(-gate))
        return gate / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (gate + 0.044715 * gate**3)))

    def network(h: np.ndarray, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
        return (gated(h @ gate.T) * (h @ up.T)) @ down.T

    def mixture(h: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
        """All experts for all tokens, those that were not chosen with a weight of 0."""
        parts = ("gate", "up", "down")
        scores = h @ t["ffn_gate_inp.weight"].T
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        shares *= scores >= np.sort(scores, axis=1)[:, [-c.n_used]]
        shares /= shares.sum(axis=1, keepdims=True) if c.normalised else 1
        each = (network(h, *(t[f"ffn_{part}_exps.weight"][expert] for part in parts)) for expert in range(c.n_experts))
        y = sum(share[:, None] * made for share, made in zip(shares.T, each, strict=True))
        if c.n_shared_ffn:
            gate = 1 + np.exp(-h @ t["ffn_gate_inp_shexp.weight"])
            y += network(h, *(t[f"ffn_{part}_shexp.weight"] for part in parts)) / gate[:, None]
        return np.asarray(y)

    def turns(base: float) -> np.ndarray:
        theta = base ** (-2.0 * pair / c.rope_dim) / w.get("rope_freqs.weight", np.ones(len(pair)))
        return np.exp(1j * np.outer(np.arange(n), theta))[:, None, :]

    def rotate(x: np.ndarray, turn: np.ndarray) -> np.ndarray:
        if c.rope_style is RopeStyle.NORM:
            turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
            return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
        half = c.rope_dim // 2
        turned = (x[..., :half] + 1j * x[..., half:]) * turn
        return np.concatenate([turned.real, turned.imag], axis=-1)

    x = w["token_embd.weight"][tokens] * c.embedding_scale
    for layer in range(c.n_layers):
        t = {name.split(".", 2)[2]: value for name, value in w.items() if name.startswith(f"blk.{layer}.")}
        h = norm(x, t["attn_norm.weight"])
        q, k, v = (h @ t[f"attn_{part}.weight"].T + t.get(f"attn_{part}.bias", 0) for part in "qkv")
        q, k = heads_normed(q, t.get("attn_q_norm.weight")), heads_normed(k, t.get("attn_k_norm.weight"))
        window = c.windows[layer]
        turn = turns(c.local_freq_base if window and isinstance(c, Gemma3) else c.rope_freq_base)
        q = rotate(q.reshape(n, c.n_heads, c.head_dim), turn)
        k = np.repeat(rotate(k.reshape(n, c.n_kv_heads, c.head_dim), turn), group, axis=1)
        v = np.repeat(v.reshape(n, c.n_kv_heads, c.head_dim), group, axis=1)
        seen = (behind >= 0) & (behind < (window or n))
        scores = np.exp(capped(np.einsum("qhd,khd->hqk", q, k) / c.head_dim**0.5, c.score_cap)) * seen
        mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(axis=-1, keepdims=True), v)
        y = mixed.reshape(n, -1) @ t["attn_output.weight"].T + t.get("attn_output.bias", 0)
        x = x + (norm(y, t["post_attention_norm.weight"]) if "post_attention_norm.weight" in t else y)
        h = norm(x, t["ffn_norm.weight"])
        if "ffn_gate_inp.weight" in t:
            x = x + mixture(h, t)
            continue
        gate, up = (h @ t[f"ffn_{part}.weight"].T + t.get(f"ffn_{part}.bias", 0) for part in ("gate", "up"))
        y = (gated(gate) * up) @ t["ffn_down.weight"].T + t.get("ffn_down.bias", 0)
        x = x + (norm(y, t["post_ffw_norm.weight"]) if "post_ffw_norm.weight" in t else y)
    return capped(norm(x, w["output_norm.weight"]) @ w.get("output.weight", w["token_embd.weight"]).T, c.logit_cap)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_equals_the_naive_formulation(tmp_path: Path, spec: ModelSpec) -> None:
    """Up to float32 rounding; the logits spread over several units, so a wrong graph is far off."""
    with GGUFFile.open(write_tiny(tmp_path / "m.gguf", spec)) as file:
        expected = naive_logits(file, TOKENS)
        logits = reference(file).session(32).decode(TOKENS, all_logits=True)
    assert logits.dtype == np.float32
    assert logits.shape == (len(TOKENS), spec.vocab_size)
    assert expected.std() > 1
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-4 * expected.std())


@pytest.mark.parametrize("spec", [TINY_LLAMA, TINY_QWEN2], ids=["llama", "qwen2"])
def test_cutting_the_prompt_changes_only_rounding(tmp_path: Path, spec: ModelSpec) -> None:
    with GGUFFile.open(write_tiny(tmp_path / "m.gguf", spec)) as file:
        model = reference(file)
        whole = model.session(32).decode(TOKENS, all_logits=True)
        session = model.session(len(TOKENS))
        parts = [session.decode([token]) for token in TOKENS[:3]]
        parts += list(session.decode(TOKENS[3:9], all_logits=True))
        last = session.decode(TOKENS[9:])
        assert session.n_past == len(TOKENS)
    np.testing.assert_allclose(parts, whole[:9], atol=1e-4)
    np.testing.assert_allclose(last, whole[-1], atol=1e-4)


def test_refusals_leave_the_timeline_as_it_was(tmp_path: Path) -> None:
    with GGUFFile.open(write_tiny(tmp_path / "m.gguf")) as file:
        session = reference(file).session(4)
        session.decode([1, 2, 3])
        with pytest.raises(ContextFullError, match="3 tokens are in it, 2 more were given, it holds 4"):
            session.decode([4, 5])
        with pytest.raises(Q4Error, match="token ids 1 to 320, expected 0 to 319"):
            session.decode([1, 320])
        with pytest.raises(Q4Error, match="token ids -1 to -1"):
            session.decode([-1])
        with pytest.raises(Q4Error, match="at least one"):
            session.decode([])
        assert session.n_past == 3
        expected = reference(file).session(4).decode([1, 2, 3, 4])
        np.testing.assert_allclose(session.decode([4]), expected, atol=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float) -> None:
    path = write_tiny(tmp_path / "m.gguf", TINY_LLAMA.with_changes(weight_type=TensorType.F32))
    with GGUFFile.open(path) as file:
        offset = file.tensors["blk.1.ffn_up.weight"].offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 4] = np.float32(value).tobytes()
    path.write_bytes(content)
    with GGUFFile.open(path) as file:
        graph, weights = read_model(file)[1], Weights(file)
        with pytest.raises(Q4Error, match=r"'blk\.1\.ffn_up\.weight' holds values"):
            Decoder(graph, weights, 4).decode([1])
        with pytest.raises(Q4Error, match=r"tensor 'blk\.2\.ffn_up\.weight' is missing"):
            _ = weights["blk.2.ffn_up.weight"]


def test_decoders_share_the_weights_and_nothing_else(tmp_path: Path) -> None:
    with GGUFFile.open(write_tiny(tmp_path / "m.gguf")) as file:
        model = reference(file)
        first, second = model.session(16), model.session(16)
        expected = first.decode(TOKENS)
        second.decode(TOKENS[::-1])
        table = model.weights["token_embd.weight"]
        assert second.weights["token_embd.weight"] is table and not np.shares_memory(
            first.cache.keys[0], second.cache.keys[0]
        )
        first.n_past = 4  # what was behind is forgotten
        np.testing.assert_allclose(first.decode(TOKENS[4:]), expected, atol=1e-4)
