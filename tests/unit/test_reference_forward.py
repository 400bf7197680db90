"""The operations of the NumPy reference one by one, also what no supported architecture asks for yet.

Each against a formulation in float64 that goes element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from models.tiny import TINY_LLAMA, TINY_QWEN2MOE, write_tiny

from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize_tensor
from q4engine.models.graph import FIELDS, Activation, Buffer, Graph, RopeStyle, RopeTable
from q4engine.reference import ReferenceModel
from q4engine.reference.forward import OPERATIONS

TOKENS = [256, 3, 77, 77, 12, 319, 0, 45, 200, 131, 9]
PARTS = ("gate_inp", "up_exps", "gate_exps", "down_exps")
SPEC = TINY_LLAMA.with_changes(rope_freqs=True, weight_type=TensorType.F32)


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    with GGUFFile.open(write_tiny(tmp_path / "synthetic-tiny.gguf", SPEC)) as file:
        yield Graph(file)


def embedded(graph: Graph, scale: float = 1.0) -> tuple[Buffer, np.ndarray]:
    """The buffer that a graph begins with, and what it holds for TOKENS: float64 [n, 64]."""
    buffer = graph.embed("token_embd.weight", "x", rows=SPEC.vocab_size, columns=SPEC.dim, scale=scale)
    table = graph.file.tensor("token_embd.weight").data.view(np.float32).reshape(SPEC.vocab_size, SPEC.dim)
    return buffer, table[TOKENS].astype(np.float64)


def results(graph: Graph, cuts: tuple[int, ...] = ()) -> np.ndarray:
    """What the last operation gives for TOKENS, evaluated in batches that end at ``cuts``."""
    session = ReferenceModel(graph).session(len(TOKENS))
    ends = [*cuts, len(TOKENS)]
    starts = [0, *cuts]
    parts = [session.decode(TOKENS[a:b], all_logits=True) for a, b in zip(starts, ends, strict=True)]
    return np.concatenate(parts)


def test_every_kind_of_operation_has_its_function() -> None:
    assert set(OPERATIONS) == set(FIELDS)


def test_embedding_scaled(graph: Graph) -> None:
    _, x = embedded(graph, scale=8.0)
    np.testing.assert_array_equal(results(graph), (8 * x).astype(np.float32))


def test_norm_of_pieces_in_place(graph: Graph) -> None:
    """As for the heads of Q and K: columns 16 to 39 are three pieces of 8, the others stay."""
    buffer, x = embedded(graph)
    graph.rms_norm(buffer, "rope_freqs.weight", buffer, eps=0.25, col=16, width=8, count=3)
    weight = graph.file.tensor("rope_freqs.weight").data.view(np.float32)
    for row in x:
        for start in (16, 24, 32):
            piece = row[start : start + 8].copy()
            root = math.sqrt(sum(value**2 for value in piece) / 8 + 0.25)
            row[start : start + 8] = [value / root * w for value, w in zip(piece, weight, strict=True)]
    np.testing.assert_allclose(results(graph), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cuts", [(), (1, 2, 7)], ids=["whole", "cut"])
@pytest.mark.parametrize("window", [0, 1, 4, 11, 50])
@pytest.mark.parametrize("cap", [0.0, 1.5])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_attention(graph: Graph, cuts: tuple[int, ...], window: int, cap: float, scale: float | None) -> None:
    """A row of 64 holds two heads of queries, one of keys and one of values."""
    buffer, x = embedded(graph)
    graph.layer = 0
    graph.kv_store(buffer, key_col=32, value_col=48, heads=1, head_dim=16)
    graph.attention(buffer, "a", heads=2, kv_heads=1, head_dim=16, scale=scale, window=window, logit_cap=cap)
    expected = np.zeros((len(TOKENS), 32))
    for t, row in enumerate(x):
        seen = range(max(0, t - window + 1) if window else 0, t + 1)
        for head in (0, 16):
            scores = [float(row[head : head + 16] @ x[p, 32:48]) * (scale or 0.25) for p in seen]
            scores = [cap * math.tanh(score / cap) for score in scores] if cap else scores
            weights = [math.exp(score) for score in scores]
            mixed = sum(weight * x[p, 48:] for weight, p in zip(weights, seen, strict=True))
            expected[t, head : head + 16] = mixed / sum(weights)
    np.testing.assert_allclose(results(graph, cuts), expected, rtol=0, atol=2e-5)


def test_last_tokens_alone_unless_all_are_asked_for(graph: Graph) -> None:
    buffer, _ = embedded(graph)
    graph.layer = 0
    graph.kv_store(buffer, key_col=32, value_col=48, heads=1, head_dim=16)
    graph.last_only = True
    a = graph.attention(buffer, "a", heads=2, kv_heads=1, head_dim=16)
    graph.swiglu(a, "f")
    every = results(graph)
    last = ReferenceModel(graph).session(len(TOKENS)).decode(TOKENS)
    assert every.shape == (len(TOKENS), 16) and last.shape == (16,)
    np.testing.assert_allclose(last, every[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        (Activation.SILU, lambda x: x / (1 + math.exp(-x))),
        (Activation.GELU, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
    ],
    ids=["silu", "gelu"],
)
def test_gates(graph: Graph, activation: Activation, function: Callable[[float], float]) -> None:
    """GELU's approximation stays within 0.0005 of the function itself."""
    buffer, x = embedded(graph)
    graph.swiglu(buffer, "f", activation=activation)
    gate = np.array([[function(value) for value in row[:32]] for row in x])
    close = 5e-4 if activation is Activation.GELU else 1e-6
    assert (abs(results(graph) - gate * x[:, 32:]) <= close * abs(x[:, 32:]) + 1e-6).all()


@pytest.mark.parametrize("style", RopeStyle)
def test_two_tables_of_rope(graph: Graph, style: RopeStyle) -> None:
    """Head 1 of 16 by a table with factors, the first 8 elements of head 2 by one without."""
    buffer, x = embedded(graph)
    own = graph.rope_factors("rope_freqs.weight", 16)
    tables = [graph.rope_table(RopeTable(16, 100.0, own)), graph.rope_table(RopeTable(8, 10.0))]
    factors = [graph.file.tensor("rope_freqs.weight").data.view(np.float32), np.ones(4)]
    for head, table in enumerate(tables, start=1):
        graph.rope(buffer, col=16 * head, heads=1, head_dim=16, table=table, style=style)
    for position, row in enumerate(x):
        for head, dim, base, divisors in ((1, 16, 100.0, factors[0]), (2, 8, 10.0, factors[1])):
            for i in range(dim // 2):
                pair = [2 * i, 2 * i + 1] if style is RopeStyle.NORM else [i, i + dim // 2]
                a, b = (16 * head + at for at in pair)
                turn = complex(row[a], row[b]) * np.exp(1j * position * base ** (-2 * i / dim) / divisors[i])
                row[a], row[b] = turn.real, turn.imag
    np.testing.assert_allclose(results(graph), x, atol=1e-5)


@pytest.mark.parametrize(("far_from", "far"), [(len(TOKENS) - 1, True), (len(TOKENS), False)])
def test_rope_of_long_contexts_and_its_magnitude(graph: Graph, far_from: int, far: bool) -> None:
    """A context of one position more than the short factors are for takes the others, from its first token on."""
    buffer, x = embedded(graph)
    factors = [np.full(4, value, np.float32) for value in (1.0, 3.0)]
    table = RopeTable(8, 10.0, factors[0], 1.5, factors[1], far_from)
    graph.rope(buffer, heads=1, head_dim=16, table=graph.rope_table(table), style=RopeStyle.NEOX)
    for position, row in enumerate(x):
        for i in range(4):
            angle = position * 10.0 ** (-2 * i / 8) / (3 if far else 1)
            turn = 1.5 * complex(row[i], row[i + 4]) * np.exp(1j * angle)
            row[i], row[i + 4] = turn.real, turn.imag
    np.testing.assert_allclose(results(graph), x, atol=2e-5)


def test_layer_norm(graph: Graph) -> None:
    buffer, x = embedded(graph)
    graph.layer_norm(buffer, "norm", "y", eps=0.25)
    mean = x.mean(axis=1, keepdims=True)
    expected = (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + 0.25)
    np.testing.assert_allclose(results(graph), expected, atol=1e-5)


def test_clamp(graph: Graph) -> None:
    buffer, x = embedded(graph)
    graph.clamp(buffer, limit=0.5)
    assert abs(x).max() > 0.5
    np.testing.assert_array_equal(results(graph), np.clip(x, -0.5, 0.5).astype(np.float32))


@pytest.mark.parametrize("normalised", [False, True])
def test_router(graph: Graph, normalised: bool) -> None:
    """Of 63 experts seven, equal scores by rising number; the last column is a gate's."""
    buffer, x = embedded(graph)
    graph.clamp(buffer, limit=0.5)  # which makes many equal
    graph.router(buffer, "routing", experts=63, used=7, normalised=normalised)
    scores = np.clip(x, -0.5, 0.5)
    for row, found in zip(scores, results(graph), strict=True):
        chosen = sorted(range(63), key=lambda expert: (-row[expert], expert))[:7]
        total = sum(math.exp(row[expert]) for expert in (chosen if normalised else range(63)))
        assert found[:7].tolist() == chosen and len({row[expert] for expert in chosen}) == 1
        np.testing.assert_allclose(found[7:14], [math.exp(row[expert]) / total for expert in chosen], rtol=1e-5)
        assert found[14] == pytest.approx(1 / (1 + math.exp(-row[63])), rel=1e-5)


@pytest.mark.parametrize("cuts", [(), (1, 2, 7)], ids=["whole", "cut"])
def test_experts(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    """Two products with the matrices of three experts, the second of what the first made; their weighted sum."""
    spec = TINY_QWEN2MOE.with_changes(weight_type=TensorType.F32)
    with GGUFFile.open(write_tiny(tmp_path / "experts.gguf", spec)) as file:
        graph = Graph(file)
        buffer, _ = embedded(graph)
        graph.layer = 1
        scores = graph.matmul(buffer, {"ffn_gate_inp.weight": 6}, "scores")
        routing = graph.router(scores, "routing", experts=6, used=3, normalised=False)
        up = graph.experts(buffer, {"ffn_up_exps.weight": 64, "ffn_gate_exps.weight": 64}, routing, "up")
        one = graph.experts(graph.swiglu(up, "one"), {"ffn_down_exps.weight": 64}, routing, "down", each=True)
        graph.experts_sum(one, routing, buffer, count=3)
        w = {part: dequantize_tensor(file.tensor(f"blk.1.ffn_{part}.weight")).astype(np.float64) for part in PARTS}
        table = dequantize_tensor(file.tensor("token_embd.weight")).astype(np.float64)
        found = results(graph, cuts)
    for token, row in zip(TOKENS, found, strict=True):
        x = table[token]
        p = np.exp(w["gate_inp"] @ x)
        y = x.copy()
        for expert in np.argsort(-p)[:3]:
            first, second = (w[f"{part}_exps"][expert] @ x for part in ("up", "gate"))  # in this order here
            y += p[expert] / p.sum() * (w["down_exps"][expert] @ (first / (1 + np.exp(-first)) * second))
        np.testing.assert_allclose(row, y, rtol=1e-4, atol=1e-4)


def test_norm_added_to_what_is_there(graph: Graph) -> None:
    buffer, x = embedded(graph)
    graph.rms_norm(buffer, "output_norm.weight", "y", eps=0.25)
    graph.rms_norm(buffer, "output_norm.weight", Buffer(1, 64), eps=0.25, add=True)
    weight = graph.file.tensor("output_norm.weight").data.view(np.float32)
    normed = x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 0.25) * weight
    np.testing.assert_allclose(results(graph), 2 * normed, atol=1e-5)


def test_product_scaled_and_capped(graph: Graph) -> None:
    buffer, x = embedded(graph)
    graph.matmul(buffer, {"output.weight": SPEC.vocab_size}, "y", scale=0.25, logit_cap=1.5)
    weight = graph.file.tensor("output.weight").data.view(np.float32).reshape(-1, 64)
    expected = 1.5 * np.tanh(x @ weight.T.astype(np.float64) / 4 / 1.5)
    np.testing.assert_allclose(results(graph), expected, atol=1e-5)


def test_products_side_by_side_and_added(graph: Graph) -> None:
    buffer, x = embedded(graph)
    graph.layer = 1
    qk = graph.matmul(buffer, {"attn_q.weight": 64, "attn_k.weight": 32}, "qk")
    graph.matmul(buffer, {"attn_q.weight": 64, "attn_k.weight": 32}, qk, add=True)
    q, k = (graph.file.tensor(f"blk.1.attn_{part}.weight").data.view(np.float32).reshape(-1, 64) for part in "qk")
    expected = 2 * np.concatenate([x @ q.T.astype(np.float64), x @ k.T.astype(np.float64)], axis=1)
    np.testing.assert_allclose(results(graph), expected, atol=1e-5)
