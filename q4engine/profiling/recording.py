"""What one call of the executor left behind: who worked on which operation when, and what was counted meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import count
from typing import NamedTuple

import numpy as np

from q4engine.engine import Call, Engine
from q4engine.models.graph import NONE, Op

BEGIN, END, BARRIER = "begin", "end", "barrier"
"""What a thread does besides operations: until its walk starts, after its walk, and waiting for the others."""

_NAMES = {"embed": "embedding", "quantize": "quantize_activations"}


class Level(IntEnum):
    """How much a session records, by the native module's numbers."""

    OFF = 0
    CALLS = 1
    OPERATIONS = 2
    """Times of every operation, counts of whole calls."""
    COUNTED_OPERATIONS = 3
    """Times and counts of every operation."""


@dataclass(frozen=True)
class Operation:
    """One operation of the plan, in the words that captures use; empty texts where there is nothing to say."""

    kind: str
    layer: int | None
    tensor: str = ""
    type: str = ""
    shape: str = ""
    gemv: str = ""
    gemm: str = ""
    few_tokens: int = 1
    """Tokens up to which its product is the GEMV kernel's."""
    last_only: bool = False
    weight_bytes: int = 0
    """Of its matrix or vector, as the file stores it."""
    row_bytes: int = 0
    """Of each row that it looks up, one a token."""
    expert_bytes: int = 0
    """Of each expert's matrices."""
    tally: int = NONE
    """Which of a record's tallies says how many experts the call's tokens went to; NONE where there are none."""

    def tokens(self, call: Call) -> int:
        """Tokens of the call that the operation handles."""
        return 1 if self.last_only and not call.all_logits else call.n_eval

    def name(self, tokens: int) -> str:
        if self.kind == "matmul":
            return "gemv" if tokens <= self.few_tokens else "gemm"
        return _NAMES.get(self.kind, self.kind)

    def kernel(self, tokens: int) -> str:
        return self.gemv if tokens <= self.few_tokens else self.gemm

    def bytes_read(self, tokens: int, experts: int = 0) -> int:
        """Bytes of ``tensor`` that all threads together read for so many tokens, as the file stores them.

        ``experts``: to how many of them the tokens went.
        """
        return self.weight_bytes + self.row_bytes * tokens + self.expert_bytes * experts


def operations(engine: Engine) -> list[Operation]:
    """The operations of an engine's plan, in the order in which every call walks them."""
    graph, kernels, tallies = engine.graph, engine.kernels, count()

    def with_kernels(plain: Operation, weight: int) -> Operation:
        if engine.native is None:
            return plain
        choice = kernels[weight]
        return replace(plain, gemv=choice.gemv, gemm=choice.gemm, few_tokens=engine.native.few_tokens())

    def described(op: Op) -> Operation:
        plain = Operation(op.kind, None if op.layer == NONE else op.layer, last_only=op.last)
        if op.kind == "matmul":
            weight = op.index("weight")
            tensors = graph.weights[weight]
            rows, columns = sum(tensor.shape[0] for tensor in tensors), tensors[0].shape[1]
            plain = replace(plain, tensor=op.name, type=tensors[0].type.name, shape=f"{rows}x{columns}")
            plain = replace(plain, weight_bytes=sum(tensor.n_bytes for tensor in tensors))
            return with_kernels(plain, weight)
        if op.kind == "experts":
            weight = op.index("weight")
            tensors = graph.weights[weight]
            rows, columns = op.index("used") * sum(tensor.shape[1] for tensor in tensors), tensors[0].shape[2]
            plain = replace(plain, tensor=op.name, type=tensors[0].type.name, shape=f"{rows}x{columns}")
            each = sum(tensor.n_bytes for tensor in tensors) // op.index("experts")
            return with_kernels(replace(plain, expert_bytes=each, tally=next(tallies)), weight)
        if op.kind == "embed":
            table = graph.tables[op.index("table")]
            shape = f"{table.shape[0]}x{table.shape[1]}"
            row_bytes = table.n_bytes // table.shape[0]
            return replace(plain, tensor=op.name, type=table.type.name, shape=shape, row_bytes=row_bytes)
        if op.kind == "rms_norm":
            n_bytes = sum(tensor.n_bytes for tensor in graph.vectors[op.index("vector")])
            return replace(plain, tensor=op.name, type="F32", weight_bytes=n_bytes)
        return plain

    return [described(op) for op in graph.ops]


def weight_bytes_per_token(engine: Engine) -> int:
    """Bytes of weights that decoding one token reads: all packed matrices, of experts those that it goes to, norms and
    biases, one row an embedding.
    """
    graph = engine.graph
    packed = {index: choice.packed_bytes for index, choice in enumerate(engine.kernels)}
    matrices = 0
    for op in graph.ops:
        if op.kind in ("matmul", "experts"):
            index = op.index("weight")
            n_bytes = packed.get(index, sum(tensor.n_bytes for tensor in graph.weights[index]))
            matrices += n_bytes // op.index("experts") * op.index("used") if op.kind == "experts" else n_bytes
    read = {op.index(name) for op in graph.ops for name in ("vector", "bias")} - {NONE}  # RoPE's factors are not
    vectors = sum(tensor.n_bytes for index in read for tensor in graph.vectors[index])
    return matrices + vectors + sum(table.n_bytes // table.shape[0] for table in graph.tables)


def kv_bytes_per_position(engine: Engine) -> int:
    """Bytes of keys and values of one position in all layers, as the backend keeps them."""
    if engine.native is not None:
        return int(engine.native.kv_bytes_per_position())
    stores = [op for op in engine.graph.ops if op.kind == "kv_store"]
    return sum(op.index("heads") * op.index("head_dim") for op in stores) * 2 * np.dtype(np.float32).itemsize


def kv_bytes_by_window(engine: Engine) -> dict[int, int]:
    """Of :func:`kv_bytes_per_position` the parts of layers that see no more than so many positions."""
    stores = {op.layer: op.index("heads") * op.index("head_dim") for op in engine.graph.ops if op.kind == "kv_store"}
    of_all, columns = kv_bytes_per_position(engine), max(1, sum(stores.values()))
    by_window: dict[int, int] = {}
    for op in engine.graph.ops:
        if op.kind == "attention" and (window := op.index("window")):
            by_window[window] = by_window.get(window, 0) + stores[op.layer] * of_all // columns
    return by_window


def kv_bytes_read(engine: Engine, cached: int) -> int:
    """Bytes of keys and values that one token reads of so many positions, its own included."""
    unseen = sum(max(0, cached - window) * each for window, each in kv_bytes_by_window(engine).items())
    return cached * kv_bytes_per_position(engine) - unseen


class Facts(NamedTuple):
    """Of one thread in one call, in the native module's order."""

    tid: int
    first_cpu: int
    last_cpu: int
    page_faults: int
    context_switches: int


class Span(NamedTuple):
    """What a thread did from start to end. mark: index of the mark that ended it, 0 where nothing was counted."""

    name: str
    operation: Operation | None
    start_ns: int
    end_ns: int
    mark: int


@dataclass(frozen=True)
class Record:
    """One call. The arrays are the native module's (``Session.recorded``), empty for the NumPy backend.

    start_ns, end_ns: CLOCK_MONOTONIC_RAW; the start is the marker's stamp. counted: the groups that were selected.
    """

    number: int
    call: Call
    start_ns: int
    end_ns: int
    counted: tuple[int, ...] = ()
    stamps: bytes = b""
    facts: bytes = b""
    counts: bytes = b""
    tallies: bytes = b""

    @property
    def n_bytes(self) -> int:
        return len(self.stamps) + len(self.facts) + len(self.counts)

    @property
    def n_threads(self) -> int:
        return len(self.facts) // (8 * len(Facts._fields))

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    @property
    def tokens_per_second(self) -> float:
        return self.call.n_eval * 1e9 / self.duration_ns if self.duration_ns else 0.0

    def threads(self) -> list[Facts]:
        return [Facts(*row) for row in np.frombuffer(self.facts, np.int64).reshape(-1, len(Facts._fields)).tolist()]

    @property
    def n_looks(self) -> int:
        """How often the busiest thread looked at the clock between its operations."""
        if not self.facts:
            return 0
        steps = np.diff(np.frombuffer(self.stamps, np.uint64).reshape(self.n_threads, -1))
        return int(np.count_nonzero(steps, axis=1).max())

    def marks(self) -> list[list[int]]:
        """Stamps of each thread."""
        if not self.facts:
            return []
        marks: list[list[int]] = np.frombuffer(self.stamps, np.uint64).reshape(self.n_threads, -1).tolist()
        return marks

    def experts_met(self, operation: Operation) -> int:
        """To how many experts the call's tokens went; 0 of an operation without experts."""
        return 0 if operation.tally == NONE else int(np.frombuffer(self.tallies, np.uint64)[operation.tally])

    def readings(self, n_words: int) -> np.ndarray:
        """Counter readings, int64 [threads, readings, n_words]; what they hold is Counters' matter (counters.py)."""
        return np.frombuffer(self.counts, np.int64).reshape(self.n_threads, -1, n_words)

    def spans(self, plan: list[Operation], marks: list[int]) -> Iterator[Span]:
        """What the thread of these marks did, from the call's start to its end without a gap.

        Barriers at which it did not wait are left out.
        """
        yield Span(BEGIN, None, self.start_ns, marks[0], 0)
        at = 1
        for operation in plan:
            name = operation.name(operation.tokens(self.call))
            yield Span(name, operation, marks[at - 1], marks[at], at)
            if marks[at + 1] > marks[at]:
                yield Span(BARRIER, operation, marks[at], marks[at + 1], at + 1)
            at += 2
        yield Span(END, None, marks[-1], self.end_ns, 0)
