"""The language that models are written in: a list of operations over named buffers, executed by native/execute.c.

A buffer holds ``width`` float32 values for each token of a call. Operations refer to GGUF tensors by name; inside a
layer the prefix ``blk.<layer>.`` is implied. Building a graph touches no tensor data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from q4engine.gguf import GGUFFile, TensorInfo

NONE = -1
ADD = 1
LAST = 2


@dataclass(frozen=True)
class Buffer:
    """Activations of a call: ``width`` float32 values a token."""

    index: int
    width: int


@dataclass(frozen=True)
class Op:
    """One operation, as native/model.h has it. Columns are offsets within a buffer's row."""

    kind: str
    name: str
    layer: int
    source: int = NONE
    source_col: int = 0
    out: int = NONE
    out_col: int = 0
    heads: int = 0
    weight: int = NONE
    vector: int = NONE
    table: int = NONE
    flags: int = 0

    def as_tuple(self) -> tuple[str, str, int, int, int, int, int, int, int, int, int, int]:
        """The fields in the order that the native module reads them."""
        return (
            self.kind, self.name, self.layer, self.source, self.source_col, self.out, self.out_col,
            self.heads, self.weight, self.vector, self.table, self.flags,
        )  # fmt: skip


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
    """Packed matrices: tensors of one type and width, one below the other."""
    vectors: list[list[TensorInfo]] = field(default_factory=list)
    tables: list[TensorInfo] = field(default_factory=list)
    _quantized: set[int] = field(default_factory=set)

    def embed(self, tensor: str, out: str) -> Buffer:
        """out[t] = row tokens[t] of the table: [n, columns]."""
        info = self._tensor(tensor)
        self.tables.append(info)
        buffer = self._buffer(out, info.shape[1])
        self._emit("embed", tensor, out=buffer, table=len(self.tables) - 1)
        return buffer

    def rms_norm(self, x: Buffer, tensor: str, out: str) -> Buffer:
        """out = x / sqrt(mean(x²) + eps) · weight: [n, width]."""
        buffer = self._buffer(out, x.width)
        self._emit("rms_norm", tensor, source=x, out=buffer, vector=self._vector([self._tensor(tensor)]))
        return buffer

    def matmul(
        self, x: Buffer, tensors: Sequence[str], out: str | Buffer, *, bias: bool = False, add: bool = False
    ) -> Buffer:
        """out = x · Wᵀ (+ bias), or out += with ``add``: [n, rows], the rows of several tensors side by side.

        Neighbouring tensors of one type become one packed matrix: fewer barriers, longer streams.
        """
        infos = [self._tensor(name) for name in tensors]
        buffer = out if isinstance(out, Buffer) else self._buffer(out, sum(info.shape[0] for info in infos))
        if x.index not in self._quantized and any(info.type.block_size > 1 for info in infos):
            self._emit("quantize", "of " + "+".join(tensors), source=x)
            self._quantized.add(x.index)
        column = 0
        for _, run in groupby(infos, key=lambda info: info.type):
            group = list(run)
            self.weights.append(group)
            biases = [self._tensor(info.name.rsplit(".", 1)[0] + ".bias", full=True) for info in group] if bias else []
            self._emit(
                "matmul",
                "+".join(info.name for info in group),
                source=x,
                out=buffer,
                out_col=column,
                weight=len(self.weights) - 1,
                vector=self._vector(biases) if bias else NONE,
                flags=ADD if add else 0,
            )
            column += sum(info.shape[0] for info in group)
        return buffer

    def rope(self, x: Buffer, col: int, heads: int) -> None:
        """Rotates ``heads`` heads of x in place, from column ``col`` on."""
        self._emit("rope", "rope", source=x, source_col=col, heads=heads)

    def kv_store(self, x: Buffer, *, k_col: int, v_col: int) -> None:
        """Rounds keys and values to fp16 and puts them into the layer's KV cache."""
        self._emit("kv_store", "kv_store", source=x, source_col=k_col, out_col=v_col)

    def attention(self, x: Buffer, out: str, *, width: int) -> Buffer:
        """out = softmax(q · Kᵀ / sqrt(head_dim)) · V over the layer's cache: [n, heads · head_dim]. Queries lead x."""
        buffer = self._buffer(out, width)
        self._emit("attention", "attention", source=x, out=buffer)
        return buffer

    def swiglu(self, x: Buffer, out: str, *, width: int) -> Buffer:
        """out = silu(x[:, :width]) · x[:, width:]: [n, width]."""
        buffer = self._buffer(out, width)
        self._emit("swiglu", "swiglu", source=x, out=buffer)
        return buffer

    def _tensor(self, name: str, *, full: bool = False) -> TensorInfo:
        return self.file.tensor(name if full or self.layer is None else f"blk.{self.layer}.{name}")

    def _buffer(self, name: str, width: int) -> Buffer:
        buffer = self.buffers.setdefault(name, Buffer(len(self.buffers), width))
        if buffer.width != width:
            raise ValueError(f"buffer {name} has {buffer.width} columns, not {width}")
        return buffer

    def _vector(self, tensors: list[TensorInfo]) -> int:
        self.vectors.append(tensors)
        return len(self.vectors) - 1

    def _emit(
        self, kind: str, name: str, *, source: Buffer | None = None, source_col: int = 0, out: Buffer | None = None,
        out_col: int = 0, heads: int = 0, weight: int = NONE, vector: int = NONE, table: int = NONE, flags: int = 0,
    ) -> None:  # fmt: skip
        if out is not None:
            self._quantized.discard(out.index)
        layer = NONE if self.layer is None else self.layer
        label = name if layer == NONE or name.startswith("blk.") else f"blk.{layer}.{name}"
        self.ops.append(
            Op(
                kind=kind, name=label, layer=layer,
                source=NONE if source is None else source.index, source_col=source_col,
                out=NONE if out is None else out.index, out_col=out_col, heads=heads,
                weight=weight, vector=vector, table=table, flags=flags | (LAST if self.last_only else 0),
            )
        )  # fmt: skip
