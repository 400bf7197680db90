"""The language that models are written in: a list of operations over named buffers, executed by the native core.

A buffer holds ``width`` float32 values for each token of a call. Operations refer to GGUF tensors by name; inside a
layer the prefix ``blk.<layer>.`` is implied. Each operation says which shapes it needs, and the graph holds the file's
tensors against them; of their data it reads RoPE's factors alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import groupby

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile, TensorInfo, TensorType

NONE = -1
"""In the place of an index: none."""


class RopeStyle(IntEnum):
    """Which elements of a head turn together."""

    NORM = 0
    """Neighbours: 2i and 2i + 1."""
    NEOX = 1
    """Halves: i and i + dim / 2."""


class Activation(IntEnum):
    """What a feed-forward network does to its gate."""

    SILU = 0
    GELU = 1
    """By tanh."""


FIELDS: dict[str, tuple[str, ...]] = {
    "embed": ("out", "table", "scale"),
    "rms_norm": ("source", "source_col", "out", "out_col", "vector", "width", "count", "eps", "add"),
    "quantize": ("source",),
    "matmul": ("source", "out", "out_col", "weight", "bias", "add", "scale", "logit_cap"),
    "rope": ("source", "source_col", "heads", "head_dim", "table", "style"),
    "kv_store": ("source", "key_col", "value_col", "heads", "head_dim"),
    "attention": (
        "source", "source_col", "out", "heads", "kv_heads", "head_dim", "scale", "window", "logit_cap",
    ),
    "swiglu": ("source", "out", "activation"),
    "layer_norm": ("source", "out", "eps"),
    "clamp": ("source", "source_col", "width", "limit"),
    "router": ("source", "out", "experts", "used", "normalised"),
    "experts": ("source", "routing", "out", "out_col", "weight", "experts", "used"),
    "experts_sum": ("source", "routing", "out", "used", "count"),
}  # fmt: skip
"""The kinds of operations by their numbers, and what each is told. Names and order are the native core's."""

_MIN_ROPE_FACTOR = 0.25  # a context of any length keeps angles within what sine and cosine are exact for


@dataclass(frozen=True)
class Buffer:
    """Activations of a call: ``width`` float32 values a token."""

    index: int
    width: int


@dataclass(frozen=True)
class Routing:
    """Which ``used`` of the ``experts`` each token goes to: a row of ``buffer`` has their numbers, then their weights,
    then that of what all tokens go to, where there is such: [n, 2 used (+ 1)].
    """

    buffer: Buffer
    experts: int
    used: int


@dataclass(frozen=True, eq=False)
class RopeTable:
    """Angles of RoPE: pair i of ``dim`` / 2 turns by base^(−2i / dim) a position, divided by ``factors`` if any.

    In contexts of more than ``far_from`` positions ``far`` are the factors, where there are such. Cosines and sines are
    multiplied by ``magnitude``. Factors are float32 [dim / 2].
    """

    dim: int
    base: float
    factors: np.ndarray | None = None
    magnitude: float = 1.0
    far: np.ndarray | None = None
    far_from: int = 0

    def factors_for(self, n_ctx: int) -> np.ndarray | None:
        return self.far if self.far is not None and n_ctx > self.far_from else self.factors


@dataclass(frozen=True)
class Op:
    """One operation. ``fields`` has the names of FIELDS: indices of buffers, weights, …; columns are offsets in a row.

    ``layer`` is NONE outside the layers. ``last``: only the call's last token, unless all logits are asked for.
    """

    kind: str
    name: str
    layer: int
    last: bool
    fields: dict[str, int | float]

    def index(self, name: str) -> int:
        """A field that points or counts; NONE where this kind of operation has none of that name."""
        return int(self.fields.get(name, NONE))


@dataclass
class Graph:
    """Collects a model's operations, and the tensors that they need in the order of their first use."""

    file: GGUFFile
    layer: int | None = None
    """The layer that operations belong to; None before the first and after the last."""
    last_only: bool = False
    """Whether operations serve the call's last token only (unless all logits are asked for)."""
    ops: list[Op] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    weights: list[list[TensorInfo]] = field(default_factory=list)
    """Packed matrices: tensors of one type and width, one below the other; of experts [experts, rows, columns] each."""
    vectors: list[list[TensorInfo]] = field(default_factory=list)
    tables: list[TensorInfo] = field(default_factory=list)
    """Embeddings, whose rows are read one by one."""
    rope_tables: list[RopeTable] = field(default_factory=list)
    tensors: set[str] = field(default_factory=set)
    """The names of all tensors that it uses."""
    _quantized: set[int] = field(default_factory=set)

    def rope_table(self, table: RopeTable) -> int:
        """The index of a table of angles."""
        self.rope_tables.append(table)
        return len(self.rope_tables) - 1

    def rope_factors(self, tensor: str, dim: int) -> np.ndarray:
        """A tensor of factors for ``dim`` elements of a head: float32 [dim / 2], each large enough."""
        info = self._vector_tensor(tensor, dim // 2)
        _check_factors(info)
        return info.data.view("<f4")

    def embed(self, tensor: str, out: str, *, rows: int, columns: int, scale: float = 1.0) -> Buffer:
        """out[t] = row tokens[t] of the table · scale: [n, columns]."""
        self.tables.append(self._tensor(tensor, (rows, columns)))
        buffer = self._buffer(out, columns)
        self._emit("embed", tensor, out=buffer.index, table=len(self.tables) - 1, scale=scale)
        return buffer

    def rms_norm(
        self, x: Buffer, tensor: str, out: str | Buffer, *, eps: float, col: int = 0, width: int = 0, count: int = 1,
        add: bool = False,
    ) -> Buffer:  # fmt: skip
        """out = x / sqrt(mean(x²) + eps) · weight, over the whole row, or over each of ``count`` pieces of ``width``.

        With ``add`` it is out += …

        Pieces lie side by side from column ``col`` on and share the weight; where ``out`` is a buffer they keep their
        columns in it.
        """
        width = width or x.width
        buffer = out if isinstance(out, Buffer) else self._buffer(out, width * count)
        self._emit(
            "rms_norm", tensor, source=x.index, source_col=col,
            out=buffer.index, out_col=col if isinstance(out, Buffer) else 0,
            vector=self._vector([self._vector_tensor(tensor, width)]), width=width, count=count, eps=eps, add=add,
        )  # fmt: skip
        return buffer

    def layer_norm(self, x: Buffer, name: str, out: str, *, eps: float) -> Buffer:
        """out = (x − mean(x)) / sqrt(variance(x) + eps): [n, x.width]. ``name`` is for people: it has no tensor."""
        buffer = self._buffer(out, x.width)
        self._emit("layer_norm", name, source=x.index, out=buffer.index, eps=eps)
        return buffer

    def clamp(self, x: Buffer, *, limit: float) -> None:
        """All of x to −limit … limit, in place."""
        self._emit("clamp", "clamp", source=x.index, source_col=0, width=x.width, limit=limit)

    def matmul(
        self, x: Buffer, rows: Mapping[str, int], out: str | Buffer, *, bias: bool = False, add: bool = False,
        scale: float = 1.0, logit_cap: float = 0.0, col: int = 0,
    ) -> Buffer:  # fmt: skip
        """out = (x · Wᵀ (+ bias)) · scale, or out += with ``add``: [n, rows], those of several tensors side by side.

        ``logit_cap``: of logits alone, s become cap · tanh(s / cap); 0 for none. ``col``: out's first column.

        ``rows``: tensors with the number of their rows; their columns are x's. A bias is the tensor of the same name
        that ends in ``bias``. Neighbouring tensors of one type become one packed matrix: fewer barriers, longer
        streams.
        """
        infos = [self._matrix(name, n, x.width) for name, n in rows.items()]
        buffer = out if isinstance(out, Buffer) else self._buffer(out, sum(rows.values()))
        self._quantize(x, infos, rows)
        column = col
        for _, run in groupby(infos, key=lambda info: info.type):
            group = list(run)
            self.weights.append(group)
            self._emit(
                "matmul", "+".join(info.name for info in group), source=x.index, out=buffer.index, out_col=column,
                weight=len(self.weights) - 1, bias=self._biases(group) if bias else NONE, add=add,
                scale=scale, logit_cap=logit_cap,
            )  # fmt: skip
            column += sum(info.shape[0] for info in group)
        return buffer

    def router(self, scores: Buffer, out: str, *, experts: int, used: int, normalised: bool) -> Routing:
        """The ``used`` experts of highest score for each token, and their weights.

        Weights are the scores' softmax over all experts, ``normalised``: over those chosen. A score behind the experts'
        is that of a gate, whose weight is its sigmoid.
        """
        buffer = self._buffer(out, 2 * used + scores.width - experts)
        self._emit(
            "router", "router", source=scores.index, out=buffer.index, experts=experts, used=used, normalised=normalised
        )
        return Routing(buffer, experts, used)

    def experts(
        self, x: Buffer, rows: Mapping[str, int], routing: Routing, out: str, *, each: bool = False, spare: int = 0
    ) -> Buffer:
        """out = x · Wᵀ with the W of each token's experts: [n, tensors · used · rows (+ spare)].

        Side by side are the rows of one tensor for each of the experts, then those of the next tensor. ``rows``:
        tensors of [experts, rows, columns] with the number of their rows, which is the same for all. x is what all
        experts read or, with ``each``, has a piece for each of them.
        """
        used, n_rows = routing.used, next(iter(rows.values()))
        columns = x.width // used if each else x.width
        infos = [self._tensor(name, (routing.experts, n, columns)) for name, n in rows.items()]
        buffer = self._buffer(out, len(rows) * used * n_rows + spare)
        self._quantize(x, infos, rows)
        column = 0
        for _, run in groupby(infos, key=lambda info: info.type):
            group = list(run)
            self.weights.append(group)
            self._emit(
                "experts", "+".join(info.name for info in group), source=x.index, routing=routing.buffer.index,
                out=buffer.index, out_col=column, weight=len(self.weights) - 1, experts=routing.experts, used=used,
            )  # fmt: skip
            column += len(group) * used * n_rows
        return buffer

    def experts_sum(self, x: Buffer, routing: Routing, out: Buffer, *, count: int) -> None:
        """out += the ``count`` pieces of x, each times its weight: [n, out.width]."""
        self._emit(
            "experts_sum", "experts_sum", source=x.index, routing=routing.buffer.index, out=out.index,
            used=routing.used, count=count,
        )  # fmt: skip

    def rope(self, x: Buffer, *, heads: int, head_dim: int, table: int, style: RopeStyle, col: int = 0) -> None:
        """Rotates the first elements of ``heads`` heads of x in place, from column ``col`` on."""
        self._emit(
            "rope", "rope", source=x.index, source_col=col, heads=heads, head_dim=head_dim, table=table, style=style
        )

    def kv_store(self, x: Buffer, *, key_col: int, value_col: int, heads: int, head_dim: int) -> None:
        """Puts keys and values of all KV heads into the layer's cache, in the form that sessions keep."""
        self._emit(
            "kv_store", "kv_store", source=x.index, key_col=key_col, value_col=value_col, heads=heads, head_dim=head_dim
        )

    def attention(
        self, x: Buffer, out: str, *, heads: int, kv_heads: int, head_dim: int, col: int = 0,
        scale: float | None = None, window: int = 0, logit_cap: float = 0.0,
    ) -> Buffer:  # fmt: skip
        """out = softmax(q · Kᵀ · scale) · V over the layer's cache: [n, heads · head_dim]. Queries: from ``col`` on.

        ``scale``: 1 / sqrt(head_dim) where it is None. ``window``: how many positions a token sees, itself included; 0
        for all. ``logit_cap``: scores s become cap · tanh(s / cap); 0 for none.
        """
        buffer = self._buffer(out, heads * head_dim)
        self._emit(
            "attention", "attention", source=x.index, source_col=col, out=buffer.index,
            heads=heads, kv_heads=kv_heads, head_dim=head_dim,
            scale=usual_scale(head_dim) if scale is None else scale, window=window, logit_cap=logit_cap,
        )  # fmt: skip
        return buffer

    def swiglu(self, x: Buffer, out: str, *, activation: Activation = Activation.SILU) -> Buffer:
        """out = activation(first half of x) · second half: [n, x.width / 2]."""
        buffer = self._buffer(out, x.width // 2)
        self._emit("swiglu", "swiglu", source=x.index, out=buffer.index, activation=activation)
        return buffer

    def _tensor(self, name: str, shape: tuple[int, ...] | None = None, *, full: bool = False) -> TensorInfo:
        """A tensor of the model in a type that the engine computes with; Q4Error where it is missing or another."""
        info = self.file.tensor(name if full or self.layer is None else f"blk.{self.layer}.{name}", shape)
        info.require_usable()
        self.tensors.add(info.name)
        return info

    def _matrix(self, name: str, rows: int, columns: int) -> TensorInfo:
        """Of one row it may be a vector."""
        if rows == 1 and len(self._tensor(name).shape) == 1:
            return replace(self._tensor(name, (columns,)), shape=(1, columns))
        return self._tensor(name, (rows, columns))

    def _quantize(self, x: Buffer, infos: list[TensorInfo], names: Iterable[str]) -> None:
        """Where tensors that x is multiplied with want that, and nobody has done it."""
        if x.index not in self._quantized and any(info.type.block_size > 1 for info in infos):
            self._emit("quantize", "of " + "+".join(names), source=x.index)
            self._quantized.add(x.index)

    def _vector_tensor(self, name: str, size: int, *, full: bool = False) -> TensorInfo:
        info = self._tensor(name, (size,), full=full)
        if info.type is not TensorType.F32:
            raise Q4Error(f"{self.file.path}: tensor {shown(info.name)} is of type {info.type.name}, expected F32")
        return info

    def _biases(self, group: list[TensorInfo]) -> int:
        return self._vector(
            [self._vector_tensor(info.name.removesuffix("weight") + "bias", info.shape[0], full=True) for info in group]
        )

    def _buffer(self, name: str, width: int) -> Buffer:
        buffer = self.buffers.setdefault(name, Buffer(len(self.buffers), width))
        if buffer.width != width:
            raise ValueError(f"buffer {name} has {buffer.width} columns, not {width}")
        return buffer

    def _vector(self, tensors: list[TensorInfo]) -> int:
        self.vectors.append(tensors)
        return len(self.vectors) - 1

    def _emit(self, kind: str, name: str, **fields: int | float) -> None:
        self._quantized.discard(int(fields["source"] if kind in ("rope", "clamp") else fields.get("out", NONE)))
        layer = NONE if self.layer is None else self.layer
        label = name if layer == NONE or name.startswith("blk.") else f"blk.{layer}.{name}"
        self.ops.append(Op(kind, label, layer, self.last_only, {key: fields[key] for key in FIELDS[kind]}))


def usual_scale(head_dim: int) -> float:
    """1 / sqrt(head_dim), rounded to float32 twice, as the arithmetic contract has it."""
    return float(np.float32(1) / np.sqrt(np.float32(head_dim)))


def _check_factors(info: TensorInfo) -> None:
    factors = info.data.view("<f4")
    bad = (~(factors >= _MIN_ROPE_FACTOR) | ~np.isfinite(factors)).nonzero()[0]
    if len(bad):
        raise Q4Error(
            f"{info.path}: tensor {shown(info.name)} has {factors[bad[0]]:g} as element {bad[0]}, "
            f"expected finite factors from {_MIN_ROPE_FACTOR}"
        )
