"""config.json of every family: the keys that it becomes, and the ones that would change the result and are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from gguf_bytes import F32, U32, pair

from q4engine.convert.hf_config import FAMILIES, model_pairs, read_shape
from q4engine.convert.json_file import JsonObject
from q4engine.errors import Q4Error
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import array_pair

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": 320,
}
GEMMA = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 24, "hidden_activation": "gelu_pytorch_tanh"}
MORE = {
    "gemma2": GEMMA | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3": GEMMA,
    "qwen2moe": {"moe_intermediate_size": 32, "shared_expert_intermediate_size": 48},
    "qwen3moe": {"moe_intermediate_size": 32, "norm_topk_prob": True},
}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2}
WINDOW = {"Olmo3ForCausalLM": {"sliding_window": 24}}
BASES = {"Gemma3ForCausalLM": 1e6, "SmolLM3ForCausalLM": 2e6, "Olmo3ForCausalLM": 5e5}
TIED = ["Gemma2ForCausalLM", "Gemma3ForCausalLM", "SmolLM3ForCausalLM"]


def config(name: str, **changes: Any) -> JsonObject:
    more = MORE.get(FAMILIES[name].architecture, {}) | WINDOW.get(name, {}) | (EXPERTS if "moe" in name.lower() else {})
    return JsonObject(Path("config.json"), {"architectures": [name]} | SIZES | more | changes)


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes(name: str) -> None:
    pairs = model_pairs(config(name), "m")
    architecture = FAMILIES[name].architecture
    for key, value in {"block_count": 4, "embedding_length": 64, "attention.head_count_kv": 2}.items():
        assert pair(f"{architecture}.{key}", U32, value) in pairs
    assert pair(f"{architecture}.rope.freq_base", F32, BASES.get(name, 10000.0)) in pairs


def test_what_classes_have_where_a_file_says_nothing() -> None:
    """As their configuration classes in transformers."""
    assert [name for name in FAMILIES if read_shape(config(name)).tied] == TIED
    assert pair("llama.attention.sliding_window", U32, 4096) in model_pairs(config("MistralForCausalLM"), "m")
    without = model_pairs(config("MistralForCausalLM", sliding_window=None), "m")
    assert not any(b"sliding_window" in found for found in without)


def flags(*values: bool) -> bytes:
    return array_pair("gemma3.attention.sliding_window_pattern", ValueType.BOOL, values)


LOCAL, FULL = "sliding_attention", "full_attention"


def test_which_layers_see_a_window() -> None:
    usual = model_pairs(config("Gemma3ForCausalLM", num_hidden_layers=6, layer_types=[LOCAL] * 5 + [FULL]), "m")
    assert not any(b"sliding_window_pattern" in found for found in usual)
    listed = model_pairs(config("Gemma3ForCausalLM", layer_types=[FULL, LOCAL, LOCAL, FULL]), "m")
    assert flags(False, True, True, False) in listed
    counted = model_pairs(config("Gemma3ForCausalLM", sliding_window_pattern=3), "m")
    assert flags(True, True, False, True) in counted
    olmo3 = model_pairs(config("Olmo3ForCausalLM", layer_types=[LOCAL] * 3 + [FULL]), "m")
    assert pair("olmo2.attention.sliding_window", U32, 24) in olmo3


def test_the_base_of_layers_with_a_window() -> None:
    both = {FULL: {"rope_theta": 1e6}, LOCAL: {"rope_type": "default", "rope_theta": 5000.0}}
    for changes in ({"rope_local_base_freq": 5000.0}, {"rope_parameters": both}):
        pairs = model_pairs(config("Gemma3ForCausalLM", **changes), "m")
        assert pair("gemma3.rope.freq_base_swa", F32, 5000.0) in pairs
        assert pair("gemma3.rope.freq_base", F32, 1e6) in pairs


def test_what_families_add() -> None:
    assert pair("gemma2.attn_logit_softcapping", F32, 50.0) in model_pairs(config("Gemma2ForCausalLM"), "m")
    assert pair("llama.attention.sliding_window", U32, 24) in model_pairs(
        config("MistralForCausalLM", sliding_window=24), "m"
    )
    granite = model_pairs(config("GraniteForCausalLM", logits_scaling=3.0, embedding_multiplier=2.0), "m")
    assert pair("granite.logit_scale", F32, 3.0) in granite and pair("granite.embedding_scale", F32, 2.0) in granite
    assert pair("olmo.attention.clamp_kqv", F32, 8.0) in model_pairs(config("OlmoForCausalLM", clip_qkv=8.0), "m")
    moe = model_pairs(config("Qwen3MoeForCausalLM"), "m")
    assert pair("qwen3moe.expert_count", U32, 6) in moe and pair("qwen3moe.expert_used_count", U32, 2) in moe


YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32}
LONG = {"rope_type": "longrope", "long_factor": [1.0] * 8, "short_factor": [1.0] * 8}
SCALED = {
    "linear": ("LlamaForCausalLM", {"rope_type": "linear", "factor": 4.0}, {"factor": 4.0}),
    "YaRN": ("Qwen3ForCausalLM", YARN, {"factor": 8.0, "attn_factor": None, "yarn_beta_fast": None}),
    "its factor left out": ("LlamaForCausalLM", {"rope_type": "yarn"}, {"factor": 1.0}),
    "its ramp": ("LlamaForCausalLM", YARN | {"beta_fast": 8, "beta_slow": 0.5}, {"yarn_beta_fast": 8.0}),
    # GGUF's is a share of 1 + 0.1 ln 8
    "its attention": ("LlamaForCausalLM", YARN | {"attention_factor": 1.5}, {"attn_factor": 1.5 / 1.2079441541679836}),
    "its attention by two scales": (
        "LlamaForCausalLM", YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}, {"attn_factor": 1 / 1.2079441541679836},
    ),
    "long factors": (
        "Phi3ForCausalLM", LONG | {"original_max_position_embeddings": 64, "factor": 4.0},
        {"attn_factor": math.sqrt(1 + math.log(4) / math.log(64))},
    ),
    "their attention": ("Phi3ForCausalLM", LONG | {"attention_factor": 1.3}, {"attn_factor": 1.3}),
}  # fmt: skip
"""What is scaled, and GGUF's keys of it behind ``rope.scaling.``; None: there is none."""


@pytest.mark.parametrize("name", SCALED)
def test_scaled_rope(name: str) -> None:
    family, scaling, expected = SCALED[name]
    pairs = model_pairs(config(family, rope_scaling=scaling), "m")
    for key, value in expected.items():
        full = f"{FAMILIES[family].architecture}.rope.scaling.{key}"
        if value is None:
            assert not any(full.encode() in found for found in pairs)
        else:
            assert pair(full, F32, value) in pairs


REFUSED = {
    "a window of some layers": ("Qwen2ForCausalLM", {"sliding_window": 8, "use_sliding_window": True}, "is true"),
    "another scale": ("Gemma2ForCausalLM", {"query_pre_attn_scalar": 144}, "is 144, expected the head's width"),
    "gemma3's scale": ("Gemma3ForCausalLM", {"query_pre_attn_scalar": 168}, "is 168, expected the head's width, 16"),
    "a cap of gemma3": ("Gemma3ForCausalLM", {"final_logit_softcapping": 30.0}, "not implemented for gemma3"),
    "two directions": ("Gemma3ForCausalLM", {"use_bidirectional_attention": True}, "is true, which is not"),
    "a scaled local base": (
        "Gemma3ForCausalLM",
        {"rope_parameters": {LOCAL: {"rope_type": "linear", "factor": 2.0}}},
        "is 'linear', expected default",
    ),
    "two bases of OLMo 3": ("Olmo3ForCausalLM", {"rope_local_base_freq": 5000.0}, "has a base of 5000 in layers with"),
    "a kind of layers": ("Gemma2ForCausalLM", {"layer_types": [LOCAL] * 3 + ["linear"]}, "one of two kinds for each"),
    "kinds of other layers": ("Gemma3ForCausalLM", {"layer_types": [LOCAL] * 3}, "one of two kinds for each layer"),
    "a window of one layer": ("Qwen3ForCausalLM", {"layer_types": [FULL, LOCAL]}, "expected full_attention for every"),
    "a layer without window": (
        "MistralForCausalLM",
        {"sliding_window": 8, "layer_types": [LOCAL, FULL]},
        "has 'full_attention', expected sliding_attention",
    ),
    "a window of SmolLM3": ("SmolLM3ForCausalLM", {"sliding_window": 8, "use_sliding_window": True}, "is true"),
    "another interval": ("SmolLM3ForCausalLM", {"no_rope_layer_interval": 3}, "is 3, expected 4"),
    "a share of the head": ("LlamaForCausalLM", {"partial_rotary_factor": 0.5}, "is 0.5, which is not implemented"),
    "another GELU": ("Gemma2ForCausalLM", {"hidden_activation": "gelu"}, "is 'gelu', expected gelu_pytorch_tanh"),
    "some layers without experts": (
        "Qwen3MoeForCausalLM",
        {"mlp_only_layers": [1]},
        "mlp_only_layers' is [1], expected",
    ),
    "another pattern": ("SmolLM3ForCausalLM", {"no_rope_layers": [1, 1, 1, 1]}, "expected every fourth layer"),
    "weights of experts": ("Qwen3MoeForCausalLM", {"norm_topk_prob": False}, "is false, expected true for qwen3moe"),
    "weights of experts, unsaid": ("Qwen3MoeForCausalLM", {"norm_topk_prob": None}, "is false, expected true for"),
    "weights of experts, the other way": ("OlmoeForCausalLM", {"norm_topk_prob": True}, "is true, expected false for"),
    "a clamp of olmoe": ("OlmoeForCausalLM", {"clip_qkv": 8.0}, "is set, which is not implemented for olmoe"),
    "a window with experts": ("Qwen3MoeForCausalLM", {"sliding_window": 8, "use_sliding_window": True}, "is true"),
    "a ramp that is not rounded": ("LlamaForCausalLM", {"rope_scaling": YARN | {"truncate": False}}, "truncate' is"),
    "a negative mscale": (
        "LlamaForCausalLM",
        {"rope_scaling": YARN | {"mscale": 1.0, "mscale_all_dim": -1.0}},
        "expected at least 0",
    ),
    "layers without experts": ("OlmoeForCausalLM", {"decoder_sparse_step": 2}, "experts in every layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_result(name: str) -> None:
    family, changes, expected = REFUSED[name]
    with pytest.raises(Q4Error) as caught:
        model_pairs(config(family, **changes), "m")
    assert expected in str(caught.value) and str(caught.value).startswith("config.json: key '")
