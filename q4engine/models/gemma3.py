"""Gemma 3, its text. As Gemma 2, with normed heads in place of caps, and a RoPE of its own where a window is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from q4engine.models.gemma2 import Gemma2
from q4engine.models.graph import Graph, RopeTable
from q4engine.models.keys import KeyReader


@dataclass(frozen=True, kw_only=True)
class Gemma3(Gemma2):
    """Five layers of six see a window; their positions are never stretched."""

    head_norm: ClassVar[bool] = True
    window_pattern: ClassVar[int] = 6
    usual_window: ClassVar[int] = 0
    usual_caps: ClassVar[tuple[float, float]] = 0.0, 0.0
    layers_of_27b: ClassVar[int] = 62

    local_freq_base: float

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        return super().sizes(keys) | {"local_freq_base": keys.rope_freq_base("rope.freq_base_swa")}

    def rope_tables(self, g: Graph) -> list[int]:
        local = g.rope_table(RopeTable(self.rope_dim, self.local_freq_base))
        everywhere = g.rope_table(self.rope_table(g, self.rope_freq_base, self.rope_scaling))
        return [local if window else everywhere for window in self.windows]
