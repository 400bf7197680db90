"""Qwen2: Qwen1.5, 2 and 2.5. Llama's decoder with a bias on Q, K and V, and RoPE over the halves of a head."""

from __future__ import annotations

from typing import ClassVar

from q4engine.models.graph import RopeStyle
from q4engine.models.llama import Llama


class Qwen2(Llama):
    """Keys, sizes and graph are Llama's."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX
    qkv_bias: ClassVar[bool] = True
