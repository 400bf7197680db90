"""SmolLM3. Llama's decoder; every fourth layer has no RoPE."""

from __future__ import annotations

from dataclasses import dataclass

from q4engine.models.graph import NONE, Graph
from q4engine.models.transformer import Transformer

_PERIOD = 4  # no key says so


@dataclass(frozen=True, kw_only=True)
class SmolLM3(Transformer):
    """Keys and sizes are the decoder's."""

    def rope_tables(self, g: Graph) -> list[int]:
        tables = super().rope_tables(g)
        return [NONE if (layer + 1) % _PERIOD == 0 else table for layer, table in enumerate(tables)]
