"""Compares q4engine's logits with transformers' on the same GGUF file, dequantised to fp32 by transformers itself.

    python -m pip install torch transformers gguf accelerate       (in an environment that has q4engine)
    python toolchains/accuracy/against_transformers.py MODEL.gguf TEXT.txt --positions 1000

Prints top-1 agreement, mean and largest KL divergence over the positions, and both perplexities (docs/accuracy.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from q4engine.engine import Engine


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def reference_logits(model: Path, ids: list[int]) -> np.ndarray:
    """[positions, vocab_size] of the independent implementation."""
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(str(model.parent), gguf_file=model.name, dtype=torch.float32)
    with torch.no_grad():
        logits: np.ndarray = loaded.eval()(torch.tensor([ids])).logits[0].numpy()
    return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path, help="plain text, of which the first tokens are taken")
    parser.add_argument("--positions", type=int, default=1000)
    args = parser.parse_args()
    engine = Engine.load(args.model)
    ids = engine.tokenizer.encode(args.text.read_text(encoding="utf-8")[: 12 * args.positions])[: args.positions]
    ours = log_softmax(engine.session(n_ctx=len(ids)).decode(ids, all_logits=True))
    theirs = log_softmax(reference_logits(args.model, ids))
    divergence = (np.exp(theirs) * (theirs - ours)).sum(axis=1)
    agreement = np.mean(theirs.argmax(axis=1) == ours.argmax(axis=1))
    rows = np.arange(len(ids) - 1)
    perplexity = [np.exp(-log_probabilities[rows, ids[1:]].mean()) for log_probabilities in (theirs, ours)]
    print(f"{len(ids)} positions: top-1 agreement {agreement:.3f}, KL mean {divergence.mean():.5f}, "
          f"largest {divergence.max():.4f}")  # fmt: skip
    print(f"perplexity: transformers {perplexity[0]:.3f}, q4engine {perplexity[1]:.3f}")


if __name__ == "__main__":
    main()
