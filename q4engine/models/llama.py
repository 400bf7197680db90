"""Llama: SmolLM2, TinyLlama, Llama 2 and 3. RoPE over neighbours; Llama 3.x scales it by rope_freqs.weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from q4engine.models.config import ModelConfig
from q4engine.models.graph import Buffer, Graph, RopeStyle
from q4engine.models.keys import KeyReader


@dataclass(frozen=True)
class Llama(ModelConfig):
    """A pre-norm decoder with grouped-query attention and SwiGLU. All sizes are counts of elements.

    ``head_dim`` is the size of a head of Q, K and V alike; the first ``rope_dim`` elements of it are rotated.
    """

    rope_style: ClassVar[RopeStyle] = RopeStyle.NORM
    qkv_bias: ClassVar[bool] = False

    dim: int
    n_ffn: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_dim: int
    rope_freq_base: float
    rope_freqs: bool
    rms_eps: float
    tied_output: bool

    @classmethod
    def read(cls, keys: KeyReader) -> Llama:
        keys.refuse_variants()
        dim, n_heads = keys.count("embedding_length"), keys.count("attention.head_count")
        head_dim = keys.head_dim(dim, n_heads)
        return cls(
            architecture=keys.architecture,
            n_layers=keys.count("block_count"),
            n_ctx_train=keys.count("context_length"),
            vocab_size=keys.vocab_size(),
            dim=dim,
            n_ffn=keys.count("feed_forward_length"),
            n_heads=n_heads,
            n_kv_heads=keys.n_kv_heads(n_heads),
            head_dim=head_dim,
            rope_dim=keys.rope_dim(head_dim),
            rope_freq_base=keys.rope_freq_base(),
            rope_freqs=keys.has_tensor("rope_freqs.weight"),
            rms_eps=keys.rms_eps(),
            tied_output=not keys.has_tensor("output.weight"),
        )

    def build(self, g: Graph) -> None:
        """n is the number of tokens of a call."""
        table = g.rope_table(self.rope_dim, self.rope_freq_base, "rope_freqs.weight" if self.rope_freqs else None)
        x = g.embed("token_embd.weight", "residual", rows=self.vocab_size, columns=self.dim)  # [n, dim]
        for layer in range(self.n_layers):
            g.layer = layer
            self._attention(g, x, table)
            self._feed_forward(g, x)
        g.layer = None
        h = g.rms_norm(x, "output_norm.weight", "output_normed", eps=self.rms_eps)  #     [n, dim]
        output = "token_embd.weight" if self.tied_output else "output.weight"
        g.matmul(h, {output: self.vocab_size}, "logits")  #                               [n, vocab_size]

    def _attention(self, g: Graph, x: Buffer, table: int) -> None:
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        h = g.rms_norm(x, "attn_norm.weight", "normed", eps=self.rms_eps)  #              [n, dim]
        rows = {"attn_q.weight": q_dim, "attn_k.weight": kv_dim, "attn_v.weight": kv_dim}
        qkv = g.matmul(h, rows, "qkv", bias=self.qkv_bias)  #                             [n, q_dim + 2 kv_dim]
        rotated = self.n_heads + self.n_kv_heads  #                                       Q and K in place
        g.rope(qkv, heads=rotated, head_dim=self.head_dim, table=table, style=self.rope_style)
        g.kv_store(qkv, key_col=q_dim, value_col=q_dim + kv_dim, heads=self.n_kv_heads, head_dim=self.head_dim)
        # from here on the last layer serves the logits alone: the other positions of a prompt are done
        g.last_only = g.layer == self.n_layers - 1
        a = g.attention(qkv, "attended", heads=self.n_heads, kv_heads=self.n_kv_heads, head_dim=self.head_dim)
        g.matmul(a, {"attn_output.weight": self.dim}, x, add=True)  #                     [n, q_dim], x += [n, dim]

    def _feed_forward(self, g: Graph, x: Buffer) -> None:
        h = g.rms_norm(x, "ffn_norm.weight", "normed", eps=self.rms_eps)  #               [n, dim]
        gate_up = g.matmul(h, {"ffn_gate.weight": self.n_ffn, "ffn_up.weight": self.n_ffn}, "gate_up")  # [n, 2 n_ffn]
        f = g.swiglu(gate_up, "ffn")  #                                                   [n, n_ffn]
        g.matmul(f, {"ffn_down.weight": self.dim}, x, add=True)  #                        x += [n, dim]
