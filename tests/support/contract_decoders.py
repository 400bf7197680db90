"""Whole models from contract.py's arithmetic: what each architecture computes, written without the engine's graphs.

Of the engine only a file's sizes are taken, as its keys were read.
"""

from __future__ import annotations

from typing import Any

import contract
import numpy as np
from contract import F, Matrix

from q4engine.gguf import GGUFFile

NEOX, GELU, HEAD_NORM, ROW_NORM = "NEOX", "gelu", "norm of heads", "norm of all heads"
POST_NORM, NO_PRE_NORM, FUSED = "norms before what is added", "no norms before a part", "fused tensors"
PLAIN_NORM = "norms without weights"
EXPERTS, NORMALISED = "experts", "weights of experts that add up to 1"

TRAITS: dict[str, set[str]] = {
    "llama": set(),
    "qwen2": {NEOX},
    "qwen3": {NEOX, HEAD_NORM},
    "gemma2": {NEOX, GELU, POST_NORM},
    "gemma3": {NEOX, GELU, POST_NORM, HEAD_NORM},
    "phi3": {NEOX, FUSED},
    "smollm3": set(),
    "granite": set(),
    "olmo": {PLAIN_NORM},
    "olmo2": {NEOX, POST_NORM, NO_PRE_NORM, ROW_NORM},
    "qwen2moe": {NEOX, EXPERTS},
    "qwen3moe": {NEOX, HEAD_NORM, EXPERTS, NORMALISED},
    "olmoe": {NEOX, ROW_NORM, EXPERTS},
}


def forward(file: GGUFFile, config: Any, tokens: list[int], n_ctx: int, kv_form: str = "f16") -> np.ndarray:
    """Logits float32 [n, vocabulary] of all positions, in a context of so many."""
    return Decoder(file, config, len(tokens), n_ctx, kv_form).logits(tokens)


class Decoder:
    """All positions at once, from position 0 on."""

    def __init__(self, file: GGUFFile, config: Any, n: int, n_ctx: int, kv_form: str) -> None:
        self.file, self.config, self.n, self.n_ctx = file, config, n, n_ctx
        self.kept = contract.KV_FORMS[kv_form]
        self.traits = TRAITS[config.architecture]

    def logits(self, tokens: list[int]) -> np.ndarray:
        c = self.config
        x = self.matrix("token_embd").rows(tokens)
        x = x if c.embedding_scale == 1 else x * F(c.embedding_scale)
        for layer in range(c.n_layers):
            prefix = f"blk.{layer}."
            h = x if NO_PRE_NORM in self.traits else self.norm(x, prefix + "attn_norm")
            x = self.joined(x, prefix, self.attention(prefix, layer, h), "attn_output")
            h = x if NO_PRE_NORM in self.traits else self.norm(x, prefix + "ffn_norm")
            if EXPERTS in self.traits:
                x = x + self.mixture(prefix, h)
            else:
                x = self.joined(x, prefix, self.feed_forward(prefix, h), "ffn_down")
        output = self.matrix("token_embd" if c.tied_output else "output")
        y = output.times(self.norm(x, "output_norm"))
        return contract.soft_cap(scaled(y, c.logit_scale), c.logit_cap)

    # ---- the file ------------------------------------------------------------------------------

    def matrix(self, name: str) -> Matrix:
        return Matrix(self.file.tensor(name + ".weight"))

    def vector(self, name: str) -> np.ndarray:
        return self.file.tensor(name).data.view(F)

    def product(self, name: str, x: np.ndarray) -> np.ndarray:
        """With its bias, where the file has one."""
        y = self.matrix(name).times(x)
        return y + self.vector(name + ".bias") if name + ".bias" in self.file.tensors else y

    # ---- the parts -----------------------------------------------------------------------------

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        if PLAIN_NORM in self.traits:
            return contract.layer_norm(x, self.config.rms_eps)
        return contract.rms_norm(x, self.vector(name + ".weight"), self.config.rms_eps)

    def joined(self, x: np.ndarray, prefix: str, part: np.ndarray, name: str) -> np.ndarray:
        """The residual with a part added to it."""
        y = scaled(self.product(prefix + name, part), self.config.residual_scale)
        if POST_NORM in self.traits:
            y = self.norm(y, prefix + {"attn_output": "post_attention_norm", "ffn_down": "post_ffw_norm"}[name])
        return x + y

    def attention(self, prefix: str, layer: int, h: np.ndarray) -> np.ndarray:
        c, n = self.config, self.n
        q, k, v = (part.reshape(n, -1, c.head_dim) for part in self.queries_keys_values(prefix, h))
        if HEAD_NORM in self.traits:
            q, k = self.norm(q, prefix + "attn_q_norm"), self.norm(k, prefix + "attn_k_norm")
        table = self.rope_table(layer)
        if table is not None:
            style = "NEOX" if NEOX in self.traits else "NORM"
            q, k = contract.rope(q, *table, style), contract.rope(k, *table, style)
        keys, values = self.kept(k), self.kept(v)
        a = contract.attention(q, keys, values, c.attention_scale, c.windows[layer], c.score_cap)
        return a.reshape(n, -1)

    def queries_keys_values(self, prefix: str, h: np.ndarray) -> list[np.ndarray]:
        c = self.config
        if FUSED in self.traits:
            y, kv_dim = self.product(prefix + "attn_qkv", h), c.n_kv_heads * c.head_dim
            return [y[:, : -2 * kv_dim], y[:, -2 * kv_dim : -kv_dim], y[:, -kv_dim:]]
        q, k, v = (self.product(f"{prefix}attn_{part}", h) for part in "qkv")
        if c.architecture == "olmo" and c.clamp:
            q, k, v = (np.clip(part, F(-c.clamp), F(c.clamp)) for part in (q, k, v))
        if ROW_NORM in self.traits:
            q, k = self.norm(q, prefix + "attn_q_norm"), self.norm(k, prefix + "attn_k_norm")
        return [q, k, v]

    def rope_table(self, layer: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Of the layer; None where it has no RoPE."""
        c, base = self.config, self.config.rope_freq_base
        if c.architecture == "smollm3" and layer % 4 == 3:
            return None
        local = c.architecture in ("gemma3", "olmo2") and c.windows[layer] > 0
        base = c.local_freq_base if local and c.architecture == "gemma3" else base
        factors = None if local else c.rope_scaling.factors(c.rope_dim, base)
        if "rope_factors_long.weight" in self.file.tensors:
            factors = self.vector(f"rope_factors_{'long' if self.n_ctx > c.rope_scaling.original else 'short'}.weight")
        if c.rope_freqs:
            own = self.vector("rope_freqs.weight")
            factors = own if factors is None else own * factors
        magnitude = 1.0 if local else c.rope_scaling.magnitude
        return contract.rope_table(np.arange(self.n), c.rope_dim, base, factors, magnitude)

    def feed_forward(self, prefix: str, h: np.ndarray) -> np.ndarray:
        if FUSED in self.traits:
            gate, up = np.split(self.product(prefix + "ffn_up", h), 2, axis=1)
        else:
            gate, up = self.product(prefix + "ffn_gate", h), self.product(prefix + "ffn_up", h)
        return (contract.gelu(gate) if GELU in self.traits else contract.silu(gate)) * up

    def mixture(self, prefix: str, h: np.ndarray) -> np.ndarray:
        scores = self.matrix(prefix + "ffn_gate_inp").times(h)
        e = contract.exp(scores - scores.max(axis=1, keepdims=True))
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.config.n_used]
        chosen = np.take_along_axis(e, order, axis=1)
        weights = chosen / contract.strided_sum(chosen if NORMALISED in self.traits else e)[:, None]
        m = np.zeros_like(h)
        for token, place in np.ndindex(*order.shape):
            one = slice(token, token + 1)
            y = self.network(prefix, "exps", h[one], int(order[token, place]))
            m[one] = contract.fma(weights[token, place], y, m[one])
        if prefix + "ffn_gate_inp_shexp.weight" in self.file.tensors:
            gate = self.matrix(prefix + "ffn_gate_inp_shexp").times(h)
            m = contract.fma(F(1) / (F(1) + contract.exp(-gate)), self.network(prefix, "shexp", h, 0), m)
        return m

    def network(self, prefix: str, kind: str, h: np.ndarray, expert: int) -> np.ndarray:
        gate, up, down = (
            Matrix(self.file.tensor(f"{prefix}ffn_{role}_{kind}.weight"), expert) for role in ("gate", "up", "down")
        )
        return down.times(contract.silu(gate.times(h)) * up.times(h))


def scaled(x: np.ndarray, scale: float) -> np.ndarray:
    return x if scale == 1 else x * F(scale)
