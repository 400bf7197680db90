"""Qwen3-MoE: 30B-A3B, 235B-A22B and their kin. Qwen3's attention, and experts whose weights add up to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from q4engine.models.graph import RopeStyle
from q4engine.models.mixture import MixtureTransformer


@dataclass(frozen=True, kw_only=True)
class Qwen3MoE(MixtureTransformer):
    """Keys, sizes and graph are the mixture's."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX
    head_norm: ClassVar[bool] = True
    normalised: ClassVar[bool] = True
