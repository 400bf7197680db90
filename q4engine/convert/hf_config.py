"""config.json of the architectures that q4engine has: GGUF's keys, and what is done to the tensors on the way.

A key that would change the result and has no counterpart here is an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from q4engine.convert.json_file import JsonObject, told
from q4engine.errors import shown
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import pair

U32, F32, BOOL, STRING = ValueType.UINT32, ValueType.FLOAT32, ValueType.BOOL, ValueType.STRING
_DENSE = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_PRE_NORM = _DENSE | {"post_attention_layernorm": "ffn_norm"}
_QK_NORM = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_FOUR_NORMS = _DENSE | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_TWO_POST_NORMS = {key: name for key, name in _FOUR_NORMS.items() if name not in ("attn_norm", "ffn_norm")}
_SPLIT = ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up")
_PHI3 = {key: name for key, name in _PRE_NORM.items() if name not in _SPLIT}
_PHI3 |= {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"}


@dataclass(frozen=True)
class Family:
    """``tensors``: a layer's tensors without ``model.layers.N.`` and their ends. ``permutes``: the halves of Q's and
    K's heads become neighbours, as GGUF's RoPE of that architecture wants them. ``adds_one``: norms are stored less
    one.
    """

    architecture: str
    tensors: dict[str, str]
    more_keys: Callable[[JsonObject], list[bytes]] = lambda config: []
    permutes: bool = False
    adds_one: bool = False
    activation: str = "silu"
    norm_key: str = "rms_norm_eps"


@dataclass(frozen=True)
class Shape:
    """What the tensors' way needs to know of a model."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    tied: bool


def read_shape(config: JsonObject) -> Shape:
    """Q4Error where a size is missing or cannot be."""
    n_heads = config.integer("num_attention_heads", most=1 << 16)
    width = config.integer("hidden_size", most=1 << 24)
    return Shape(
        config.integer("num_hidden_layers", most=1 << 16),
        n_heads,
        config.integer("num_key_value_heads", n_heads, most=1 << 16),
        config.integer("head_dim", max(width // n_heads, 1), most=1 << 20),
        config.flag("tie_word_embeddings", family_of(config).architecture.startswith("gemma")),
    )


def family_of(config: JsonObject) -> Family:
    """By ``architectures``. Q4Error for one that has no row here."""
    names = config.list("architectures")
    if len(names) != 1 or names[0] not in FAMILIES:
        raise config.error("architectures", f"is {told(names)}, expected one of {', '.join(FAMILIES)}")
    return FAMILIES[names[0]]


def model_pairs(config: JsonObject, name: str) -> list[bytes]:
    """GGUF's keys of a model, but for the vocabulary."""
    family, shape = family_of(config), read_shape(config)
    # gemma2's first files say "gelu" and mean the other
    known = (_GELU, "gelu") if family.activation == _GELU else (family.activation,)
    for key in ("hidden_act", "hidden_activation"):
        if key in config and config.string(key) not in known:
            raise config.error(key, f"is {shown(config.string(key))}, expected {family.activation}")
    prefix = family.architecture + "."
    pairs = [
        pair("general.architecture", STRING, family.architecture),
        pair("general.name", STRING, name),
        pair(prefix + "block_count", U32, shape.n_layers),
        pair(prefix + "context_length", U32, config.integer("max_position_embeddings")),
        pair(prefix + "embedding_length", U32, config.integer("hidden_size")),
        pair(prefix + "feed_forward_length", U32, config.integer("intermediate_size")),
        pair(prefix + "attention.head_count", U32, shape.n_heads),
        pair(prefix + "attention.head_count_kv", U32, shape.n_kv_heads),
        pair(prefix + "vocab_size", U32, config.integer("vocab_size")),
    ]
    if family.norm_key:
        pairs.append(pair(prefix + "attention.layer_norm_rms_epsilon", F32, config.real(family.norm_key)))
    if shape.head_dim * shape.n_heads != config.integer("hidden_size"):
        pairs += [pair(prefix + f"attention.{what}_length", U32, shape.head_dim) for what in ("key", "value")]
    return [*pairs, *_rope_pairs(config, family, shape), *family.more_keys(config)]


# ---- RoPE ------------------------------------------------------------------------------------------------------------


def rope_of(config: JsonObject) -> JsonObject | None:
    """What scales RoPE: ``rope_scaling``, or ``rope_parameters`` as newer files have it."""
    for key in ("rope_scaling", "rope_parameters"):
        if key in config:
            scaling = config.object(key)
            return scaling.object("full_attention") if "full_attention" in scaling else scaling
    return None


def rope_kind(scaling: JsonObject | None) -> str:
    if scaling is None:
        return "default"
    return scaling.string("rope_type", scaling.string("type", "default"))


def _rope_base(config: JsonObject, default: float = 10000.0) -> float:
    scaling = rope_of(config)
    inside = scaling.real("rope_theta", default) if scaling is not None else default
    return config.real("rope_theta", inside)


def _rope_pairs(config: JsonObject, family: Family, shape: Shape) -> list[bytes]:
    prefix = family.architecture + ".rope."
    scaling = rope_of(config)
    share = config.real("partial_rotary_factor", 1.0 if scaling is None else scaling.real("partial_rotary_factor", 1.0))
    pairs = [
        pair(prefix + "freq_base", F32, _rope_base(config)),
        pair(prefix + "dimension_count", U32, int(shape.head_dim * share)),
    ]
    kind = rope_kind(scaling)
    if scaling is None or kind in ("default", "llama3"):  # llama3's are a tensor
        return pairs
    if kind == "linear":
        factor = pair(prefix + "scaling.factor", F32, scaling.real("factor"))
        return [*pairs, pair(prefix + "scaling.type", STRING, kind), factor]
    if kind == "yarn":
        return [*pairs, *_yarn_pairs(config, scaling, prefix + "scaling.")]
    if kind in ("longrope", "su") and family.architecture == "phi3":
        return [*pairs, *_longrope_pairs(config, scaling, prefix + "scaling.")]
    raise scaling.error("rope_type", f"is {shown(kind)}, which is not implemented for {family.architecture}")


def _yarn_pairs(config: JsonObject, scaling: JsonObject, prefix: str) -> list[bytes]:
    if not scaling.flag("truncate", True):
        raise scaling.error("truncate", "is false, which is not implemented")
    longest = config.integer("max_position_embeddings")
    trained = scaling.integer("original_max_position_embeddings", longest)
    factor = scaling.real("factor", longest / trained)

    def magnitude(share: float) -> float:
        return 1.0 + 0.1 * share * math.log(factor) if factor > 1 else 1.0

    part, of_all = scaling.real("mscale", 0.0), scaling.real("mscale_all_dim", 0.0)
    if min(part, of_all) < 0:
        raise scaling.error("mscale", f"is {part:g}, and that of all dimensions {of_all:g}, expected at least 0")
    attention = magnitude(part) / magnitude(of_all) if part and of_all else magnitude(1.0)
    attention = scaling.real("attention_factor", attention)
    pairs = [
        pair(prefix + "type", STRING, "yarn"),
        pair(prefix + "factor", F32, factor),
        pair(prefix + "original_context_length", U32, trained),
    ]
    if attention != magnitude(1.0):  # GGUF's is a share of the usual one
        pairs.append(pair(prefix + "attn_factor", F32, attention / magnitude(1.0)))
    betas = [key for key in ("beta_fast", "beta_slow") if key in scaling]
    return pairs + [pair(f"{prefix}yarn_{key}", F32, scaling.real(key)) for key in betas]


def _longrope_pairs(config: JsonObject, scaling: JsonObject, prefix: str) -> list[bytes]:
    key = "original_max_position_embeddings"
    trained = scaling.integer(key, config.integer(key, 4096), least=2)
    factor = scaling.real("factor", config.integer("max_position_embeddings") / trained)
    attention = math.sqrt(1 + math.log(factor) / math.log(trained)) if factor > 1 else 1.0
    return [
        pair(prefix + "original_context_length", U32, trained),
        pair(prefix + "attn_factor", F32, scaling.real("attention_factor", attention)),
    ]


def rope_tensors(config: JsonObject, shape: Shape) -> dict[str, np.ndarray]:
    """The divisors of RoPE's frequencies, where a model has its own: float32 [half a head]."""
    scaling = rope_of(config)
    kind = rope_kind(scaling)
    if scaling is None or kind not in ("llama3", "longrope", "su"):
        return {}
    if kind != "llama3":
        return {
            f"rope_factors_{name}.weight": np.array(scaling.reals(f"{name}_factor"), np.float32)
            for name in ("long", "short")
        }
    base, dim = _rope_base(config), shape.head_dim
    low, high = scaling.real("low_freq_factor", 1.0), scaling.real("high_freq_factor", 4.0)
    factor, trained = scaling.real("factor"), scaling.integer("original_max_position_embeddings", 8192)
    if not 0 < low < high or factor <= 0 or base <= 0:
        raise scaling.error("high_freq_factor", f"is {high} with a low one of {low} and a factor of {factor}")
    factors = []
    for index in range(0, dim, 2):
        wavelength = 2 * math.pi * base ** (index / dim)
        smooth = (trained / wavelength - low) / (high - low)
        smooth = min(max(smooth, 0.0), 1.0)
        factors.append(1 / ((1 - smooth) / factor + smooth))
    return {"rope_freqs.weight": np.array(factors, np.float32)}


# ---- the families ----------------------------------------------------------------------------------------------------


def _window(architecture: str) -> Callable[[JsonObject], list[bytes]]:
    def keys(config: JsonObject) -> list[bytes]:
        if "sliding_window" not in config:
            return []
        return [pair(f"{architecture}.attention.sliding_window", U32, config.integer("sliding_window"))]

    return keys


def _no_window(config: JsonObject) -> list[bytes]:
    """Qwen's window, which some layers have and which real files switch off."""
    if "sliding_window" in config and config.flag("use_sliding_window", False):
        raise config.error("use_sliding_window", "is true, which is not implemented for Qwen's models")
    return []


def _gemma2(config: JsonObject) -> list[bytes]:
    scale = config.real("query_pre_attn_scalar", float(config.integer("head_dim", 256)))
    if scale != config.integer("head_dim", 256) and not (config.integer("num_hidden_layers") == 46 and scale == 144):
        raise config.error("query_pre_attn_scalar", f"is {scale:g}, expected the head's width")
    return [
        pair("gemma2.attn_logit_softcapping", F32, config.real("attn_logit_softcapping")),
        pair("gemma2.final_logit_softcapping", F32, config.real("final_logit_softcapping")),
        pair("gemma2.attention.sliding_window", U32, config.integer("sliding_window")),
    ]


def _gemma3(config: JsonObject) -> list[bytes]:
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        if key in config:
            raise config.error(key, "is set, which is not implemented for gemma3")
    scale, width = config.real("query_pre_attn_scalar", 256.0), config.integer("head_dim", 256)
    if scale != width:
        raise config.error("query_pre_attn_scalar", f"is {scale:g}, expected the head's width, {width}")
    if config.flag("use_bidirectional_attention", False):
        raise config.error("use_bidirectional_attention", "is true, which is not implemented")
    rope = config.object("rope_parameters") if "rope_parameters" in config else config
    inside = rope.object("sliding_attention") if "sliding_attention" in rope else rope
    local = config.real("rope_local_base_freq", inside.real("rope_theta", 10000.0) if inside is not rope else 10000.0)
    if local != 10000:
        raise config.error("rope_local_base_freq", f"is {local:g}, expected 10000: GGUF has no key for it")
    return [pair("gemma3.attention.sliding_window", U32, config.integer("sliding_window"))]


def _granite(config: JsonObject) -> list[bytes]:
    keys = {
        "attention.scale": "attention_multiplier",
        "embedding_scale": "embedding_multiplier",
        "residual_scale": "residual_multiplier",
        "logit_scale": "logits_scaling",
    }
    return [pair(f"granite.{name}", F32, config.real(key, 1.0)) for name, key in keys.items()]


def _olmo(config: JsonObject) -> list[bytes]:
    pairs = [pair("olmo.attention.layer_norm_epsilon", F32, 1e-5)]  # a constant of the model's source
    if "clip_qkv" in config:
        pairs.append(pair("olmo.attention.clamp_kqv", F32, config.real("clip_qkv")))
    return pairs


def _smollm3(config: JsonObject) -> list[bytes]:
    pattern = config.list("no_rope_layers") if "no_rope_layers" in config else []
    expected = [int((layer + 1) % 4 != 0) for layer in range(config.integer("num_hidden_layers"))]
    if pattern and pattern != expected:
        raise config.error("no_rope_layers", f"is {told(pattern)}, expected every fourth layer without RoPE")
    return []


def _qwen2moe(config: JsonObject) -> list[bytes]:
    return [
        *_experts("qwen2moe", normalised=False)(config),
        pair("qwen2moe.expert_feed_forward_length", U32, config.integer("moe_intermediate_size")),
        pair("qwen2moe.expert_shared_feed_forward_length", U32, config.integer("shared_expert_intermediate_size")),
    ]


def _qwen3moe(config: JsonObject) -> list[bytes]:
    width = config.integer("moe_intermediate_size")
    return [*_experts("qwen3moe", normalised=True)(config), pair("qwen3moe.expert_feed_forward_length", U32, width)]


def _olmoe(config: JsonObject) -> list[bytes]:
    if "clip_qkv" in config:
        raise config.error("clip_qkv", "is set, which is not implemented for olmoe")
    return _experts("olmoe", normalised=False)(config)


def _experts(architecture: str, normalised: bool) -> Callable[[JsonObject], list[bytes]]:
    """``normalised``: whether the weights of the chosen experts add up to one, which GGUF has no key for."""

    def keys(config: JsonObject) -> list[bytes]:
        sparse = config.integer("decoder_sparse_step", 1)
        if sparse != 1 or config.values.get("mlp_only_layers"):
            raise config.error("decoder_sparse_step", f"is {sparse}, expected 1: experts in every layer")
        if config.flag("norm_topk_prob", False) is not normalised:
            raise config.error("norm_topk_prob", f"is {not normalised}, expected {normalised} for {architecture}")
        key = "num_experts" if "num_experts" in config else "num_local_experts"
        return [
            *_no_window(config),
            pair(f"{architecture}.expert_count", U32, config.integer(key, most=1 << 12)),
            pair(f"{architecture}.expert_used_count", U32, config.integer("num_experts_per_tok", most=1 << 12)),
        ]

    return keys


_MOE = {key: name for key, name in _PRE_NORM.items() if not key.startswith("mlp.")} | {
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
}
_GELU = "gelu_pytorch_tanh"
FAMILIES = {
    "LlamaForCausalLM": Family("llama", _PRE_NORM, permutes=True),
    "MistralForCausalLM": Family("llama", _PRE_NORM, _window("llama"), permutes=True),
    "Qwen2ForCausalLM": Family("qwen2", _PRE_NORM, _no_window),
    "Qwen3ForCausalLM": Family("qwen3", _PRE_NORM | _QK_NORM, _no_window),
    "Gemma2ForCausalLM": Family("gemma2", _FOUR_NORMS, _gemma2, adds_one=True, activation=_GELU),
    "Gemma3ForCausalLM": Family("gemma3", _FOUR_NORMS | _QK_NORM, _gemma3, adds_one=True, activation=_GELU),
    "Phi3ForCausalLM": Family("phi3", _PHI3, _window("phi3")),
    "OlmoForCausalLM": Family("olmo", _DENSE, _olmo, permutes=True, norm_key=""),
    "Olmo2ForCausalLM": Family("olmo2", _TWO_POST_NORMS | _QK_NORM),
    "SmolLM3ForCausalLM": Family("smollm3", _PRE_NORM, _smollm3, permutes=True),
    "GraniteForCausalLM": Family("granite", _PRE_NORM, _granite, permutes=True),
    "Qwen2MoeForCausalLM": Family("qwen2moe", _MOE, _qwen2moe),
    "Qwen3MoeForCausalLM": Family("qwen3moe", _MOE | _QK_NORM, _qwen3moe),
    "OlmoeForCausalLM": Family("olmoe", _MOE | _QK_NORM, _olmoe),
}
"""By config.json's ``architectures``."""
