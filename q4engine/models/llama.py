"""Llama: SmolLM2, TinyLlama, Llama 2 and 3. RoPE over neighbours; Llama 3.x scales it by rope_freqs.weight."""

from __future__ import annotations

from q4engine.models.config import ModelConfig
from q4engine.models.graph import Graph


def build(g: Graph, c: ModelConfig) -> None:
    """The decoder, operation by operation. n is the number of tokens of a call."""
    q_dim, kv_dim = c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim

    x = g.embed("token_embd.weight", "residual")  #                     [n, dim]
    for layer in range(c.n_layers):
        g.layer = layer
        h = g.rms_norm(x, "attn_norm.weight", "normed")  #              [n, dim]
        qkv = g.matmul(
            h, ["attn_q.weight", "attn_k.weight", "attn_v.weight"], "qkv", bias=c.qkv_bias
        )  #                                                            [n, q_dim + 2 kv_dim]
        g.rope(qkv, 0, c.n_heads + c.n_kv_heads)  #                     Q and K in place
        g.kv_store(qkv, k_col=q_dim, v_col=q_dim + kv_dim)
        # from here on the last layer serves the logits alone: the other positions of a prompt are done
        g.last_only = layer == c.n_layers - 1
        a = g.attention(qkv, "attended", width=q_dim)  #                [n, q_dim]
        g.matmul(a, ["attn_output.weight"], x, add=True)  #             x += [n, dim]

        h = g.rms_norm(x, "ffn_norm.weight", "normed")  #               [n, dim]
        gate_up = g.matmul(h, ["ffn_gate.weight", "ffn_up.weight"], "gate_up")  # [n, 2 n_ffn]
        f = g.swiglu(gate_up, "ffn", width=c.n_ffn)  #                  [n, n_ffn]
        g.matmul(f, ["ffn_down.weight"], x, add=True)  #                x += [n, dim]

    g.layer = None
    h = g.rms_norm(x, "output_norm.weight", "output_normed")  #                [n, dim]
    output = "token_embd.weight" if c.tied_output else "output.weight"
    g.matmul(h, [output], "logits")  #                                  [n, vocab_size]
