"""Gemma 2. Norms before and behind each part, GeGLU, every other layer sees a window, scores and logits are capped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from q4engine.models.graph import Activation, RopeStyle
from q4engine.models.keys import KeyReader
from q4engine.models.transformer import PostNormTransformer


@dataclass(frozen=True, kw_only=True)
class Gemma2(PostNormTransformer):
    """Its norms' weights are stored with their 1 added; the embedding is multiplied by √dim."""

    rope_style: ClassVar[RopeStyle] = RopeStyle.NEOX
    activation: ClassVar[Activation] = Activation.GELU
    window_pattern: ClassVar[int] = 2
    """Of so many layers in a row the last one sees all positions."""
    usual_window: ClassVar[int] = 4096
    """Where the file does not say."""
    usual_caps: ClassVar[tuple[float, float]] = 50.0, 30.0
    """Likewise of scores and logits, which the first files do not say."""
    layers_of_27b: ClassVar[int] = 46
    """The largest model scales scores by dim / heads in place of the head's size; no key says so."""

    @classmethod
    def sizes(cls, keys: KeyReader) -> dict[str, Any]:
        sizes = super().sizes(keys)
        dim, n_layers, (score_cap, logit_cap) = sizes["dim"], sizes["n_layers"], cls.usual_caps
        wide = n_layers == cls.layers_of_27b
        return sizes | {
            "windows": keys.windows(n_layers, cls.window_pattern, cls.usual_window),
            "embedding_scale": float(np.sqrt(np.float32(dim))),
            "attention_scale": float(np.float32(1) / np.sqrt(np.float32(dim / sizes["n_heads"]))) if wide else None,
            "score_cap": keys.cap("attn_logit_softcapping", score_cap),
            "logit_cap": keys.cap("final_logit_softcapping", logit_cap),
        }
