"""The tiny models that transformers has judged, and the text they were given; tests/golden/record_architectures.py."""

from __future__ import annotations

from pathlib import Path

from models.spec import ModelSpec
from models.tiny import (
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
)

STORED = Path(__file__).resolve().parents[1] / "golden" / "architectures.npz"

N_PROMPT, N_STEPS = 64, 16
TEXT = [(i * 37 + i * i * 11) % 300 for i in range(N_PROMPT + N_STEPS)]
"""A prompt, and the tokens of the steps behind it: longer than every window."""

YARN: dict[str, int | float | str | bool | list[bool]] = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 128,
}
CASES: dict[str, ModelSpec] = {
    "llama": TINY_LLAMA,
    "llama rope_freqs": TINY_LLAMA.with_changes(rope_freqs=True),
    "llama biases linear": TINY_LLAMA.with_changes(
        qkv_bias=True, other_biases=True, keys={"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    ),
    "llama yarn": TINY_LLAMA.with_changes(keys=YARN),
    "mistral": TINY_LLAMA.with_changes(keys={"attention.sliding_window": 24}),
    "qwen2": TINY_QWEN2,
    "qwen3": TINY_QWEN3,
    "gemma2": TINY_GEMMA2,
    "gemma3": TINY_GEMMA3.with_changes(n_heads=4),
    "phi3 long": TINY_PHI3,
    "phi3 short": TINY_PHI3.with_changes(
        n_ctx_train=96, keys=TINY_PHI3.keys | {"rope.scaling.original_context_length": 96}
    ),
    "smollm3": TINY_SMOLLM3,
    "granite": TINY_GRANITE,
    "olmo": TINY_OLMO,
    "olmo clamped at nothing": TINY_OLMO.with_changes(keys={}, n_kv_heads=2, tied_output=True, embedding_std=0.5),
    "olmo2": TINY_OLMO2,
    "qwen2moe": TINY_QWEN2MOE,
    "qwen3moe": TINY_QWEN3MOE,
    "olmoe": TINY_OLMOE,
    "olmo3": TINY_OLMO2.with_changes(keys=YARN | {"attention.sliding_window": 24}),
}
