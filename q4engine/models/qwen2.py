"""Qwen2: Qwen1.5, 2 and 2.5. A bias on Q, K and V, and RoPE over the halves of a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from q4engine.models.graph import RopeStyle
from q4engine.models.keys import KeyReader
from q4engine.models.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Qwen2(Transformer):
    """Keys, sizes and graph are the decoder's."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        return super().sizes(keys) | {"qkv_bias": True}
