"""Qwen2-MoE: Qwen1.5-MoE and 2-57B-A14B. Qwen2's attention; experts, and one network that all tokens go to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from q4engine.models.graph import RopeStyle
from q4engine.models.keys import KeyReader
from q4engine.models.mixture import MixtureTransformer


@dataclass(frozen=True, kw_only=True)
class Qwen2MoE(MixtureTransformer):
    """Keys, sizes and graph are the mixture's."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        sizes = super().sizes(keys)
        shared = keys.count("expert_shared_feed_forward_length", sizes["n_ffn"])
        return sizes | {"qkv_bias": True, "n_shared_ffn": shared}
