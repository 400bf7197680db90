"""A tiny model that never ends its text, for what has to happen while a run goes on."""

from __future__ import annotations

from pathlib import Path

from models.tiny import TINY_LLAMA, write_tiny

from q4engine.gguf import GGUFFile
from q4engine.tokenizer import Tokenizer

N_CTX = 100_000


def write_endless(path: Path) -> Path:
    """Writes the model. The logits of its stop tokens are 0, and the likeliest token's is more."""
    write_tiny(path, TINY_LLAMA.with_changes(n_ctx_train=N_CTX))
    with GGUFFile.open(path) as file:
        output, stop_ids = file.tensors["output.weight"], Tokenizer.from_gguf(file).stop_ids
    content = bytearray(path.read_bytes())
    row = output.n_bytes // output.shape[0]
    for token in stop_ids:
        content[output.offset + token * row : output.offset + (token + 1) * row] = bytes(row)
    path.write_bytes(content)
    return path
