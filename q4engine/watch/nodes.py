"""What a node of ggml's graphs is in the words of captures, from the text that native/watch/tensors.c writes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

_OPERATIONS = {
    "RMS_NORM": "rms_norm",
    "NORM": "layer_norm",
    "ROPE": "rope",
    "FLASH_ATTN_EXT": "attention",
    "SOFT_MAX": "attention",
    "SET_ROWS": "kv_store",
    "MUL_MAT_ID": "experts",
}
"""ggml's name of an operation -> the capture's, where that is not the same in lower case."""

_LAYER = re.compile(r"blk\.(\d{1,9})\.|_l(\d{1,9})\b|-(\d{1,9})\b")
_NUMBER = re.compile(r"[0-9]{1,20}")
_WEIGHT = ".weight"


@dataclass(frozen=True)
class _Tensor:
    op: str
    name: str
    type: str
    ne: tuple[int, int, int, int]
    n_bytes: int
    address: int = 0

    @property
    def is_weight(self) -> bool:
        return self.op == "NONE" and self.name.endswith(_WEIGHT)

    @property
    def rows(self) -> int:
        return self.ne[1] * self.ne[2] * self.ne[3]

    def __str__(self) -> str:
        sizes = list(self.ne)
        while len(sizes) > 1 and sizes[-1] == 1:
            sizes.pop()
        return f"{self.type}[{'x'.join(map(str, sizes))}]"


class Place(NamedTuple):
    """Where a tensor's data lie: from the address `start` up to `end`."""

    start: int
    end: int
    name: str
    is_weight: bool


@dataclass(frozen=True)
class Node:
    """One operation of a graph. tensor: the weight that it reads, '' where it reads none; shape: its rows x columns.

    weight_bytes: of it that are read, None where the node does not tell. tokens: that it handles, 0 where only the call
    tells. operands: types and sizes (ggml's order, columns first) of its result and of what it reads.
    """

    op: str
    name: str
    layer: int | None = None
    tensor: str = ""
    type: str = ""
    shape: str = ""
    weight_bytes: int | None = None
    tokens: int = 0
    operands: str = ""
    kv_row_bytes: int = 0
    """Of a cache's row that it stores."""
    places: tuple[Place, ...] = ()
    """Of its result and of what it reads."""

    def n_eval(self, of_call: int) -> int:
        return min(self.tokens, of_call) if self.tokens else of_call


UNKNOWN = Node("unknown", "")


def parse(text: str) -> Node:
    """A node from its lines; what is not as expected makes it unknown."""
    roles: list[tuple[str, _Tensor]] = []
    for line in text.splitlines():
        cells = line.split("\t")
        if len(cells) != 10 or not all(map(_NUMBER.fullmatch, cells[4:])):
            continue
        ne = (int(cells[4]), int(cells[5]), int(cells[6]), int(cells[7]))
        roles.append((cells[0], _Tensor(cells[1], cells[2], cells[3].upper(), ne, int(cells[8]), int(cells[9]))))
    if not roles or roles[0][0] != "node":
        return UNKNOWN
    first = roles[0][1]
    then = next((tensor for role, tensor in roles if role == "then"), None)
    # what a multiplication takes of the norm that is done with it is no operand of the two
    sources = [tensor for role, tensor in roles if role == "from" and (then is None or tensor.name != first.name)]
    places = tuple(Place(t.address, t.address + t.n_bytes, t.name, t.is_weight) for _, t in roles)
    return replace(_described(first, then, sources), places=places)


def _described(node: _Tensor, then: _Tensor | None, sources: list[_Tensor]) -> Node:
    result = then or node
    weight = next((tensor for tensor in sources if tensor.is_weight), None)
    op, tokens, n_bytes, kv_row_bytes = _OPERATIONS.get(node.op, node.op.lower()), _tokens(result), None, 0
    shape = ""
    if node.op == "MUL_MAT":
        op, tokens = ("attention", 0) if weight is None else ("gemv" if node.rows == 1 else "gemm", node.rows)
    elif node.op == "SET_ROWS":
        kv_row_bytes, tokens = node.n_bytes // max(1, node.rows), 0
    elif node.op == "GET_ROWS":
        op, tokens = ("embedding" if weight else "get_rows"), result.rows
    elif node.op == "MUL_MAT_ID":
        tokens = node.ne[2]
    if weight is not None:
        n_bytes = _bytes_read(node, weight, tokens, sources)
        if node.op in ("MUL_MAT", "GET_ROWS"):
            shape = f"{weight.rows}x{weight.ne[0]}"
        elif node.op == "MUL_MAT_ID":  # of experts those that one token meets
            shape = f"{weight.ne[1] * result.ne[1]}x{weight.ne[0]}"
    names = [tensor.name for tensor in ([weight, result] if weight else [result, *sources])]
    return Node(
        op=op,
        name=result.name,
        layer=_layer(names),
        tensor=weight.name.removesuffix(_WEIGHT) if weight else "",
        type=weight.type if weight else "",
        shape=shape,
        weight_bytes=n_bytes,
        tokens=tokens,
        operands=" ".join([str(result), "<-", *map(str, sources)]),
        kv_row_bytes=kv_row_bytes,
    )


def _bytes_read(node: _Tensor, weight: _Tensor, tokens: int, sources: list[_Tensor]) -> int | None:
    """Of the weight. To how many experts several tokens go, the graph does not tell."""
    if node.op == "GET_ROWS":
        return weight.n_bytes // max(1, weight.rows) * tokens
    if node.op == "MUL_MAT_ID":
        experts, used = weight.ne[2], node.ne[1]
        return weight.n_bytes // max(1, experts) * used if tokens == 1 else None
    return weight.n_bytes


def _tokens(result: _Tensor) -> int:
    """Columns are ne0; with three dimensions heads are ne1 and tokens ne2. One row of three may be either: the call
    tells (Node.n_eval takes the lower)."""
    return result.ne[2] if result.ne[2] > 1 else result.ne[1]


def _layer(names: list[str]) -> int | None:
    """From the first name that has one: blk.7.attn_q.weight, cache_k_l7, Qcur-7."""
    for name in names:
        if match := _LAYER.search(name):
            return int(next(filter(None, match.groups())))
    return None
