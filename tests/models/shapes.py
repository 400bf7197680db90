"""Synthetic models of well-known shapes, to measure speed with: ``python tests/models/shapes.py FOLDER [NAME …]``.

Weights are drawn, not computed, so that each takes seconds. Shapes: llama2.c's checkpoints (its README's table), and
Llama 3.2 1B's (its config.json) with a smaller vocabulary.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # run as a script: make the package importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.spec import ModelSpec
from models.tiny import write_tiny
from q4engine.gguf.types import TensorType


def stories(name: str, n_layers: int, dim: int, n_heads: int, n_ffn: int, n_ctx: int, vocab: int = 32000) -> ModelSpec:
    """As llama2.c has them: heads of dim / heads, as many of keys but for the smallest, tied to the embedding."""
    n_kv_heads = 4 if vocab == 512 else n_heads
    return ModelSpec(
        n_layers=n_layers, dim=dim, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=dim // n_heads, n_ffn=n_ffn,
        n_ctx_train=n_ctx, vocab_size=vocab, tied_output=True, weight_type=TensorType.Q8_0,
        name=f"synthetic random weights, {name}",
    )  # fmt: skip


SHAPES = {
    "stories260k-shape": stories("stories260K's shape", 5, 64, 8, 172, 512, 512),
    "stories15m-shape": stories("stories15M's shape", 6, 288, 6, 768, 256),
    "stories42m-shape": stories("stories42M's shape", 8, 512, 8, 1376, 1024),
    "llama-1b-shape": ModelSpec(
        n_layers=16, dim=2048, n_heads=32, n_kv_heads=8, head_dim=64, n_ffn=8192, vocab_size=32000, n_ctx_train=131072,
        rope_freq_base=500000.0, tied_output=True, weight_type=TensorType.Q4_0,
        types={"token_embd": TensorType.Q6_K}, name="synthetic random weights, Llama 3.2 1B's shape",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SHAPES)} (default: all)")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in SHAPES]:
        parser.error(f"there is no {unknown[0]}: {', '.join(SHAPES)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.names or SHAPES:
        write_tiny(given.folder / f"{name}.gguf", SHAPES[name])


if __name__ == "__main__":
    main()
