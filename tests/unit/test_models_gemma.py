"""Gemma's graphs: which layers see a window, what RoPE they have, what is scaled and capped."""

from __future__ import annotations

from pathlib import Path

import pytest
from models.spec import ModelSpec
from models.tiny import TINY_GEMMA2, TINY_GEMMA3, write_tiny

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.models import read_model
from q4engine.models.gemma2 import Gemma2
from q4engine.models.gemma3 import Gemma3
from q4engine.models.graph import Activation, Graph, usual_scale


def read(folder: Path, spec: ModelSpec) -> tuple[Gemma2, Graph]:
    with GGUFFile.open(write_tiny(folder / "synthetic-tiny.gguf", spec)) as file:
        config, graph = read_model(file)
    assert isinstance(config, Gemma2)
    return config, graph


def refusal(folder: Path, spec: ModelSpec) -> str:
    with pytest.raises(Q4Error) as caught:
        read(folder, spec)
    return str(caught.value)


def test_every_other_layer_of_gemma2_sees_a_window(tmp_path: Path) -> None:
    config, graph = read(tmp_path, TINY_GEMMA2)
    assert config.windows == (24, 0, 24)
    attention = [op.fields for op in graph.ops if op.kind == "attention"]
    assert [fields["window"] for fields in attention] == [24, 0, 24]
    assert {(fields["scale"], fields["logit_cap"]) for fields in attention} == {(usual_scale(16), 5.0)}
    assert graph.ops[-1].fields["logit_cap"] == 8.0 and len(graph.rope_tables) == 1
    assert {op.fields["activation"] for op in graph.ops if op.kind == "swiglu"} == {Activation.GELU}
    assert graph.ops[0].fields["scale"] == 8.0  # the root of 64


def test_gemma2_has_a_window_where_the_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, TINY_GEMMA2.with_changes(keys={}))[0].windows == (4096, 0, 4096)


def test_gemma2_has_caps_where_the_file_says_nothing(tmp_path: Path) -> None:
    config, _ = read(tmp_path, TINY_GEMMA2.with_changes(keys={}))
    assert (config.score_cap, config.logit_cap) == (50.0, 30.0)
    config, _ = read(tmp_path, TINY_GEMMA3)
    assert (config.score_cap, config.logit_cap) == (0.0, 0.0)


def test_factors_of_its_own_are_not_for_layers_with_a_window(tmp_path: Path) -> None:
    _, graph = read(tmp_path, TINY_GEMMA3.with_changes(rope_freqs=True))
    local, everywhere = graph.rope_tables
    assert local.factors is None and everywhere.factors is not None


@pytest.mark.parametrize(("kind", "n_layers"), [(Gemma2, 46), (Gemma3, 62)])
def test_the_largest_models_scale_scores_by_another_size(tmp_path: Path, kind: type[Gemma2], n_layers: int) -> None:
    spec = TINY_GEMMA3 if kind is Gemma3 else TINY_GEMMA2
    config, _ = read(tmp_path, spec.with_changes(n_layers=n_layers))
    assert config.attention_scale == pytest.approx((64 / spec.n_heads) ** -0.5)


def test_the_sixth_layer_of_gemma3_sees_everything_by_a_rope_of_its_own(tmp_path: Path) -> None:
    stretched = {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}
    config, graph = read(tmp_path, TINY_GEMMA3.with_changes(n_layers=7, keys=TINY_GEMMA3.keys | stretched))
    assert config.windows == (24, 24, 24, 24, 24, 0, 24)
    local, everywhere = graph.rope_tables
    assert (local.base, local.factors) == (10000.0, None)
    assert everywhere.base == 1e6 and everywhere.factors is not None and set(everywhere.factors.tolist()) == {8.0}
    assert [op.fields["table"] for op in graph.ops if op.kind == "rope"] == [0, 0, 0, 0, 0, 1, 0]


def test_norms_of_heads_and_of_what_is_added(tmp_path: Path) -> None:
    _, graph = read(tmp_path, TINY_GEMMA3)
    names = [op.name.removeprefix("blk.0.") for op in graph.ops if op.kind == "rms_norm" and op.layer == 0]
    assert names == [
        "attn_norm.weight", "attn_q_norm.weight", "attn_k_norm.weight", "post_attention_norm.weight", "ffn_norm.weight",
        "post_ffw_norm.weight",
    ]  # fmt: skip
    added = [op.name for op in graph.ops if op.kind == "rms_norm" and op.fields["add"] and op.layer == 0]
    assert added == ["blk.0.post_attention_norm.weight", "blk.0.post_ffw_norm.weight"]
    heads = {op.name: op.fields for op in graph.ops if "_norm" in op.name and op.fields.get("width") == 32}
    assert (heads["blk.0.attn_q_norm.weight"]["count"], heads["blk.0.attn_q_norm.weight"]["source_col"]) == (3, 0)
    assert (heads["blk.0.attn_k_norm.weight"]["count"], heads["blk.0.attn_k_norm.weight"]["source_col"]) == (1, 96)


def test_a_period_of_windows_that_the_file_names(tmp_path: Path) -> None:
    keys = TINY_GEMMA3.keys | {"attention.sliding_window_pattern": 3}
    assert read(tmp_path, TINY_GEMMA3.with_changes(keys=keys))[0].windows == (24, 24, 0, 24, 24, 0)


def test_windows_layer_by_layer(tmp_path: Path) -> None:
    keys = TINY_GEMMA3.keys | {"attention.sliding_window_pattern": [True, False, False, True, True, False]}
    assert read(tmp_path, TINY_GEMMA3.with_changes(keys=keys))[0].windows == (24, 0, 0, 24, 24, 0)
    keys = TINY_GEMMA3.keys | {"attention.sliding_window_pattern": [True, False]}
    assert "has 2 elements, expected 6, one a layer" in refusal(tmp_path, TINY_GEMMA3.with_changes(keys=keys))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"attention.sliding_window": 0}, "'gemma3.attention.sliding_window' is 0, expected 1 to"),
        ({"attention.sliding_window_pattern": 0}, "'gemma3.attention.sliding_window_pattern' is 0, expected 1 to"),
        ({"rope.freq_base_swa": 0.5}, "'gemma3.rope.freq_base_swa' is 0.5, expected 1 to"),
        ({"attn_logit_softcapping": -1.0}, "'gemma3.attn_logit_softcapping' is -1, expected 0 to"),
        ({"final_logit_softcapping": float("nan")}, "'gemma3.final_logit_softcapping' is nan, expected a finite"),
        ({"final_logit_softcapping": 1e-30}, "'gemma3.final_logit_softcapping' is 1e-30, expected 0 or at least"),
    ],
)
def test_keys_out_of_range(tmp_path: Path, keys: dict[str, int | float], words: str) -> None:
    assert words in refusal(tmp_path, TINY_GEMMA3.with_changes(keys={**TINY_GEMMA3.keys, **keys}))
