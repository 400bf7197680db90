"""What the tests of the arithmetic contract share: models, features to switch, one hash for one way of running.

Used on the host and, by tests/arm, on every emulated CPU: the expected hashes in tests/golden/fingerprints.json are the
same for all of them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.spec import ModelSpec
from models.tiny import (
    MIXED_TYPES,
    TINY_GEMMA2,
    TINY_GEMMA3,
    TINY_GRANITE,
    TINY_LLAMA,
    TINY_OLMO,
    TINY_OLMO2,
    TINY_OLMOE,
    TINY_PHI3,
    TINY_QWEN2,
    TINY_QWEN2MOE,
    TINY_QWEN3,
    TINY_QWEN3MOE,
    TINY_SMOLLM3,
    write_tiny,
)

from q4engine import _native
from q4engine.engine import Engine
from q4engine.gguf import TensorType
from q4engine.kv_forms import KVForm

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "fingerprints.json"

SUPER_BLOCKS: dict[str, Any] = {"dim": 256, "n_ffn": 512}
"""Columns of whole super-blocks."""

SPECS: dict[str, ModelSpec] = {
    "llama": TINY_LLAMA,
    "llama-mixed": TINY_LLAMA.with_changes(dim=256, types=MIXED_TYPES, n_ffn=172),
    "llama-q6k-tied": TINY_LLAMA.with_changes(
        dim=256, n_ffn=512, weight_type=TensorType.Q6_K, tied_output=True, rope_freqs=True
    ),
    "llama-q8": TINY_LLAMA.with_changes(weight_type=TensorType.Q8_0, n_heads=9, n_kv_heads=3, head_dim=64, dim=576),
    "qwen2": TINY_QWEN2,
    "qwen2-q41": TINY_QWEN2.with_changes(weight_type=TensorType.Q4_1, n_kv_heads=4, n_ffn=160),
    "qwen2-q50": TINY_QWEN2.with_changes(weight_type=TensorType.Q5_0, types={"ffn_down": TensorType.Q4_1}, n_ffn=160),
    "qwen2-q51": TINY_QWEN2.with_changes(weight_type=TensorType.Q5_1, n_kv_heads=4, n_ffn=160),
    "llama-iq4nl": TINY_LLAMA.with_changes(weight_type=TensorType.IQ4_NL, types={"ffn_down": TensorType.Q5_1}),
    "llama-q4k": TINY_LLAMA.with_changes(
        **SUPER_BLOCKS, weight_type=TensorType.Q4_K, types={"attn_v": TensorType.Q6_K}
    ),
    "llama-q5k": TINY_LLAMA.with_changes(
        **SUPER_BLOCKS, weight_type=TensorType.Q5_K, types={"ffn_up": TensorType.Q4_K}, tied_output=True
    ),
    "llama-q2k-q3k": TINY_LLAMA.with_changes(
        **SUPER_BLOCKS, weight_type=TensorType.Q2_K, types={"ffn_down": TensorType.Q3_K, "attn_k": TensorType.Q3_K}
    ),
    "qwen2-iq4xs": TINY_QWEN2.with_changes(**SUPER_BLOCKS, weight_type=TensorType.IQ4_XS),
    "qwen2-f16-tied": TINY_QWEN2.with_changes(weight_type=TensorType.F16, tied_output=True),
    "gemma2": TINY_GEMMA2,
    "gemma3": TINY_GEMMA3,
    "gemma3-q8-wide": TINY_GEMMA3.with_changes(
        weight_type=TensorType.Q8_0, head_dim=64, n_heads=4, n_kv_heads=2, keys={"attention.sliding_window": 70}
    ),
    "qwen3": TINY_QWEN3,
    "phi3": TINY_PHI3,
    "phi3-q6k-wide": TINY_PHI3.with_changes(
        dim=256, n_ffn=256, n_heads=8, head_dim=32, rope_dim=24, weight_type=TensorType.Q6_K
    ),
    "smollm3": TINY_SMOLLM3,
    "granite": TINY_GRANITE,
    "granite-f16": TINY_GRANITE.with_changes(weight_type=TensorType.F16),
    "olmo": TINY_OLMO,
    "olmo2": TINY_OLMO2,
    "qwen2moe": TINY_QWEN2MOE,
    "qwen2moe-mixed": TINY_QWEN2MOE.with_changes(
        dim=256,
        n_expert_ffn=256,
        n_shared_ffn=172,
        weight_type=TensorType.Q4_K,
        types={"ffn_up": TensorType.Q8_0, "ffn_down": TensorType.Q6_K},
    ),
    "qwen3moe": TINY_QWEN3MOE,
    "qwen3moe-q4k-tied": TINY_QWEN3MOE.with_changes(
        dim=256, n_expert_ffn=768, weight_type=TensorType.Q4_K, tied_output=True, n_used=4
    ),
    "olmoe": TINY_OLMOE,
    "olmoe-f16": TINY_OLMOE.with_changes(weight_type=TensorType.F16, n_expert_ffn=40),
    "llama-yarn-window": TINY_LLAMA.with_changes(
        qkv_bias=True,
        other_biases=True,
        keys={
            "attention.sliding_window": 33,
            "rope.scaling.type": "yarn",
            "rope.scaling.factor": 4.0,
            "rope.scaling.original_context_length": 128,
        },
    ),
}

SPECS |= {
    "llama-q8-kv8": SPECS["llama-q8"],
    "gemma3-kv8": TINY_GEMMA3.with_changes(n_layers=2, head_dim=96, keys={"attention.sliding_window": 40}),
}
KV_FORMS: dict[str, KVForm] = {"llama-q8-kv8": "q8_0", "gemma3-kv8": "q8_0"}
"""How sessions of these keep keys and values, if not as fp16."""

PROMPT = [(i * 37 + i * i * 11) % 300 for i in range(75)]  # crosses a KV block (64) and is no multiple of a GEMM tile
N_STEPS = 3

FEATURE_LISTS = (
    "none",
    "avx2",
    "avx2,avxvnni",
    "avx2,avx512",
    "avx2,avx512,avx512vnni",
    "dotprod",
    "dotprod,fhm",
    "dotprod,i8mm",
    "dotprod,i8mm,fp16,fhm",
)


def feature_lists() -> list[str]:
    """Of FEATURE_LISTS those that this CPU offers. The first switches everything off."""
    offered = {"none", *_native.cpu_features()}
    return [item for item in FEATURE_LISTS if set(item.split(",")) <= offered]


@dataclass(frozen=True)
class Outcome:
    """sha256 of the logits of the prompt's last position and of the greedy steps after it; the kernels that ran."""

    sha256: str
    kernels: frozenset[str]


def outcome(
    model: Path, n_threads: int, n_batch: int, prompt: list[int] | None = None, n_steps: int = N_STEPS
) -> Outcome:
    kv_form = KV_FORMS.get(model.stem.removeprefix("synthetic_"), "f16")
    engine = Engine.load(model, n_threads=n_threads, kv_form=kv_form)
    session = engine.session(n_batch=n_batch)
    digest = hashlib.sha256()
    logits = session.decode(PROMPT if prompt is None else prompt)
    for _ in range(n_steps):
        digest.update(logits.tobytes())
        logits = session.decode([int(logits.argmax())])
    digest.update(logits.tobytes())
    kernels = {name for choice in engine.kernels for name in (choice.gemv, choice.gemm)}
    return Outcome(digest.hexdigest(), frozenset(kernels))


def write_model(name: str, folder: Path) -> Path:
    return write_tiny(folder / f"synthetic_{name}.gguf", SPECS[name])


def golden() -> dict[str, dict[str, str]]:
    expected: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text())
    return expected


def file_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
