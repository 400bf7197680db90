"""A synthetic checkpoint of OLMo's shape and its GGUF: ``python tests/models/olmo_shape.py FOLDER TOKENIZER.gguf``.

Random weights with OLMo 1B's widths (its config.json) and 4 of its 16 layers, the tokenizer of a GGUF file that
transformers reads. Needs the extra `transformers`. Written are FOLDER/olmo-shape and FOLDER/olmo-shape.gguf (Q4_0).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoTokenizer, OlmoConfig, OlmoForCausalLM

LAYERS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tokenizer", type=Path, metavar="TOKENIZER.gguf")
    parser.add_argument("--q4engine", default=sys.executable, help="the interpreter that has it (default: this one)")
    given = parser.parse_args()
    checkpoint = given.folder / "olmo-shape"
    tokenizer = AutoTokenizer.from_pretrained(given.tokenizer.parent, gguf_file=given.tokenizer.name)
    tokenizer.save_pretrained(checkpoint)
    torch.manual_seed(1)
    config = OlmoConfig(
        vocab_size=len(tokenizer), hidden_size=2048, intermediate_size=8192, num_hidden_layers=LAYERS,
        num_attention_heads=16, max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=None,
    )  # fmt: skip
    OlmoForCausalLM(config).to(torch.float16).save_pretrained(checkpoint)
    whole = given.folder / "olmo-shape-f16.gguf"
    q4engine = [given.q4engine, "-m", "q4engine"]
    subprocess.run([*q4engine, "convert", checkpoint, whole], check=True)
    subprocess.run([*q4engine, "quantize", whole, given.folder / "olmo-shape.gguf", "--type", "q4_0"], check=True)
    whole.unlink()


if __name__ == "__main__":
    main()
