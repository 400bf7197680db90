"""Vocabularies for models: a synthetic byte-level BPE one of any size, or one taken from another GGUF file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Token types, as GGUF numbers them."""

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Vocabulary:
    """``model`` is gpt2 (byte-level BPE: merges) or llama (SPM: scores)."""

    model: str
    tokens: list[str]
    types: list[int]
    bos: int
    eos: int
    pre: str | None = None
    merges: list[str] | None = None
    scores: list[float] | None = None
    chat_template: str | None = None
    add_bos: bool = False


def byte_symbols() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself where printable, else the next free character from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(256)]


def synthetic_bpe(size: int, pre: str) -> Vocabulary:
    """A byte-level BPE vocabulary of ``size`` ≥ 259 tokens: bytes, merges of letter runs, special tokens."""
    n_merges = size - 256 - len(SPECIAL_TOKENS)
    if n_merges < 0:
        raise ValueError(f"a byte-level vocabulary has at least {256 + len(SPECIAL_TOKENS)} tokens, not {size}")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    stems = ["\u0120", *letters]  # U+0120 stands for the space, which only begins a word
    merges: list[str] = []
    merged: list[str] = []
    position = 0
    while len(merges) < n_merges:
        left = stems[position]
        position += 1
        for right in letters[: n_merges - len(merges)]:
            merges.append(f"{left} {right}")
            merged.append(left + right)
            stems.append(left + right)
    tokens = [*byte_symbols(), *merged, *SPECIAL_TOKENS]
    types = [NORMAL] * (256 + n_merges) + [CONTROL] * len(SPECIAL_TOKENS)
    end_of_text = tokens.index(SPECIAL_TOKENS[0])
    return Vocabulary(
        "gpt2", tokens, types, bos=end_of_text, eos=size - 1, pre=pre, merges=merges, chat_template=CHAT_TEMPLATE
    )


def from_gguf(path: Path) -> Vocabulary:
    """The byte-level BPE vocabulary of a GGUF file."""
    from q4engine.gguf import GGUFFile

    with GGUFFile.open(path) as file:
        meta = file.metadata
        return Vocabulary(
            meta.string("tokenizer.ggml.model"),
            meta.strings("tokenizer.ggml.tokens"),
            meta.integers("tokenizer.ggml.token_type").tolist(),
            bos=meta.integer("tokenizer.ggml.bos_token_id"),
            eos=meta.integer("tokenizer.ggml.eos_token_id"),
            pre=meta.string("tokenizer.ggml.pre"),
            merges=meta.strings("tokenizer.ggml.merges"),
            chat_template=meta.string("tokenizer.chat_template", "") or None,
            add_bos=meta.flag("tokenizer.ggml.add_bos_token", False),
        )
