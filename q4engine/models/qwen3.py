"""Qwen3. Heads of Q and K are normed before RoPE, which goes over the halves of a head; no biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from q4engine.models.graph import RopeStyle
from q4engine.models.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Qwen3(Transformer):
    """Keys, sizes and graph are the decoder's."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX
    head_norm: ClassVar[bool] = True
