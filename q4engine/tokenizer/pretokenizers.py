r"""Pre-tokenizers by ``tokenizer.ggml.pre``: how a text falls into words before byte-level BPE.

Each row is a list of stages; a stage splits every piece of the stage before at its pattern's matches (matches and the
text between them both become pieces). Sources: each model's tokenizer.json, "pre_tokenizer".

The patterns need ``regex`` for the Unicode classes; its ``\s`` is the property White_Space, as in the models' own
libraries (that of ``re`` has four control characters more).
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _contractions_and_words(number: str) -> str:
    return (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + number
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


_SINGLE_DIGITS = r"\p{N}"
_QWEN2 = _contractions_and_words(r"\p{N}")
_LLAMA3 = _contractions_and_words(r"\p{N}{1,3}")

PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "default": (_GPT2,),  # what a file without the key gets
    "gpt-2": (_GPT2,),
    "gpt2": (_GPT2,),
    "smollm": (_SINGLE_DIGITS, _GPT2),
    "qwen2": (_QWEN2,),
    "deepseek-r1-qwen": (_QWEN2,),
    "llama-bpe": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "llama-v3": (_LLAMA3,),
}


class PreTokenizer:
    """Splits a text into words; joined, the words are the text again."""

    def __init__(self, name: str) -> None:
        """KeyError for a name that :data:`PRE_TOKENIZERS` does not have."""
        self._stages = [regex.compile(pattern) for pattern in PRE_TOKENIZERS[name]]

    def split(self, text: str) -> Iterator[str]:
        pieces: Iterator[str] = iter((text,))
        for stage in self._stages:
            pieces = _split_at(stage, pieces)
        return pieces


def _split_at(pattern: regex.Pattern[str], pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        end = 0
        for match in pattern.finditer(piece):
            start = match.start()
            if start > end:
                yield piece[end:start]
            end = match.end()
            yield match.group()
        if end < len(piece):
            yield piece[end:]
