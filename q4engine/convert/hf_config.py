"""config.json of the architectures that q4engine has: GGUF's keys, and what is done to the tensors on the way.

A key that would change the result and has no counterpart here is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from q4engine.convert.hf_rope import local_rope_base, rope_base, rope_pairs
from q4engine.convert.json_file import JsonObject, told
from q4engine.errors import shown
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import array_pair, pair

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
    rope_base: float = 10000.0
    """Where the file does not say."""
    tied: bool = False
    """Likewise whether output and embedding are one."""


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
        config.flag("tie_word_embeddings", family_of(config).tied),
    )


def family_of(config: JsonObject) -> Family:
    """By ``architectures``. Q4Error for one that has no row here."""
    names = config.list("architectures")
    if len(names) != 1 or not isinstance(names[0], str) or names[0] not in FAMILIES:
        raise config.error("architectures", f"is {told(names)}, expected one of {', '.join(FAMILIES)}")
    return FAMILIES[names[0]]


def model_pairs(config: JsonObject, name: str) -> list[bytes]:
    """GGUF's keys of a model, but for the vocabulary."""
    family, shape = family_of(config), read_shape(config)
    # the first files of Gemma's say "gelu" in the older key and mean the other
    for key, known in (("hidden_act", (family.activation, "gelu")), ("hidden_activation", (family.activation,))):
        known = known if family.activation == _GELU else known[:1]
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
    turns = rope_pairs(config, family.architecture, family.rope_base, shape.head_dim)
    return [*pairs, *turns, *family.more_keys(config)]


# ---- the families ----------------------------------------------------------------------------------------------------


def _everywhere(config: JsonObject) -> list[bytes]:
    """No layer sees a window: Qwen's, which some layers have, is switched off in real files."""
    if "sliding_window" in config and config.flag("use_sliding_window", False):
        raise config.error("use_sliding_window", "is true, which is not implemented for this architecture")
    return _same_kind(config, "full_attention")


def _same_kind(config: JsonObject, kind: str) -> list[bytes]:
    kinds = config.list("layer_types") if "layer_types" in config else []
    other = next((found for found in kinds if found != kind), None)
    if other is not None:
        raise config.error("layer_types", f"has {told(other)}, expected {kind} for every layer")
    return []


def _window(architecture: str, usual: int | None = None) -> Callable[[JsonObject], list[bytes]]:
    """All layers see a window, ``usual`` where the file has no such key; null is none."""

    def keys(config: JsonObject) -> list[bytes]:
        window = config.values.get("sliding_window", usual)
        if window is None:
            return _same_kind(config, "full_attention")
        window = config.integer("sliding_window", usual or 0)
        same = _same_kind(config, "sliding_attention")
        return [*same, pair(f"{architecture}.attention.sliding_window", U32, window)]

    return keys


def _windows(config: JsonObject, architecture: str, period: int) -> list[bytes]:
    """Some layers see a window, usually all but the last of ``period``."""
    prefix, n_layers = f"{architecture}.attention.", config.integer("num_hidden_layers")
    usual = [(layer + 1) % period != 0 for layer in range(n_layers)]
    if "layer_types" in config:
        kinds = config.list("layer_types")
        if len(kinds) != n_layers or not {"sliding_attention", "full_attention"}.issuperset(map(str, kinds)):
            raise config.error("layer_types", f"is {told(kinds)}, expected one of two kinds for each layer")
        flags = [kind == "sliding_attention" for kind in kinds]
    else:
        own = config.integer("sliding_window_pattern", period) if architecture == "gemma3" else period
        flags = [(layer + 1) % own != 0 for layer in range(n_layers)]
    pairs = [pair(prefix + "sliding_window", U32, config.integer("sliding_window"))]
    if flags != usual:
        pairs.append(array_pair(prefix + "sliding_window_pattern", BOOL, flags))
    return pairs


def _gemma2(config: JsonObject) -> list[bytes]:
    scale = config.real("query_pre_attn_scalar", float(config.integer("head_dim", 256)))
    if scale != config.integer("head_dim", 256) and not (config.integer("num_hidden_layers") == 46 and scale == 144):
        raise config.error("query_pre_attn_scalar", f"is {scale:g}, expected the head's width")
    return [
        pair("gemma2.attn_logit_softcapping", F32, config.real("attn_logit_softcapping")),
        pair("gemma2.final_logit_softcapping", F32, config.real("final_logit_softcapping")),
        *_windows(config, "gemma2", 2),
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
    pairs, local = _windows(config, "gemma3", 6), local_rope_base(config, 10000.0)
    return pairs + [pair("gemma3.rope.freq_base_swa", F32, local)] * (local != 10000)


def _olmo3(config: JsonObject) -> list[bytes]:
    base = rope_base(config, _OLMO3_BASE)
    if (local := local_rope_base(config, base)) != base:
        raise config.error("rope_parameters", f"has a base of {local:g} in layers with a window, expected {base:g}")
    return _windows(config, "olmo2", 4)


def _granite(config: JsonObject) -> list[bytes]:
    keys = {
        "attention.scale": "attention_multiplier",
        "embedding_scale": "embedding_multiplier",
        "residual_scale": "residual_multiplier",
        "logit_scale": "logits_scaling",
    }
    scales = [pair(f"granite.{name}", F32, config.real(key, 1.0)) for name, key in keys.items()]
    return scales + _everywhere(config)


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
    if not pattern and config.integer("no_rope_layer_interval", 4) != 4:
        raise config.error("no_rope_layer_interval", f"is {config.integer('no_rope_layer_interval')}, expected 4")
    return _everywhere(config)


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
        if sparse != 1:
            raise config.error("decoder_sparse_step", f"is {sparse}, expected 1: experts in every layer")
        if layers := config.values.get("mlp_only_layers"):
            raise config.error("mlp_only_layers", f"is {told(layers)}, expected none: experts in every layer")
        if config.flag("norm_topk_prob", False) is not normalised:
            found, expected = told(not normalised), told(normalised)
            raise config.error("norm_topk_prob", f"is {found}, expected {expected} for {architecture}")
        key = "num_experts" if "num_experts" in config else "num_local_experts"
        return [
            *_everywhere(config),
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
_OLMO3_BASE = 500000.0
FAMILIES = {
    "LlamaForCausalLM": Family("llama", _PRE_NORM, _everywhere, permutes=True),
    "MistralForCausalLM": Family("llama", _PRE_NORM, _window("llama", 4096), permutes=True),
    "Qwen2ForCausalLM": Family("qwen2", _PRE_NORM, _everywhere),
    "Qwen3ForCausalLM": Family("qwen3", _PRE_NORM | _QK_NORM, _everywhere),
    "Gemma2ForCausalLM": Family("gemma2", _FOUR_NORMS, _gemma2, adds_one=True, activation=_GELU, tied=True),
    "Gemma3ForCausalLM": Family(
        "gemma3", _FOUR_NORMS | _QK_NORM, _gemma3, adds_one=True, activation=_GELU, rope_base=1e6, tied=True
    ),
    "Phi3ForCausalLM": Family("phi3", _PHI3, _window("phi3")),
    "OlmoForCausalLM": Family("olmo", _DENSE, _olmo, permutes=True, norm_key=""),
    "Olmo2ForCausalLM": Family("olmo2", _TWO_POST_NORMS | _QK_NORM, _everywhere),
    "Olmo3ForCausalLM": Family("olmo2", _TWO_POST_NORMS | _QK_NORM, _olmo3, rope_base=_OLMO3_BASE),
    "SmolLM3ForCausalLM": Family("smollm3", _PRE_NORM, _smollm3, permutes=True, rope_base=2e6, tied=True),
    "GraniteForCausalLM": Family("granite", _PRE_NORM, _granite, permutes=True),
    "Qwen2MoeForCausalLM": Family("qwen2moe", _MOE, _qwen2moe),
    "Qwen3MoeForCausalLM": Family("qwen3moe", _MOE | _QK_NORM, _qwen3moe),
    "OlmoeForCausalLM": Family("olmoe", _MOE | _QK_NORM, _olmoe),
}
"""By config.json's ``architectures``."""
