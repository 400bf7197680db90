"""Tiny random models of every architecture, for tests: ``write_tiny(path, TINY_QWEN2.with_changes(n_kv_heads=4))``.

As a script: ``python tests/models/tiny.py OUT.gguf --architecture qwen2 --type q4_0``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: make the package importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from models.blocks import random_tensor
from models.spec import ModelSpec
from models.vocabulary import synthetic_bpe
from models.write import write_model
from q4engine.gguf.types import USABLE_TYPES, TensorType

TINY_LLAMA = ModelSpec()
TINY_QWEN2 = ModelSpec("qwen2", qkv_bias=True, rope_freq_base=1e6, rms_eps=1e-6, pre_tokenizer="qwen2")
TINY_QWEN3 = TINY_QWEN2.with_changes(architecture="qwen3", qkv_bias=False, head_norm=True)
TINY_GEMMA2 = ModelSpec(
    "gemma2",
    n_layers=3,
    post_norm=True,
    tied_output=True,
    embedding_std=0.5,
    rms_eps=1e-6,
    keys={
        "attention.sliding_window": 24,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 8.0,
    },
)
TINY_GEMMA3 = TINY_GEMMA2.with_changes(
    architecture="gemma3",
    n_layers=6,  # the sixth is the first without a window
    n_heads=3,
    n_kv_heads=1,
    head_dim=32,
    head_norm=True,
    rope_freq_base=1e6,
    keys={"attention.sliding_window": 24},
)
TINY_PHI3 = ModelSpec(
    "phi3",
    rope_dim=12,
    fused=True,
    long_factors=True,
    keys={
        "attention.sliding_window": 40,
        "rope.scaling.attn_factor": 1.125,
        "rope.scaling.original_context_length": 64,
    },
)
TINY_SMOLLM3 = ModelSpec("smollm3", n_layers=5, tied_output=True, embedding_std=0.5, rope_freq_base=5e6)
TINY_GRANITE = ModelSpec(
    "granite",
    keys={"embedding_scale": 12.0, "attention.scale": 0.125, "residual_scale": 0.25, "logit_scale": 4.0},
    embedding_std=0.125,
)
TINY_OLMO = ModelSpec("olmo", plain_norm=True, n_kv_heads=4, keys={"attention.clamp_kqv": 1.0})
TINY_OLMO2 = ModelSpec(
    "olmo2", n_layers=4, pre_norm=False, post_norm=True, row_norm=True, rms_eps=1e-6, rope_freq_base=5e5
)
TINY_QWEN2MOE = TINY_QWEN2.with_changes(
    architecture="qwen2moe", n_experts=6, n_used=3, n_expert_ffn=64, n_shared_ffn=96
)
TINY_QWEN3MOE = TINY_QWEN3.with_changes(architecture="qwen3moe", n_experts=8, n_used=2, n_expert_ffn=96)
TINY_OLMOE = ModelSpec("olmoe", row_norm=True, n_kv_heads=4, n_experts=5, n_used=2, n_expert_ffn=96)
TINY = {
    spec.architecture: spec
    for spec in (
        TINY_LLAMA, TINY_QWEN2, TINY_QWEN3, TINY_GEMMA2, TINY_GEMMA3,
        TINY_PHI3, TINY_SMOLLM3, TINY_GRANITE, TINY_OLMO, TINY_OLMO2, TINY_QWEN2MOE, TINY_QWEN3MOE, TINY_OLMOE,
    )
}  # fmt: skip

MIXED_TYPES = {
    "token_embd": TensorType.Q8_0,
    "output": TensorType.Q6_K,
    "attn_v": TensorType.Q6_K,
    "attn_k": TensorType.Q4_1,
    "ffn_down": TensorType.Q4_1,
    "ffn_gate": TensorType.BF16,
}
"""A mixture: V in another type than Q and K, gate in another than up. Q6_K wants a ``dim`` that divides by 256."""


def write_tiny(path: Path, spec: ModelSpec = TINY_LLAMA) -> Path:
    """Write the model that ``spec`` and its seed determine; returns ``path``."""
    rng = np.random.default_rng(spec.seed)
    vocabulary = synthetic_bpe(spec.vocab_size, spec.pre_tokenizer)
    write_model(path, spec, vocabulary, lambda tensor: random_tensor(tensor, rng))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--architecture", choices=sorted(TINY), default="llama")
    parser.add_argument("--type", choices=sorted(kind.name.lower() for kind in USABLE_TYPES), default="q4_0")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    write_tiny(
        args.out, TINY[args.architecture].with_changes(weight_type=TensorType[args.type.upper()], seed=args.seed)
    )


if __name__ == "__main__":
    main()
