"""The supported architectures in plain float32 NumPy: the readable reference, and ``--backend numpy``.

Weights are decoded to float32 and nothing else is rounded, so this is what the engine approximates, not what it equals.
"""

from __future__ import annotations

from q4engine.gguf import GGUFFile
from q4engine.models.config import ModelConfig
from q4engine.reference.common import Decoder, Weights
from q4engine.reference.llama import LlamaDecoder
from q4engine.reference.qwen2 import Qwen2Decoder

DECODERS: dict[str, type[Decoder]] = {"llama": LlamaDecoder, "qwen2": Qwen2Decoder}

__all__ = ["DECODERS", "Decoder", "ReferenceModel", "Weights"]


class ReferenceModel:
    """A loaded model: configuration and weights. Each ``session`` is a timeline of its own over them."""

    def __init__(self, file: GGUFFile, config: ModelConfig | None = None) -> None:
        self.config = config or ModelConfig.from_gguf(file)
        self.weights = Weights(file)

    def session(self, n_ctx: int) -> Decoder:
        """A decoder with room for ``n_ctx`` tokens; it has ``decode(tokens, all_logits=False)`` and ``n_past``."""
        return DECODERS[self.config.architecture](self.config, self.weights, n_ctx)
