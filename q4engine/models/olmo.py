"""OLMo, the first. LayerNorm without weights, and Q, K and V clamped where the file says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from q4engine.models.graph import Buffer, Graph
from q4engine.models.keys import KeyReader
from q4engine.models.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class OLMo(Transformer):
    """``clamp`` is the largest magnitude of an element of Q, K and V, 0 for any. Its ``rms_eps`` is the LayerNorm's."""

    clamp: float

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        return super().sizes(keys) | {"clamp": keys.cap("attention.clamp_kqv")}

    @classmethod
    def read_epsilon(cls, keys: KeyReader) -> float:
        return keys.epsilon("attention.layer_norm_epsilon")

    def norm(self, g: Graph, x: Buffer, tensor: str, out: str) -> Buffer:
        return g.layer_norm(x, tensor.removesuffix(".weight"), out, eps=self.rms_eps)

    def norm_heads(self, g: Graph, qkv: Buffer) -> None:
        if self.clamp:
            g.clamp(qkv, limit=self.clamp)
