"""The decoder that all architectures here are kinds of: its sizes, the keys they are read from, its parts as methods.

An architecture is a subclass in a file of its own, which says what is different: traits, keys, the order of its norms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from q4engine.models.config import ModelConfig
from q4engine.models.graph import NONE, Activation, Buffer, Graph, RopeStyle, RopeTable
from q4engine.models.keys import KeyReader
from q4engine.models.rope_scaling import RopeScaling

_MAX_LAYERS = 1 << 16  # native/plan.h


@dataclass(frozen=True, kw_only=True)
class Transformer(ModelConfig):
    """A pre-norm decoder with grouped-query attention and a gated feed-forward network. Sizes are counts of elements.

    ``head_dim`` is the size of a head of Q, K and V alike; the first ``rope_dim`` elements of it are rotated.
    ``windows`` has for each layer how many positions it sees, 0 for all.
    """

    rope_style: ClassVar[RopeStyle] = RopeStyle.NORM
    activation: ClassVar[Activation] = Activation.SILU
    head_norm: ClassVar[bool] = False
    """Whether each head of Q and K is normed before it is rotated."""
    row_norm: ClassVar[bool] = False
    """Whether Q and K are, each over its whole width."""

    dim: int
    n_ffn: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_dim: int
    rope_freq_base: float
    rope_scaling: RopeScaling
    rope_freqs: bool
    rms_eps: float
    tied_output: bool
    windows: tuple[int, ...]
    qkv_bias: bool = False
    embedding_scale: float = 1.0
    attention_scale: float | None = None
    """None: 1 / √head_dim."""
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    score_cap: float = 0.0
    logit_cap: float = 0.0

    @classmethod
    def read(cls, keys: KeyReader) -> Transformer:
        config = cls(**cls.sizes(keys))
        keys.refuse_unread()
        return config

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        """The fields of the class, from the file's keys. Subclasses add theirs."""
        dim, n_heads = keys.count("embedding_length"), keys.count("attention.head_count")
        n_layers, head_dim = keys.count("block_count", most=_MAX_LAYERS), keys.head_dim(dim, n_heads)
        return {
            "architecture": keys.architecture,
            "n_layers": n_layers,
            "n_ctx_train": keys.count("context_length"),
            "vocab_size": keys.vocab_size(),
            "dim": dim,
            "n_ffn": keys.count("feed_forward_length"),
            "n_heads": n_heads,
            "n_kv_heads": keys.n_kv_heads(n_heads),
            "head_dim": head_dim,
            "rope_dim": keys.rope_dim(head_dim),
            "rope_freq_base": keys.rope_freq_base(),
            "rope_scaling": cls.read_rope_scaling(keys),
            "rope_freqs": keys.has_tensor("rope_freqs.weight"),
            "rms_eps": cls.read_epsilon(keys),
            "tied_output": not keys.has_tensor("output.weight"),
            "windows": (0,) * n_layers,
        }

    @classmethod
    def read_epsilon(cls, keys: KeyReader) -> float:
        return keys.epsilon("attention.layer_norm_rms_epsilon")

    @classmethod
    def read_rope_scaling(cls, keys: KeyReader) -> RopeScaling:
        return keys.rope_scaling()

    # ---- the whole -----------------------------------------------------------------------------

    def build(self, g: Graph) -> None:
        """n is the number of tokens of a call."""
        tables = self.rope_tables(g)
        rows, columns = self.vocab_size, self.dim
        x = g.embed("token_embd.weight", "residual", rows=rows, columns=columns, scale=self.embedding_scale)  # [n, dim]
        for layer, table in enumerate(tables):
            g.layer = layer
            self.block(g, x, table)
        g.layer = None
        h = self.norm(g, x, "output_norm.weight", "output_normed")  #                     [n, dim]
        output = "token_embd.weight" if self.tied_output else "output.weight"
        g.matmul(h, {output: self.vocab_size}, "logits", scale=self.logit_scale, logit_cap=self.logit_cap)

    def block(self, g: Graph, x: Buffer, table: int) -> None:
        """A layer: attention, then feed-forward network, both added to the residual x [n, dim]."""
        h = self.norm(g, x, "attn_norm.weight", "normed")  #                              [n, dim]
        self.join(g, self.attention(g, h, table), "attn_output.weight", x)
        h = self.norm(g, x, "ffn_norm.weight", "normed")  #                               [n, dim]
        self.join(g, self.feed_forward(g, h), "ffn_down.weight", x)

    # ---- its parts -----------------------------------------------------------------------------

    def rope_tables(self, g: Graph) -> list[int]:
        """The table of each layer, NONE where it has no RoPE."""
        return [g.rope_table(self.rope_table(g, self.rope_freq_base, self.rope_scaling))] * self.n_layers

    def rope_table(self, g: Graph, base: float, scaling: RopeScaling) -> RopeTable:
        factors = scaling.factors(self.rope_dim, base)
        if self.rope_freqs:
            own = g.rope_factors("rope_freqs.weight", self.rope_dim)
            factors = own if factors is None else np.asarray(own * factors, np.float32)
        return RopeTable(self.rope_dim, base, factors, scaling.magnitude)

    def norm(self, g: Graph, x: Buffer, tensor: str, out: str) -> Buffer:
        return g.rms_norm(x, tensor, out, eps=self.rms_eps)

    def attention(self, g: Graph, h: Buffer, table: int) -> Buffer:
        """What heads have mixed, before the output matrix: [n, q_dim]."""
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        qkv = g.matmul(h, self.qkv_rows(q_dim, kv_dim), "qkv", bias=self.qkv_bias)  #      [n, q_dim + 2 kv_dim]
        self.norm_heads(g, qkv)
        rotated = self.n_heads + self.n_kv_heads  #                                       Q and K in place
        if table != NONE:
            g.rope(qkv, heads=rotated, head_dim=self.head_dim, table=table, style=self.rope_style)
        g.kv_store(qkv, key_col=q_dim, value_col=q_dim + kv_dim, heads=self.n_kv_heads, head_dim=self.head_dim)
        # from here on the last layer serves the logits alone: the other positions of a prompt are done
        g.last_only = g.layer == self.n_layers - 1
        return g.attention(
            qkv, "attended", heads=self.n_heads, kv_heads=self.n_kv_heads, head_dim=self.head_dim,
            scale=self.attention_scale, window=self.windows[g.layer or 0], logit_cap=self.score_cap,
        )  # fmt: skip

    def qkv_rows(self, q_dim: int, kv_dim: int) -> dict[str, int]:
        return {"attn_q.weight": q_dim, "attn_k.weight": kv_dim, "attn_v.weight": kv_dim}

    def norm_heads(self, g: Graph, qkv: Buffer) -> None:
        """Q's heads, then K's, in place."""
        column = 0
        for name, heads in (("attn_q_norm.weight", self.n_heads), ("attn_k_norm.weight", self.n_kv_heads)):
            count, width = (1, heads * self.head_dim) if self.row_norm else (heads, self.head_dim)
            if self.head_norm or self.row_norm:
                g.rms_norm(qkv, name, qkv, eps=self.rms_eps, col=column, width=width, count=count)
            column += heads * self.head_dim

    def feed_forward(self, g: Graph, h: Buffer) -> Buffer:
        """activation(gate) · up, before the down matrix: [n, n_ffn]."""
        gate_up = g.matmul(h, self.gate_up_rows(), "gate_up")  #                          [n, 2 n_ffn]
        return g.swiglu(gate_up, "ffn", activation=self.activation)

    def gate_up_rows(self) -> dict[str, int]:
        return {"ffn_gate.weight": self.n_ffn, "ffn_up.weight": self.n_ffn}

    def join(self, g: Graph, part: Buffer, tensor: str, x: Buffer) -> None:
        """x += part · Wᵀ, times the residual's scale: [n, dim]."""
        g.matmul(part, {tensor: self.dim}, x, add=True, scale=self.residual_scale)


@dataclass(frozen=True, kw_only=True)
class PostNormTransformer(Transformer):
    """What joins the residual is normed first."""

    post_norms: ClassVar[dict[str, str]] = {
        "attn_output.weight": "post_attention_norm.weight",
        "ffn_down.weight": "post_ffw_norm.weight",
    }

    def join(self, g: Graph, part: Buffer, tensor: str, x: Buffer) -> None:
        """x += norm(part · Wᵀ): [n, dim]."""
        y = g.matmul(part, {tensor: self.dim}, "projected")
        g.rms_norm(y, self.post_norms[tensor], x, eps=self.rms_eps, add=True)
