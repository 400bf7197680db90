"""A synthetic model of 1 GB in Q4_K and Q6_K, for measuring how long loading takes.

``python tests/models/gigabyte.py OUT.gguf`` takes seconds: the quantised blocks are drawn, not computed.
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

GIGABYTE = ModelSpec(
    n_layers=24,
    dim=2048,
    n_heads=32,
    n_kv_heads=8,
    head_dim=64,
    n_ffn=8192,
    vocab_size=32000,
    n_ctx_train=4096,
    tied_output=True,
    weight_type=TensorType.Q4_K,
    types={"token_embd": TensorType.Q6_K, "attn_v": TensorType.Q6_K, "ffn_down": TensorType.Q6_K},
    name="synthetic random weights, 1 GB",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    write_tiny(parser.parse_args().out, GIGABYTE)


if __name__ == "__main__":
    main()
