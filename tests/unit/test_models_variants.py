"""Phi-3, SmolLM3, Granite and OLMo 2: what their graphs have that others have not, and keys out of range."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.spec import ModelSpec
from models.tiny import TINY_GRANITE, TINY_OLMO, TINY_OLMO2, TINY_PHI3, TINY_SMOLLM3, write_tiny

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.models import read_model
from q4engine.models.granite import Granite
from q4engine.models.graph import Graph
from q4engine.models.olmo import OLMo
from q4engine.models.olmo2 import OLMo2
from q4engine.models.phi3 import Phi3
from q4engine.models.smollm3 import SmolLM3
from q4engine.models.transformer import Transformer


def read(folder: Path, spec: ModelSpec) -> tuple[Transformer, Graph]:
    with GGUFFile.open(write_tiny(folder / "synthetic-tiny.gguf", spec)) as file:
        config, graph = read_model(file)
    assert isinstance(config, Transformer)
    return config, graph


def with_keys(spec: ModelSpec, **keys: object) -> ModelSpec:
    """``rope_scaling_type`` stands for ``rope.scaling.type``: dots are double underscores."""
    return spec.with_changes(keys=spec.keys | {key.replace("__", "."): value for key, value in keys.items()})


def test_phi3_has_fused_tensors_and_two_sets_of_factors(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_PHI3)
    assert isinstance(config, Phi3) and config.windows == (40, 40)
    first = [op.name for op in graph.ops if op.kind == "matmul" and op.layer == 0]
    assert first == [f"blk.0.{name}.weight" for name in ("attn_qkv", "attn_output", "ffn_up", "ffn_down")]
    (table,) = graph.rope_tables
    assert (table.dim, table.magnitude, table.far_from) == (12, 1.125, 64)
    short, long = table.factors_for(64), table.factors_for(65)
    assert short is not None and long is not None and short.mean() < 2 < long.mean()
    assert graph.tensors >= {"rope_factors_short.weight", "rope_factors_long.weight"}


def test_phi3_without_factors_turns_as_it_was_trained(tmp_path: Path) -> None:
    for keys, magnitude in ((TINY_PHI3.keys, 1.125), ({}, 1.0)):
        _, graph = read(tmp_path, TINY_PHI3.with_changes(long_factors=False, keys=keys))
        (table,) = graph.rope_tables
        assert (table.factors, table.far, table.magnitude) == (None, None, magnitude)


def test_every_fourth_layer_of_smollm3_has_no_rope(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_SMOLLM3)
    assert isinstance(config, SmolLM3)
    assert [op.layer for op in graph.ops if op.kind == "rope"] == [0, 1, 2, 4]


def test_multipliers_of_granite(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_GRANITE)
    assert isinstance(config, Granite)
    scales = {op.name.removeprefix("blk.1."): op.fields["scale"] for op in graph.ops if "scale" in op.fields}
    assert scales["token_embd.weight"] == 12.0 and scales["attention"] == 0.125
    assert scales["attn_output.weight"] == scales["ffn_down.weight"] == 0.25
    assert scales["output.weight"] == 0.25  # divided by 4
    assert scales["ffn_gate.weight+blk.1.ffn_up.weight"] == 1.0
    assert any(op.kind == "rope" for op in graph.ops)


def test_granite_may_have_no_rope(tmp_path: Path) -> None:
    _, graph = read(tmp_path, with_keys(TINY_GRANITE, rope__scaling__finetuned=False))
    assert not any(op.kind == "rope" for op in graph.ops)


def test_olmo_has_norms_without_weights_and_clamps_queries_keys_and_values(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_OLMO)
    assert isinstance(config, OLMo)
    kinds = [op.kind for op in graph.ops if op.layer == 0]
    assert kinds[:5] == ["layer_norm", "quantize", "matmul", "clamp", "rope"] and kinds.count("layer_norm") == 2
    (clamp, _) = (op.fields for op in graph.ops if op.kind == "clamp")
    assert (clamp["source_col"], clamp["width"], clamp["limit"]) == (0, graph.buffers["qkv"].width, 1.0)
    _, graph = read(tmp_path, TINY_OLMO.with_changes(keys={}))
    assert not any(op.kind == "clamp" for op in graph.ops)


def test_parts_of_olmo2_read_the_residual_and_are_normed_before_they_join_it(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_OLMO2)
    assert isinstance(config, OLMo2) and not any(config.windows)
    residual = graph.buffers["residual"].index
    layer = [op for op in graph.ops if op.layer == 1]
    reading = [op.name for op in layer if op.kind == "matmul" and op.index("source") == residual]
    assert reading == [
        "blk.1.attn_q.weight+blk.1.attn_k.weight+blk.1.attn_v.weight", "blk.1.ffn_gate.weight+blk.1.ffn_up.weight",
    ]  # fmt: skip
    norms = [
        (op.name.removeprefix("blk.1."), op.index("width"), op.fields["add"]) for op in layer if "eps" in op.fields
    ]
    assert norms == [
        ("attn_q_norm.weight", 64, False), ("attn_k_norm.weight", 32, False),
        ("post_attention_norm.weight", 64, True), ("post_ffw_norm.weight", 64, True),
    ]  # fmt: skip


def test_windows_of_olmo3_are_never_stretched(tmp_path: Path) -> None:
    yarn = {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0}
    config, graph = read(tmp_path, with_keys(TINY_OLMO2, attention__sliding_window=24, **yarn))
    assert config.windows == (24, 24, 24, 0)
    tables = [graph.rope_tables[op.index("table")] for op in graph.ops if op.kind == "rope"]
    assert [table.factors is None for table in tables] == [True, True, True, False]
    assert tables[3].magnitude > 1


def test_factors_of_its_own_are_not_for_layers_with_a_window(tmp_path: Path) -> None:
    _, graph = read(tmp_path, with_keys(TINY_OLMO2, attention__sliding_window=24).with_changes(rope_freqs=True))
    assert [table.factors is None for table in graph.rope_tables] == [False, True]


@pytest.mark.parametrize(
    ("spec", "keys", "words"),
    [
        (TINY_PHI3, {"rope__scaling__type": "yarn"}, "rope.scaling.type' is 'yarn', expected 'longrope'"),
        (TINY_PHI3, {"rope__scaling__attn_factor": 0.0}, "rope.scaling.attn_factor' is 0, expected 0.00390625"),
        (TINY_PHI3, {"rope__scaling__original_context_length": 0}, "original_context_length' is 0, expected 1 to"),
        (TINY_PHI3, {"rope__scaling__factor": 32.0}, "rope.scaling.factor' is 32, expected 0 or 1: not supported"),
        (TINY_PHI3, {"rope__dimension_count": 14}, "rope_factors_short.weight' has shape (6,), expected (7,)"),
        (TINY_SMOLLM3, {"attention__sliding_window": 9}, "attention.sliding_window' is 9, expected 0: not supported"),
        (TINY_GRANITE, {"embedding_scale": 0.0}, "embedding_scale' is 0, expected 8.67362e-19 to 1.15292e+18"),
        (TINY_GRANITE, {"residual_scale": float("nan")}, "residual_scale' is nan, expected a finite"),
        (TINY_GRANITE, {"logit_scale": 0.0}, "logit_scale' is 0, expected"),
        (TINY_GRANITE, {"attention__scale": -1.0}, "attention.scale' is -1, expected 0 to"),
        (TINY_GRANITE, {"expert_count": 32}, "expert_count' is 32, expected 0: not supported"),
        (TINY_OLMO, {"attention__clamp_kqv": -8.0}, "attention.clamp_kqv' is -8, expected 0 to"),
        (TINY_OLMO, {"attention__clamp_kqv": float("inf")}, "attention.clamp_kqv' is inf, expected a finite"),
        (TINY_OLMO.with_changes(rms_eps=0.0), {}, "attention.layer_norm_epsilon' is 0, expected 1e-30"),
        (TINY_OLMO2, {"attention__sliding_window": 0}, "attention.sliding_window' is 0, expected 1 to"),
        (TINY_OLMO2, {"attention__clamp_kqv": 8.0}, "attention.clamp_kqv' is 8, expected 0: not supported"),
    ],
)
def test_keys_out_of_range(tmp_path: Path, spec: ModelSpec, keys: dict[str, object], words: str) -> None:
    with pytest.raises(Q4Error) as caught:
        read(tmp_path, with_keys(spec, **keys))
    assert words in str(caught.value)
