"""Llama: SmolLM2, TinyLlama, Llama 2 and 3. RoPE over neighbours; Llama 3.x scales it by rope_freqs.weight."""

from __future__ import annotations

from q4engine.models.config import ModelConfig
from q4engine.models.graph import Graph, RopeStyle


def build(g: Graph, c: ModelConfig) -> None:
    """The decoder, operation by operation. n is the number of tokens of a call."""
    q_dim, kv_dim = c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim
    style = RopeStyle.NEOX if c.rope_style == "neox" else RopeStyle.NORM
    table = g.rope_table(c.rope_dim, c.rope_freq_base, "rope_freqs.weight" if c.rope_freqs else None)

    x = g.embed("token_embd.weight", "residual", rows=c.vocab_size, columns=c.dim)  # [n, dim]
    for layer in range(c.n_layers):
        g.layer = layer
        h = g.rms_norm(x, "attn_norm.weight", "normed", eps=c.rms_eps)  # [n, dim]
        rows = {"attn_q.weight": q_dim, "attn_k.weight": kv_dim, "attn_v.weight": kv_dim}
        qkv = g.matmul(h, rows, "qkv", bias=c.qkv_bias)  #              [n, q_dim + 2 kv_dim]
        # Q and K in place
        g.rope(qkv, heads=c.n_heads + c.n_kv_heads, head_dim=c.head_dim, table=table, style=style)
        g.kv_store(qkv, key_col=q_dim, value_col=q_dim + kv_dim, heads=c.n_kv_heads, head_dim=c.head_dim)
        # from here on the last layer serves the logits alone: the other positions of a prompt are done
        g.last_only = layer == c.n_layers - 1
        a = g.attention(
            qkv, "attended", heads=c.n_heads, kv_heads=c.n_kv_heads, head_dim=c.head_dim
        )  #                                                            [n, q_dim]
        g.matmul(a, {"attn_output.weight": c.dim}, x, add=True)  #      x += [n, dim]

        h = g.rms_norm(x, "ffn_norm.weight", "normed", eps=c.rms_eps)  # [n, dim]
        gate_up = g.matmul(h, {"ffn_gate.weight": c.n_ffn, "ffn_up.weight": c.n_ffn}, "gate_up")  # [n, 2 n_ffn]
        f = g.swiglu(gate_up, "ffn")  #                                 [n, n_ffn]
        g.matmul(f, {"ffn_down.weight": c.dim}, x, add=True)  #         x += [n, dim]

    g.layer = None
    h = g.rms_norm(x, "output_norm.weight", "output_normed", eps=c.rms_eps)  # [n, dim]
    output = "token_embd.weight" if c.tied_output else "output.weight"
    g.matmul(h, {output: c.vocab_size}, "logits")  #                    [n, vocab_size]
