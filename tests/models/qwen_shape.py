"""A GGUF of Qwen1.5-0.5B's shape with seeded random weights (≈ 389 MB of tensors), for measuring speed.

``python tests/models/qwen_shape.py OUT.gguf`` takes seconds: the quantised blocks are drawn, not computed.
The vocabulary is synthetic unless ``--vocab FILE.gguf`` names a file with Qwen2's.
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
from models.vocabulary import from_gguf, synthetic_bpe
from models.write import write_model
from q4engine.errors import Q4Error
from q4engine.gguf.types import TensorType

QWEN_SHAPE = ModelSpec(
    architecture="qwen2",
    qkv_bias=True,
    n_layers=24,
    dim=1024,
    n_heads=16,
    n_kv_heads=16,
    head_dim=64,
    n_ffn=2816,
    vocab_size=151936,
    n_ctx_train=32768,
    rope_freq_base=1e6,
    rms_eps=1e-6,
    weight_type=TensorType.Q4_0,
    types={"output": TensorType.Q6_K},
    pre_tokenizer="qwen2",
    name="synthetic random weights in the shape of Qwen1.5-0.5B",
)


def write_qwen_shape(path: Path, vocab: Path | None = None, spec: ModelSpec = QWEN_SHAPE) -> Path:
    """Write the model; ``vocab`` is a GGUF whose vocabulary is taken instead of a synthetic one."""
    vocabulary = from_gguf(vocab) if vocab else synthetic_bpe(spec.vocab_size, spec.pre_tokenizer)
    if len(vocabulary.tokens) != spec.vocab_size:
        raise Q4Error(f"{vocab}: has {len(vocabulary.tokens)} tokens, expected {spec.vocab_size}")
    rng = np.random.default_rng(spec.seed)
    write_model(path, spec, vocabulary, lambda tensor: random_tensor(tensor, rng))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocab", type=Path, metavar="FILE.gguf", help="take the vocabulary from this GGUF file")
    args = parser.parse_args()
    try:
        write_qwen_shape(args.out, args.vocab)
    except (Q4Error, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
