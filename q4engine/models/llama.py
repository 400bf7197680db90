"""Llama: SmolLM2, TinyLlama, Llama 2 and 3, Mistral. RoPE over neighbours; Llama 3.x scales it by rope_freqs.weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from q4engine.models.graph import Buffer, Graph
from q4engine.models.keys import KeyReader
from q4engine.models.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Llama(Transformer):
    """Biases are taken where the file has them, of all projections of a part alike."""

    output_bias: bool = False
    ffn_bias: bool = False

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        sizes = super().sizes(keys)
        return sizes | {
            "windows": keys.windows(sizes["n_layers"]),
            "qkv_bias": keys.has_tensor("blk.0.attn_q.bias"),
            "output_bias": keys.has_tensor("blk.0.attn_output.bias"),
            "ffn_bias": keys.has_tensor("blk.0.ffn_up.bias"),
        }

    def feed_forward(self, g: Graph, h: Buffer) -> Buffer:
        gate_up = g.matmul(h, self.gate_up_rows(), "gate_up", bias=self.ffn_bias)  #      [n, 2 n_ffn]
        return g.swiglu(gate_up, "ffn", activation=self.activation)

    def join(self, g: Graph, part: Buffer, tensor: str, x: Buffer) -> None:
        bias = self.ffn_bias if tensor == "ffn_down.weight" else self.output_bias
        g.matmul(part, {tensor: self.dim}, x, bias=bias, add=True, scale=self.residual_scale)
