"""Architecture ``llama`` in plain NumPy: SmolLM2, Llama 2 and 3.x. RoPE turns neighbouring elements."""

from __future__ import annotations

import numpy as np

from q4engine.reference.common import Decoder, attention, rms_norm, rope, silu


class LlamaDecoder(Decoder):
    """Pre-norm transformer with grouped-query attention and SwiGLU."""

    def forward(self, tokens: np.ndarray, positions: np.ndarray) -> np.ndarray:
        c, n = self.config, len(tokens)
        x: np.ndarray = self.weights["token_embd.weight"][tokens]  # a copy, [n, dim]
        for index in range(c.n_layers):
            w = self.weights.layer(index)

            h = rms_norm(x, w["attn_norm.weight"], c.rms_eps)
            q = (h @ w["attn_q.weight"].T).reshape(n, c.n_heads, c.head_dim)
            k = (h @ w["attn_k.weight"].T).reshape(n, c.n_kv_heads, c.head_dim)
            v = (h @ w["attn_v.weight"].T).reshape(n, c.n_kv_heads, c.head_dim)
            q = rope(q, positions, self.inverse_frequencies, "norm")
            k = rope(k, positions, self.inverse_frequencies, "norm")
            keys, values = self.cache.append(index, self.n_past, k, v)  # [T, n_kv_heads, head_dim]
            x += attention(q, keys, values, positions) @ w["attn_output.weight"].T

            h = rms_norm(x, w["ffn_norm.weight"], c.rms_eps)
            gate = h @ w["ffn_gate.weight"].T  # [n, n_ffn]
            up = h @ w["ffn_up.weight"].T
            x += (silu(gate) * up) @ w["ffn_down.weight"].T
        return x
