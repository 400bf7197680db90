"""Writes tests/golden/architectures.npz: the logits of Hugging Face's transformers for the tiny models of judged.py.

``python tests/golden/record_architectures.py`` with torch and transformers installed beside the engine (the extra
``judge``). The models are this repository's own random ones, whose dequantised weights are put into transformers'
classes: what these compute in float32 is independent of everything here but the files' reader and decoder of blocks.

A row of logits is kept as int16 with a scale, which moves it by 1.5e-5 of its largest value.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "tests"), str(REPO / "tests" / "support")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from judged import CASES, N_PROMPT, STORED, TEXT  # noqa: E402
from models.spec import ModelSpec  # noqa: E402
from models.tiny import write_tiny  # noqa: E402

from q4engine.gguf import GGUFFile  # noqa: E402
from q4engine.gguf.dequantize import dequantize_tensor  # noqa: E402

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
OTHER_NAMES = {
    "gemma2": {"ffn_norm": "pre_feedforward_layernorm"},
    "gemma3": {"ffn_norm": "pre_feedforward_layernorm"},
    "phi3": {"ffn_up": "mlp.gate_up_proj"},
}
NEIGHBOURS_TURN = ("llama", "granite", "smollm3", "olmo")
"""Their files have the rows of Q and K in an order in which pairs are neighbours; transformers pairs halves."""


def weights(file: GGUFFile, spec: ModelSpec) -> dict[str, torch.Tensor]:
    """By transformers' names, float32."""
    names, state = NAMES | OTHER_NAMES.get(spec.architecture, {}), {}
    experts: dict[str, dict[str, torch.Tensor]] = {}
    for name, info in file.tensors.items():
        if name.startswith("rope_f"):
            continue
        values = dequantize_tensor(info).astype(np.float32)
        layer, _, rest = name.removeprefix("blk.").partition(".") if name.startswith("blk.") else ("", "", name)
        role, _, kind = rest.rpartition(".")
        if role in ("attn_q", "attn_k") and spec.architecture in NEIGHBOURS_TURN:
            pairs = values.reshape(-1, spec.head_dim // 2, 2, *values.shape[1:])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        if spec.architecture.startswith("gemma") and role.endswith("norm"):
            values = values - 1
        prefix = f"model.layers.{layer}." if layer else ""
        if role == "ffn_gate_inp_shexp":
            values = values[None]
        if role.endswith("_exps"):
            experts.setdefault(prefix + "mlp.experts.", {})[role] = torch.from_numpy(values)
            continue
        state[f"{prefix}{names[role]}.{kind}"] = torch.from_numpy(np.ascontiguousarray(values))
    for prefix, parts in experts.items():
        state[prefix + "gate_up_proj"] = torch.cat([parts["ffn_gate_exps"], parts["ffn_up_exps"]], dim=1)
        state[prefix + "down_proj"] = parts["ffn_down_exps"]
    return state


def rope(spec: ModelSpec, factors: dict[str, list[float]]) -> dict[str, Any]:
    base: dict[str, Any] = {"rope_type": "default", "rope_theta": spec.rope_freq_base}
    scaling = {key.removeprefix("rope.scaling."): value for key, value in spec.keys.items()}
    kind = scaling.get("type")
    if kind in ("linear", "yarn"):
        base |= {"rope_type": kind, "factor": scaling["factor"]}
    if kind == "yarn":
        base["original_max_position_embeddings"] = scaling["original_context_length"]
    if factors:
        base |= {
            "rope_type": "longrope",
            "short_factor": factors["rope_factors_short.weight"],
            "long_factor": factors["rope_factors_long.weight"],
            "attention_factor": scaling["attn_factor"],
            "original_max_position_embeddings": scaling["original_context_length"],
        }
    return base


def layers_with_windows(spec: ModelSpec, period: int) -> list[str]:
    return ["full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(spec.n_layers)]


def settings(name: str, spec: ModelSpec, turns: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """transformers' class of the architecture, and what its configuration has beyond the sizes that all have."""
    window = spec.keys.get("attention.sliding_window")
    experts = {"num_experts": spec.n_experts, "num_experts_per_tok": spec.n_used}
    match spec.architecture:
        case "llama" if name == "mistral":
            return "Mistral", {"sliding_window": window}
        case "llama":
            return "Llama", {"attention_bias": spec.qkv_bias, "mlp_bias": spec.other_biases}
        case "qwen2":
            return "Qwen2", {}
        case "qwen3":
            return "Qwen3", {}
        case "gemma2":
            caps = {f"{kind}_logit_softcapping": spec.keys[f"{kind}_logit_softcapping"] for kind in ("attn", "final")}
            return "Gemma2", caps | {"sliding_window": window, "query_pre_attn_scalar": spec.head_dim}
        case "gemma3":
            local = {"rope_type": "default", "rope_theta": 10000.0}
            both = {"full_attention": turns, "sliding_attention": local}
            scalar = {"query_pre_attn_scalar": spec.head_dim, "rope_parameters": both}
            return "Gemma3", {"sliding_window": window, "layer_types": layers_with_windows(spec, 6)} | scalar
        case "phi3":
            part = {"rope_parameters": turns | {"partial_rotary_factor": (spec.rope_dim or 0) / spec.head_dim}}
            original = spec.keys["rope.scaling.original_context_length"]
            return "Phi3", part | {"sliding_window": window, "original_max_position_embeddings": original}
        case "smollm3":
            return "SmolLM3", {"no_rope_layer_interval": 4, "use_sliding_window": False}
        case "granite":
            scales = {"embedding": "embedding_scale", "attention": "attention.scale", "residual": "residual_scale"}
            multipliers = {f"{part}_multiplier": spec.keys[key] for part, key in scales.items()}
            return "Granite", multipliers | {"logits_scaling": spec.keys["logit_scale"]}
        case "olmo":
            return "Olmo", {"clip_qkv": spec.keys.get("attention.clamp_kqv")}
        case "olmo2" if window:
            local = {"rope_type": "default", "rope_theta": spec.rope_freq_base}
            both = {"full_attention": turns, "sliding_attention": local}
            kinds = layers_with_windows(spec, 4)
            return "Olmo3", {"sliding_window": window, "layer_types": kinds, "rope_parameters": both}
        case "olmo2":
            return "Olmo2", {}
        case "qwen2moe":
            widths = {"moe_intermediate_size": spec.n_expert_ffn, "shared_expert_intermediate_size": spec.n_shared_ffn}
            return "Qwen2Moe", widths | experts
        case "qwen3moe":
            return "Qwen3Moe", experts | {"moe_intermediate_size": spec.n_expert_ffn, "norm_topk_prob": True}
        case "olmoe":
            return "Olmoe", experts | {"intermediate_size": spec.n_expert_ffn}
    raise SystemExit(f"nothing is known of {spec.architecture}")


def model_of(name: str, spec: ModelSpec, file: GGUFFile) -> torch.nn.Module:
    own = {key: dequantize_tensor(info).tolist() for key, info in file.tensors.items() if key.startswith("rope_f")}
    factors = own.pop("rope_freqs.weight", None)
    turns = rope(spec, own)
    kind, more = settings(name, spec, turns)
    sizes = {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.dim,
        "intermediate_size": spec.n_ffn,
        "num_hidden_layers": spec.n_layers,
        "num_attention_heads": spec.n_heads,
        "num_key_value_heads": spec.n_kv_heads,
        "head_dim": spec.head_dim,
        "rms_norm_eps": spec.rms_eps,
        "max_position_embeddings": spec.n_ctx_train,
        "tie_word_embeddings": spec.tied_output,
        "pad_token_id": None,
        "rope_parameters": turns,
    }
    text = "Text" if kind == "Gemma3" else ""
    config = getattr(transformers, f"{kind}{text}Config")(**(sizes | more))
    config._attn_implementation = "eager"
    model: torch.nn.Module = getattr(transformers, f"{kind}ForCausalLM")(config).float().eval()
    missing, unexpected = model.load_state_dict(weights(file, spec), strict=False)
    if unexpected or [key for key in missing if key != "lm_head.weight" or not spec.tied_output]:
        raise SystemExit(f"{name}: {missing} are missing, {unexpected} are not expected")
    model.tie_weights()  # type: ignore[operator]
    if factors is not None:
        model.model.rotary_emb.inv_freq /= torch.tensor(factors)  # type: ignore[operator, union-attr]
    return model


def main() -> None:
    kept: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in CASES.items():
            with GGUFFile.open(write_tiny(Path(folder) / "synthetic.gguf", spec)) as file, torch.no_grad():
                logits = model_of(name, spec, file)(torch.tensor([TEXT])).logits[0].numpy()
            rows = logits[N_PROMPT - 1 :]
            scale = np.abs(rows).max(axis=1) / 32767
            kept[f"{name}/logits"] = np.rint(rows / scale[:, None]).astype(np.int16)
            kept[f"{name}/scale"] = scale.astype(np.float32)
            print(f"{name}: {rows.shape}, spread {rows.std():.3f}")
    np.savez_compressed(STORED, **kept)


if __name__ == "__main__":
    main()
