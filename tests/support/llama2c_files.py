"""Synthetic llama2.c checkpoints and their tokenizers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

DIM, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCAB, CONTEXT = 8, 12, 2, 2, 1, 262, 16


def checkpoint(path: Path, shared: bool = True, **changes: int) -> np.ndarray:
    """Random weights; returns the floats that follow the header."""
    fields = {
        "dim": DIM,
        "hidden_dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "n_kv_heads": KV_HEADS,
        "vocab_size": VOCAB if shared else -VOCAB,
        "seq_len": CONTEXT,
    } | changes
    kv_dim = KV_HEADS * DIM // HEADS
    layer = 2 * DIM + 2 * DIM * DIM + 2 * kv_dim * DIM + 3 * HIDDEN * DIM
    count = VOCAB * DIM * (1 if shared else 2) + LAYERS * layer + DIM + 2 * CONTEXT * (DIM // HEADS // 2)
    values = np.random.default_rng(1).standard_normal(count).astype("<f4")
    path.write_bytes(struct.pack("<7i", *fields.values()) + values.tobytes())
    return values


def tokenizer(path: Path, tokens: list[bytes] | None = None, cut: int = 0, more: bytes = b"") -> Path:
    texts = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256)), b" ", b"a", b" a"]
    texts = texts if tokens is None else tokens
    raw = struct.pack("<i", 7) + b"".join(struct.pack("<fi", -1.0, len(text)) + text for text in texts) + more
    path.write_bytes(raw[: len(raw) - cut])
    return path
