"""Llama's graph: its operations in order, where Q, K and V lie, and what its optional tensors change."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.spec import ModelSpec
from models.tiny import TINY_LLAMA, write_tiny

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.gguf.types import TensorType
from q4engine.models import read_model
from q4engine.models.graph import NONE, Graph
from q4engine.models.llama import Llama

# Nothing is as wide as something else, so that no size stands in for another.
SPEC = TINY_LLAMA.with_changes(n_layers=2, dim=64, n_heads=6, n_kv_heads=2, head_dim=32, n_ffn=160)
LAYER = [
    ("rms_norm", "attn_norm.weight"),
    ("quantize", "of attn_q.weight+attn_k.weight+attn_v.weight"),
    ("matmul", "attn_q.weight+blk.{0}.attn_k.weight+blk.{0}.attn_v.weight"),
    ("rope", "rope"),
    ("kv_store", "kv_store"),
    ("attention", "attention"),
    ("quantize", "of attn_output.weight"),
    ("matmul", "attn_output.weight"),
    ("rms_norm", "ffn_norm.weight"),
    ("quantize", "of ffn_gate.weight+ffn_up.weight"),
    ("matmul", "ffn_gate.weight+blk.{0}.ffn_up.weight"),
    ("swiglu", "swiglu"),
    ("quantize", "of ffn_down.weight"),
    ("matmul", "ffn_down.weight"),
]


def read(folder: Path, spec: ModelSpec = SPEC) -> tuple[Llama, Graph]:
    with GGUFFile.open(write_tiny(folder / "synthetic-tiny.gguf", spec)) as file:
        config, graph = read_model(file)
    assert type(config) is Llama
    return config, graph


def test_the_operations_in_order(tmp_path: Path) -> None:
    _, graph = read(tmp_path)
    expected = [("embed", "token_embd.weight")]
    for layer in range(2):
        expected += [(kind, f"blk.{layer}." + name.format(layer)) for kind, name in LAYER]
    expected += [
        ("rms_norm", "output_norm.weight"),
        ("quantize", "of output.weight"),
        ("matmul", "output.weight"),
    ]
    assert [(op.kind, op.name) for op in graph.ops] == expected
    assert [op.layer for op in graph.ops] == [NONE, *[0] * 14, *[1] * 14, NONE, NONE, NONE]


def test_sizes_follow_from_heads_and_their_size(tmp_path: Path) -> None:
    config, graph = read(tmp_path)
    assert (config.n_heads, config.n_kv_heads, config.head_dim, config.rope_dim) == (6, 2, 32, 32)
    widths = {name: buffer.width for name, buffer in graph.buffers.items()}
    assert widths == {
        "residual": 64,
        "normed": 64,
        "qkv": 6 * 32 + 2 * 2 * 32,
        "attended": 6 * 32,
        "gate_up": 2 * 160,
        "ffn": 160,
        "output_normed": 64,
        "logits": SPEC.vocab_size,
    }


def test_keys_and_values_lie_behind_the_queries(tmp_path: Path) -> None:
    _, graph = read(tmp_path)
    by_kind = {op.kind: op.fields for op in graph.ops if op.layer == 1}
    qkv = graph.buffers["qkv"].index
    assert {by_kind[kind]["source"] for kind in ("rope", "kv_store", "attention")} == {qkv}
    assert (by_kind["rope"]["source_col"], by_kind["rope"]["heads"]) == (0, 6 + 2)  # queries and keys, not values
    stored = by_kind["kv_store"]
    assert (stored["key_col"], stored["value_col"], stored["heads"]) == (6 * 32, (6 + 2) * 32, 2)
    attended = by_kind["attention"]
    assert (attended["source_col"], attended["heads"], attended["kv_heads"]) == (0, 6, 2)


def test_what_is_added_to_the_residual(tmp_path: Path) -> None:
    _, graph = read(tmp_path)
    residual = graph.buffers["residual"].index
    matmuls = [op for op in graph.ops if op.kind == "matmul"]
    added = {op.name for op in matmuls if op.fields["add"]}
    assert added == {f"blk.{layer}.{name}.weight" for layer in (0, 1) for name in ("attn_output", "ffn_down")}
    assert {op.name for op in matmuls if op.fields["out"] == residual} == added


def test_a_tensor_of_another_type_is_a_product_of_its_own(tmp_path: Path) -> None:
    _, graph = read(tmp_path, SPEC.with_changes(types={"attn_v": TensorType.Q8_0}))
    columns = {op.name: op.fields["out_col"] for op in graph.ops if op.kind == "matmul" and op.layer == 0}
    assert columns["blk.0.attn_q.weight+blk.0.attn_k.weight"] == 0
    assert columns["blk.0.attn_v.weight"] == (6 + 2) * 32
    # the activations were quantised once for both
    assert sum(op.kind == "quantize" for op in graph.ops if op.layer == 0) == 4


def test_without_an_output_tensor_the_embedding_serves(tmp_path: Path) -> None:
    config, graph = read(tmp_path, SPEC.with_changes(tied_output=True))
    assert config.tied_output and "output.weight" not in graph.tensors
    assert graph.ops[-1].name == "token_embd.weight" == graph.weights[graph.ops[-1].index("weight")][0].name


def test_factors_of_rope_are_taken_where_the_file_has_them(tmp_path: Path) -> None:
    config, graph = read(tmp_path)
    (table,) = graph.rope_tables
    assert not config.rope_freqs and (table.dim, table.base, table.factors) == (32, 10000.0, None)
    config, graph = read(tmp_path, SPEC.with_changes(rope_freqs=True))
    (table,) = graph.rope_tables
    assert config.rope_freqs and table.factors is not None and table.factors.shape == (16,)


def test_a_tensor_that_no_operation_uses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Q4Error, match=r"gguf: tensor 'blk\.0\.attn_q_norm\.weight' is not part of a llama model"):
        read(tmp_path, SPEC.with_changes(head_norm=True))


def test_biases_are_taken_where_the_file_has_them(tmp_path: Path) -> None:
    config, graph = read(tmp_path, SPEC.with_changes(qkv_bias=True, other_biases=True))
    assert config.qkv_bias and config.output_bias and config.ffn_bias
    biased = [op.name for op in graph.ops if op.kind == "matmul" and op.index("bias") != NONE]
    assert len(biased) == 4 * config.n_layers and "output.weight" not in biased


def test_a_window_is_every_layers(tmp_path: Path) -> None:
    _, graph = read(tmp_path, SPEC.with_changes(keys={"attention.sliding_window": 7}))
    assert [op.fields["window"] for op in graph.ops if op.kind == "attention"] == [7, 7]


def test_linear_scaling_divides_every_frequency(tmp_path: Path) -> None:
    scaled = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    _, graph = read(tmp_path, SPEC.with_changes(keys=scaled, rope_freqs=True))
    (table,) = graph.rope_tables
    _, plain = read(tmp_path, SPEC.with_changes(rope_freqs=True))
    assert table.factors is not None and plain.rope_tables[0].factors is not None
    assert table.factors.tolist() == (4 * plain.rope_tables[0].factors).tolist()
