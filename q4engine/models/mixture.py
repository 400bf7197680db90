"""Decoders whose feed-forward networks are mixtures of experts: a router chooses some of them for each token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from q4engine.models.graph import Buffer, Graph
from q4engine.models.keys import KeyReader
from q4engine.models.transformer import Transformer

_MOST_EXPERTS = 4096  # the native core's limit


@dataclass(frozen=True, kw_only=True)
class MixtureTransformer(Transformer):
    """``n_expert_ffn`` is the width of an expert's network, ``n_shared_ffn`` that of the one which all tokens go to, 0
    where there is none.
    """

    normalised: ClassVar[bool] = False
    """Whether the weights of the experts that are chosen add up to 1."""
    n_experts: int
    n_used: int
    n_expert_ffn: int
    n_shared_ffn: int = 0

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        sizes = super().sizes(keys)
        n_experts = keys.count("expert_count", most=_MOST_EXPERTS)
        n_used = keys.count("expert_used_count", most=n_experts)
        if keys.flag("expert_weights_norm", cls.normalised) is not cls.normalised:
            raise keys.error("expert_weights_norm", f"is {str(not cls.normalised).lower()}, which is not supported")
        width = keys.count("expert_feed_forward_length", cls.usual_width(sizes["n_ffn"], n_used))
        return sizes | {"n_experts": n_experts, "n_used": n_used, "n_expert_ffn": width}

    @classmethod
    def usual_width(cls, n_ffn: int, n_used: int) -> int:
        """Of an expert's network where the file has no key for it."""
        return max(1, n_ffn // n_used)

    def block(self, g: Graph, x: Buffer, table: int) -> None:
        h = self.norm(g, x, "attn_norm.weight", "normed")  #                              [n, dim]
        self.join(g, self.attention(g, h, table), "attn_output.weight", x)
        h = self.norm(g, x, "ffn_norm.weight", "normed")  #                               [n, dim]
        self.mixture(g, h, x)

    def mixture(self, g: Graph, h: Buffer, x: Buffer) -> None:
        """x += the networks of each token's experts, and the one of all, each times its weight: [n, dim]."""
        used, width, shared = self.n_used, self.n_expert_ffn, self.n_shared_ffn
        gate = {"ffn_gate_inp_shexp.weight": 1} if shared else {}
        scores = g.matmul(h, {"ffn_gate_inp.weight": self.n_experts, **gate}, "scores")  # [n, n_experts (+ 1)]
        routing = g.router(  #                                                            [n, 2 used (+ 1)]
            scores, "routing", experts=self.n_experts, used=used, normalised=self.normalised
        )
        rows = {"ffn_gate_exps.weight": width, "ffn_up_exps.weight": width}
        gate_up = g.experts(h, rows, routing, "experts_gate_up")  #                       [n, 2 used width]
        activated = g.swiglu(gate_up, "experts_ffn", activation=self.activation)  #       [n, used width]
        down = {"ffn_down_exps.weight": self.dim}
        y = g.experts(activated, down, routing, "experts", each=True, spare=self.dim if shared else 0)
        if shared:
            rows = {"ffn_gate_shexp.weight": shared, "ffn_up_shexp.weight": shared}
            gate_up = g.matmul(h, rows, "shared_gate_up")  #                              [n, 2 shared]
            activated = g.swiglu(gate_up, "shared_ffn", activation=self.activation)  #    [n, shared]
            g.matmul(activated, {"ffn_down_shexp.weight": self.dim}, y, col=used * self.dim)
        g.experts_sum(y, routing, x, count=used + len(gate))  #                           [n, dim]
