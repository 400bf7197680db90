"""OLMo 2 and 3. Parts read the residual as it is and are normed before they join it; so are Q and K, over all heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from q4engine.models.graph import Buffer, Graph, RopeStyle, RopeTable
from q4engine.models.keys import KeyReader
from q4engine.models.rope_scaling import RopeScaling
from q4engine.models.transformer import PostNormTransformer


@dataclass(frozen=True, kw_only=True)
class OLMo2(PostNormTransformer):
    """OLMo 3 has windows on three layers of four, whose positions are never stretched."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX
    row_norm: ClassVar[bool] = True
    window_pattern: ClassVar[int] = 4

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        sizes = super().sizes(keys)
        return sizes | {"windows": keys.windows(sizes["n_layers"], cls.window_pattern)}

    def rope_tables(self, g: Graph) -> list[int]:
        everywhere = g.rope_table(self.rope_table(g, self.rope_freq_base, self.rope_scaling))
        if not any(self.windows) or (self.rope_scaling == RopeScaling() and not self.rope_freqs):
            return [everywhere] * self.n_layers
        local = g.rope_table(RopeTable(self.rope_dim, self.rope_freq_base))
        return [local if window else everywhere for window in self.windows]

    def block(self, g: Graph, x: Buffer, table: int) -> None:
        self.join(g, self.attention(g, x, table), "attn_output.weight", x)
        self.join(g, self.feed_forward(g, x), "ffn_down.weight", x)
