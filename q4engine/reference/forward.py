"""Each kind of operation as one function in plain float32 NumPy, written to be read.

n is the number of tokens that an operation serves, T of all tokens so far. Arrays that ``Call.rows`` gives are views:
writing to them is writing to the buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from q4engine.kv_forms import KVForm
from q4engine.models.graph import NONE, Activation, Graph, Op, RopeStyle
from q4engine.reference.weights import Weights


class KVCache:
    """Keys and values of every layer that stores them: [n_ctx, KV heads, head_dim], as float32."""

    def __init__(self, graph: Graph, n_ctx: int, form: KVForm = "f16") -> None:
        self.n_ctx = n_ctx
        self.kept = in_8_bits if form == "q8_0" else as_it_is
        stores = [op for op in graph.ops if op.kind == "kv_store"]
        shapes = {op.layer: (n_ctx, op.index("heads"), op.index("head_dim")) for op in stores}
        self.keys = {layer: np.zeros(shape, np.float32) for layer, shape in shapes.items()}
        self.values = {layer: np.zeros(shape, np.float32) for layer, shape in shapes.items()}


@dataclass
class Call:
    """One call of the executor: its tokens, and the buffers that its operations fill, a row for each token."""

    graph: Graph
    weights: Weights
    cache: KVCache
    tokens: np.ndarray
    positions: np.ndarray
    all_logits: bool
    buffers: list[np.ndarray] = field(init=False)
    _turns: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        widths = [buffer.width for buffer in self.graph.buffers.values()]
        self.buffers = [np.empty((len(self.tokens), width), np.float32) for width in widths]

    def served(self, op: Op) -> slice:
        """The tokens that the operation serves: all, or the last alone."""
        return slice(-1 if op.last and not self.all_logits else 0, None)

    def rows(self, op: Op, name: str) -> np.ndarray:
        """A buffer of the operation, its rows of the tokens served: [n, width], a view."""
        return self.buffers[op.index(name)][self.served(op)]

    def turns(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines of each pair at each position, [tokens, dim / 2], worked out once a call."""
        if index not in self._turns:
            table = self.graph.rope_tables[index]
            frequencies = table.base ** (-2 * np.arange(table.dim // 2, dtype=np.float64) / table.dim)
            factors = table.factors_for(self.cache.n_ctx)
            angles = self.positions[:, None] * (frequencies if factors is None else frequencies / factors)
            cos, sin = np.cos(angles) * table.magnitude, np.sin(angles) * table.magnitude
            self._turns[index] = cos.astype(np.float32), sin.astype(np.float32)
        return self._turns[index]

    def vector(self, index: int) -> np.ndarray:
        """Norm weights, or biases side by side."""
        parts = [self.weights[tensor.name] for tensor in self.graph.vectors[index]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def embed(call: Call, op: Op) -> None:
    table = call.weights[call.graph.tables[op.index("table")].name]
    call.rows(op, "out")[:, : table.shape[1]] = table[call.tokens[call.served(op)]] * np.float32(op.fields["scale"])


def rms_norm(call: Call, op: Op) -> None:
    """x / sqrt(mean(x²) + eps) · weight, for each piece x of a row; added to what is there, or in its place."""
    x = _pieces(call.rows(op, "source"), op.index("source_col"), op.index("count"), op.index("width"))
    scaled = x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + np.float32(op.fields["eps"]))
    scaled *= call.vector(op.index("vector"))
    out = _pieces(call.rows(op, "out"), op.index("out_col"), op.index("count"), op.index("width"))
    out[...] = out + scaled if op.fields["add"] else scaled


def layer_norm(call: Call, op: Op) -> None:
    """(x − mean(x)) / sqrt(variance(x) + eps), for each row x."""
    x = call.rows(op, "source")
    apart = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(np.square(apart), axis=-1, keepdims=True)
    call.rows(op, "out")[...] = apart / np.sqrt(variance + np.float32(op.fields["eps"]))


def clamp(call: Call, op: Op) -> None:
    x = _pieces(call.rows(op, "source"), op.index("source_col"), 1, op.index("width"))
    np.clip(x, -op.fields["limit"], op.fields["limit"], out=x)


def quantize(call: Call, op: Op) -> None:
    """Nothing: products here are of float32."""


def matmul(call: Call, op: Op) -> None:
    """(x · Wᵀ + bias) · scale, capped, tensor by tensor, side by side from ``out_col`` on."""
    x, out, column, bias = call.rows(op, "source"), call.rows(op, "out"), op.index("out_col"), op.index("bias")
    for index, tensor in enumerate(call.graph.weights[op.index("weight")]):
        weight = np.atleast_2d(call.weights[tensor.name])  # [rows, columns]
        place = out[:, column : column + len(weight)]
        y = x @ weight.T
        if bias != NONE:
            y += call.weights[call.graph.vectors[bias][index].name]
        y = soft_cap(y * np.float32(op.fields["scale"]), op.fields["logit_cap"])
        place[...] = place + y if op.fields["add"] else y
        column += len(weight)


def router(call: Call, op: Op) -> None:
    """Softmax over all experts, or over those chosen; of equal scores the first is taken. Then the gate's sigmoid."""
    scores, out = call.rows(op, "source"), call.rows(op, "out")
    experts, used = op.index("experts"), op.index("used")
    chosen = np.argsort(-scores[:, :experts], axis=1, kind="stable")[:, :used]
    if op.fields["normalised"]:
        weights = softmax(np.take_along_axis(scores, chosen, axis=1))
    else:
        weights = np.take_along_axis(softmax(scores[:, :experts]), chosen, axis=1)
    out[:, :used], out[:, used : 2 * used] = chosen, weights
    out[:, 2 * used :] = 1 / (1 + np.exp(-scores[:, experts:]))


def experts(call: Call, op: Op) -> None:
    """x · Wᵀ by expert: the tokens that go to it, each at its place among the token's experts."""
    x, out, used = call.rows(op, "source"), call.rows(op, "out"), op.index("used")
    chosen, column = call.rows(op, "routing")[:, :used], op.index("out_col")
    for tensor in call.graph.weights[op.index("weight")]:
        weight = call.weights[tensor.name]  # [experts, rows, columns]
        _, rows, columns = weight.shape
        pieces, place = _pieces(x, 0, x.shape[1] // columns, columns), _pieces(out, column, used, rows)
        for expert in np.unique(chosen):
            token, slot = np.nonzero(chosen == expert)
            own = slot if pieces.shape[1] > 1 else 0
            place[token, slot] = pieces[token, own] @ weight[int(expert)].T
        column += used * rows


def experts_sum(call: Call, op: Op) -> None:
    out, count, used = call.rows(op, "out"), op.index("count"), op.index("used")
    weights = call.rows(op, "routing")[:, used : used + count]
    pieces = _pieces(call.rows(op, "source"), 0, count, out.shape[1])
    out += np.einsum("np,npd->nd", weights, pieces)


def rope(call: Call, op: Op) -> None:
    """Rotates the first elements of every head by position · frequency, in place.

    NORM pairs neighbours (2i, 2i+1), NEOX pairs the halves (i, i + dim / 2).
    """
    x = _pieces(call.rows(op, "source"), op.index("source_col"), op.index("heads"), op.index("head_dim"))
    cos, sin = (turn[call.served(op), None, :] for turn in call.turns(op.index("table")))  # [n, 1, dim / 2]
    half = cos.shape[-1]
    if op.index("style") == RopeStyle.NORM:
        first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    else:
        first, second = slice(0, half), slice(half, 2 * half)
    a, b = x[..., first], x[..., second]
    x[..., first], x[..., second] = a * cos - b * sin, a * sin + b * cos


def kv_store(call: Call, op: Op) -> None:
    x, positions = call.rows(op, "source"), call.positions[call.served(op)]
    heads, head_dim = op.index("heads"), op.index("head_dim")
    call.cache.keys[op.layer][positions] = call.cache.kept(_pieces(x, op.index("key_col"), heads, head_dim))
    call.cache.values[op.layer][positions] = call.cache.kept(_pieces(x, op.index("value_col"), heads, head_dim))


def as_it_is(x: np.ndarray) -> np.ndarray:
    return x


def in_8_bits(x: np.ndarray) -> np.ndarray:
    """What int8 and a scale of fp16 make of each 32 values of a head."""
    blocks = x.reshape(*x.shape[:-1], -1, 32)
    largest = np.abs(blocks).max(axis=-1, keepdims=True)
    factor = np.where(largest > 0, np.float32(127) / np.where(largest > 0, largest, 1), 0)
    scale = (largest / np.float32(127)).astype(np.float16).astype(np.float32)
    y: np.ndarray = (np.rint(blocks * factor) * scale).reshape(x.shape)
    return y


def attention(call: Call, op: Op) -> None:
    """Causal attention over the layer's cache. Heads come in groups of heads / kv_heads that share one KV head. Queries
    are rounded as the keys are that they meet."""
    heads, head_dim, group = op.index("heads"), op.index("head_dim"), op.index("heads") // op.index("kv_heads")
    q = _pieces(call.rows(op, "source"), op.index("source_col"), heads, head_dim) * np.float32(op.fields["scale"])
    q, cap = call.cache.kept(q), op.fields["logit_cap"]
    out = _pieces(call.rows(op, "out"), 0, heads, head_dim)
    end = int(call.positions[-1]) + 1
    keys, values = call.cache.keys[op.layer][:end], call.cache.values[op.layer][:end]  # [T, kv_heads, head_dim]
    distance = call.positions[call.served(op), None] - np.arange(end)  # [n, T]
    unseen = distance < 0
    if op.index("window"):
        unseen |= distance >= op.index("window")
    for head in range(heads):
        scores = soft_cap(q[:, head] @ keys[:, head // group].T, cap)  # [n, T]
        scores[unseen] = -np.inf
        out[:, head] = softmax(scores) @ values[:, head // group]


def swiglu(call: Call, op: Op) -> None:
    """The activation of the gate, the first half of a row, times the second half."""
    x, out = call.rows(op, "source"), call.rows(op, "out")
    width = out.shape[1]
    out[...] = ACTIVATIONS[Activation(op.index("activation"))](x[:, :width]) * x[:, width : 2 * width]


OPERATIONS: dict[str, Callable[[Call, Op], None]] = {
    "embed": embed,
    "rms_norm": rms_norm,
    "quantize": quantize,
    "matmul": matmul,
    "rope": rope,
    "kv_store": kv_store,
    "attention": attention,
    "swiglu": swiglu,
    "layer_norm": layer_norm,
    "clamp": clamp,
    "router": router,
    "experts": experts,
    "experts_sum": experts_sum,
}


def silu(x: np.ndarray) -> np.ndarray:
    """x · sigmoid(x), by tanh, which cannot overflow."""
    y: np.ndarray = np.float32(0.5) * x * (1 + np.tanh(np.float32(0.5) * x))
    return y


def gelu(x: np.ndarray) -> np.ndarray:
    """x · Φ(x) by its usual approximation: Φ(x) = (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2."""
    inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x)
    y: np.ndarray = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y


ACTIVATIONS: dict[Activation, Callable[[np.ndarray], np.ndarray]] = {Activation.SILU: silu, Activation.GELU: gelu}


def soft_cap(x: np.ndarray, cap: float) -> np.ndarray:
    """cap · tanh(x / cap), x itself where the cap is 0."""
    return np.float32(cap) * np.tanh(x / np.float32(cap)) if cap else x


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    weights: np.ndarray = np.exp(x - x.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def _pieces(rows: np.ndarray, column: int, count: int, width: int) -> np.ndarray:
    """``count`` pieces of ``width`` columns from ``column`` on: [n, count, width], a view."""
    return rows[:, column : column + count * width].reshape(len(rows), count, width)
