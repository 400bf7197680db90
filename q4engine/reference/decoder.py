"""One timeline over a graph in NumPy: what a call checks, the walk over the operations, the KV cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from q4engine.errors import ContextFullError, Q4Error
from q4engine.kv_forms import KVForm
from q4engine.models.graph import Graph
from q4engine.reference.forward import OPERATIONS, Call, KVCache
from q4engine.reference.weights import Weights


class Decoder:
    """``decode`` appends tokens and gives logits. ``n_past`` may be set back, to forget tokens.

    ``watch``: told of each operation, by its place in the graph, with its seconds.
    """

    def __init__(self, graph: Graph, weights: Weights, n_ctx: int, kv_form: KVForm = "f16") -> None:
        self.graph = graph
        self.weights = weights
        self.n_ctx = n_ctx
        self.n_past = 0
        self.watch: Callable[[int, float], None] | None = None
        self.cache = KVCache(graph, n_ctx, kv_form)
        self.vocab_size = min(table.shape[0] for table in graph.tables)

    def decode(self, tokens: Sequence[int], all_logits: bool = False) -> np.ndarray:
        """Logits float32 [vocab] after the last token, or [n, vocab] after each one.

        ContextFullError where the tokens do not fit, Q4Error for ids out of range; the timeline then stays as it was.
        """
        ids = np.asarray(tokens, np.int64)
        if ids.ndim != 1 or not len(ids):
            raise Q4Error(f"decode got tokens of shape {ids.shape}, expected a list of at least one")
        if ids.min() < 0 or ids.max() >= self.vocab_size:
            raise Q4Error(f"decode got token ids {ids.min()} to {ids.max()}, expected 0 to {self.vocab_size - 1}")
        if self.n_past + len(ids) > self.n_ctx:
            raise ContextFullError(self.n_past, len(ids), self.n_ctx)
        with np.errstate(invalid="ignore", over="ignore"):  # what overflows shows in the logits
            logits = self._walk(ids, all_logits)
        if not np.isfinite(logits).all():
            raise Q4Error(f"the logits are not finite (past {self.n_past}, n_eval {len(ids)})")
        self.n_past += len(ids)
        return logits if all_logits else logits[0]

    def _walk(self, ids: np.ndarray, all_logits: bool) -> np.ndarray:
        """What the last operation gives: [n or 1, vocab]"""
        positions = np.arange(self.n_past, self.n_past + len(ids))
        call = Call(self.graph, self.weights, self.cache, ids, positions, all_logits)
        for number, op in enumerate(self.graph.ops):
            start = time.perf_counter()
            OPERATIONS[op.kind](call, op)
            if self.watch is not None:
                self.watch(number, time.perf_counter() - start)
        return call.rows(self.graph.ops[-1], "out")
