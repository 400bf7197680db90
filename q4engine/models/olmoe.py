"""OLMoE. Q and K are normed over their whole width, RoPE goes over the halves of a head; experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from q4engine.models.graph import RopeStyle
from q4engine.models.mixture import MixtureTransformer


@dataclass(frozen=True, kw_only=True)
class OLMoE(MixtureTransformer):
    """Keys, sizes and graph are the mixture's."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX
    row_norm: ClassVar[bool] = True

    @classmethod
    def usual_width(cls, n_ffn: int, n_used: int) -> int:
        return n_ffn
