"""Phi-3, 3.5 and 4-mini. Q, K and V lie in one tensor, gate and up in another; long contexts have their own factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from q4engine.models.graph import Graph, RopeStyle, RopeTable
from q4engine.models.keys import KeyReader
from q4engine.models.rope_scaling import RopeScaling
from q4engine.models.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Phi3(Transformer):
    """A context of more positions than the original takes the long factors, from its first token on."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        sizes = super().sizes(keys)
        return sizes | {"windows": keys.windows(sizes["n_layers"])}

    @classmethod
    def read_rope_scaling(cls, keys: KeyReader) -> RopeScaling:
        """The factors' tensors say that there is such; the key of the kind is often left out."""
        return keys.longrope() if keys.has_tensor("rope_factors_long.weight") else keys.rope_scaling()

    def rope_table(self, g: Graph, base: float, scaling: RopeScaling) -> RopeTable:
        if scaling.kind != "longrope":
            return super().rope_table(g, base, scaling)
        near, far = (g.rope_factors(f"rope_factors_{kind}.weight", self.rope_dim) for kind in ("short", "long"))
        return RopeTable(self.rope_dim, base, near, scaling.magnitude, far, scaling.original)

    def qkv_rows(self, q_dim: int, kv_dim: int) -> dict[str, int]:
        return {"attn_qkv.weight": q_dim + 2 * kv_dim}

    def gate_up_rows(self) -> dict[str, int]:
        return {"ffn_up.weight": 2 * self.n_ffn}
