"""RoPE as config.json has it: GGUF's keys, and the tensors of models that have frequencies of their own."""

from __future__ import annotations

import math

import numpy as np

from q4engine.convert.json_file import JsonObject
from q4engine.errors import shown
from q4engine.gguf.types import ValueType
from q4engine.gguf.write import pair

U32, F32, STRING = ValueType.UINT32, ValueType.FLOAT32, ValueType.STRING


def _rope_of(config: JsonObject) -> JsonObject | None:
    """What scales RoPE: ``rope_scaling``, or ``rope_parameters`` as newer files have it."""
    for key in ("rope_scaling", "rope_parameters"):
        if key in config:
            scaling = config.object(key)
            return scaling.object("full_attention") if "full_attention" in scaling else scaling
    return None


def _kind_of(scaling: JsonObject | None) -> str:
    if scaling is None:
        return "default"
    return scaling.string("rope_type", scaling.string("type", "default"))


def rope_base(config: JsonObject, usual: float) -> float:
    """The frequencies' base; ``usual``: that of the family where the file does not say."""
    scaling = _rope_of(config)
    inside = scaling.real("rope_theta", usual) if scaling is not None else usual
    return config.real("rope_theta", inside)


def rope_pairs(config: JsonObject, architecture: str, usual_base: float, head_dim: int) -> list[bytes]:
    """GGUF's keys of RoPE, but for those of layers with a window."""
    prefix = architecture + ".rope."
    scaling = _rope_of(config)
    share = config.real("partial_rotary_factor", 1.0 if scaling is None else scaling.real("partial_rotary_factor", 1.0))
    if share != 1 and architecture != "phi3":  # some models' code reads it and some does not
        raise config.error("partial_rotary_factor", f"is {share:g}, which is not implemented for {architecture}")
    pairs = [
        pair(prefix + "freq_base", F32, rope_base(config, usual_base)),
        pair(prefix + "dimension_count", U32, int(head_dim * share)),
    ]
    kind = _kind_of(scaling)
    if scaling is None or kind in ("default", "llama3"):  # llama3's are a tensor
        return pairs
    if kind == "linear":
        factor = pair(prefix + "scaling.factor", F32, scaling.real("factor"))
        return [*pairs, pair(prefix + "scaling.type", STRING, kind), factor]
    if kind == "yarn":
        return [*pairs, *_yarn_pairs(config, scaling, prefix + "scaling.")]
    if kind in ("longrope", "su") and architecture == "phi3":
        return [*pairs, *_longrope_pairs(config, scaling, prefix + "scaling.")]
    raise scaling.error("rope_type", f"is {shown(kind)}, which is not implemented for {architecture}")


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


def local_rope_base(config: JsonObject, usual: float) -> float:
    """The base in layers with a window, whose frequencies nothing scales."""
    key, base = "rope_local_base_freq", usual
    if "rope_parameters" in config and "sliding_attention" in config.object("rope_parameters"):
        inside = config.object("rope_parameters").object("sliding_attention")
        if _kind_of(inside) != "default":
            raise inside.error("rope_type", f"is {shown(_kind_of(inside))}, expected default")
        base = inside.real("rope_theta", usual)
    return config.real(key, base)


def rope_tensors(config: JsonObject, usual_base: float, dim: int) -> dict[str, np.ndarray]:
    """The divisors of RoPE's frequencies, where a model has its own: float32 [half a head]."""
    scaling = _rope_of(config)
    kind = _kind_of(scaling)
    if scaling is None or kind not in ("llama3", "longrope", "su"):
        return {}
    if kind != "llama3":
        return {
            f"rope_factors_{name}.weight": np.array(scaling.reals(f"{name}_factor"), np.float32)
            for name in ("long", "short")
        }
    base = rope_base(config, usual_base)
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
