"""Writes GGUF files that hold a synthetic vocabulary and nothing else."""

from __future__ import annotations

from pathlib import Path

from gguf_bytes import BOOL, F32, I32, STRING, U32, File, array, pair
from models.vocabulary import byte_symbols

from q4engine.gguf import GGUFFile

KEY = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

BYTE_TOKENS = byte_symbols()
SPM_BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def vocab_pairs(
    model: str,
    tokens: list[str],
    types: list[int] | None = None,
    merges: list[str] | None = None,
    scores: list[float] | None = None,
    **scalars: str | int | bool,
) -> list[bytes]:
    """Metadata pairs; ``scalars`` are further keys of ``tokenizer.ggml.``, ``chat_template``, or whole keys."""
    pairs = [
        pair("general.architecture", STRING, "llama"),
        pair(KEY + "model", STRING, model),
        array(KEY + "tokens", STRING, tokens),
    ]
    if types is not None:
        pairs.append(array(KEY + "token_type", I32, types))
    if merges is not None:
        pairs.append(array(KEY + "merges", STRING, merges))
    if scores is not None:
        pairs.append(array(KEY + "scores", F32, scores))
    for name, value in scalars.items():
        kind = BOOL if isinstance(value, bool) else U32 if isinstance(value, int) else STRING
        key = name if "." in name else "tokenizer." + name if name == "chat_template" else KEY + name
        pairs.append(pair(key, kind, value))
    return pairs


def open_pairs(folder: Path, pairs: list[bytes]) -> GGUFFile:
    path = folder / "synthetic-vocab.gguf"
    path.write_bytes(File(pairs=pairs, tensors=[], data_bytes=0).build())
    return GGUFFile.open(path)


def bpe_file(
    folder: Path,
    merges: list[str],
    special: dict[str, int] | None = None,
    more_tokens: list[str] | None = None,
    **scalars: str | int | bool,
) -> GGUFFile:
    """Byte-level BPE: the 256 bytes, what the merges make, ``more_tokens``, ``special`` tokens with their types."""
    made = list(dict.fromkeys(merge.replace(" ", "") for merge in merges))
    plain = [*BYTE_TOKENS, *made, *(more_tokens or [])]
    special = special or {}
    types = [NORMAL] * len(plain) + list(special.values())
    return open_pairs(folder, vocab_pairs("gpt2", [*plain, *special], types, merges, **scalars))


def spm_file(folder: Path, scored: dict[str, float], **scalars: str | int | bool) -> GGUFFile:
    """SPM: <unk>, <s>, </s>, the byte tokens, then ``scored`` tokens."""
    tokens = ["<unk>", "<s>", "</s>", *SPM_BYTE_TOKENS, *scored]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(scored)
    scores = [0.0] * 259 + list(scored.values())
    return open_pairs(folder, vocab_pairs("llama", tokens, types, scores=scores, **scalars))
