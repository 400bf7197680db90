"""Granite 3 and 4 without experts. Llama's decoder with four multipliers: of embedding, scores, residual and logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from q4engine.models.graph import NONE, Graph
from q4engine.models.keys import KeyReader
from q4engine.models.llama import Llama


@dataclass(frozen=True, kw_only=True)
class Granite(Llama):
    """``rotated``: whether it has RoPE at all, which files say by a key of RoPE's scaling."""

    rotated: bool

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        return super().sizes(keys) | {
            "embedding_scale": keys.scale("embedding_scale"),
            "attention_scale": keys.real("attention.scale", 0.0, 2.0**60, 0.0) or None,
            "residual_scale": keys.scale("residual_scale"),
            "logit_scale": float(np.float32(1) / np.float32(keys.scale("logit_scale"))),  # by which logits are divided
            "rotated": keys.flag("rope.scaling.finetuned", True),
        }

    def rope_tables(self, g: Graph) -> list[int]:
        return super().rope_tables(g) if self.rotated else [NONE] * self.n_layers
