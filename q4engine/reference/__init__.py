"""A model's graph in plain float32 NumPy, operation by operation: the readable reference, and ``--backend numpy``.

Weights are decoded to float32 and nothing else is rounded, but keys and values that are kept in 8 bits and the queries
that meet these: so this is what the engine approximates, not what it equals.
"""

from __future__ import annotations

from q4engine.kv_forms import KVForm
from q4engine.models.graph import Graph
from q4engine.reference.decoder import Decoder
from q4engine.reference.weights import Weights

__all__ = ["Decoder", "ReferenceModel", "Weights"]


class ReferenceModel:
    """A loaded model: graph and weights. Each ``session`` is a timeline of its own over them."""

    def __init__(self, graph: Graph, kv_form: KVForm = "f16") -> None:
        self.graph = graph
        self.kv_form = kv_form
        self.weights = Weights(graph.file)

    def session(self, n_ctx: int) -> Decoder:
        """A decoder with room for ``n_ctx`` tokens; it has ``decode(tokens, all_logits=False)`` and ``n_past``."""
        return Decoder(self.graph, self.weights, n_ctx, self.kv_form)
