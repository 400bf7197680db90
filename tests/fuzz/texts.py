"""Texts of any characters through tokenizers of every kind: a text comes back from its tokens."""

from __future__ import annotations

import random
from pathlib import Path

from vocab_files import CONTROL, USER_DEFINED, bpe_file, spm_file

from fuzz.harness import Folder
from q4engine.errors import Q4Error, TooManyTokensError
from q4engine.tokenizer import Tokenizer
from q4engine.tokenizer.pretokenizers import PRE_TOKENIZERS

_PIECES = (
    "a", "ab", "the", "The", " ", "  ", "\n", "\r\n", "\t", "1", "12345", "'s", "'LL", "é", "ﬁ", "一", "😀",
    "\u200d", "\u0300", "\ufeff", "\x00", "\x7f", "\x85", "\xa0", "\u2028", "\u2581", "\u0120", "\ud800", "\U0010ffff",
    "<s>", "</s>", "<|end|>", "<|", "|>", "<0x41>", "\uffff", "ß", "İ", "ſ", "٣", "Ⅷ", "-", "...", "<",
    "q" * 70, " " * 300, "the" * 60,
)  # fmt: skip
_MERGES = ["a b", "t h", "th e", "\u0120 a", "\u0120 the", "\u0120 \u0120", "1 2", "q q", "qq qq", "\u00c3 \u00a9"]
_SCORED = {
    **{piece: -float(at) for at, piece in enumerate(("\u2581", "a", "t", "h", "e", "q", "é", "1"))},
    "th": 1.0, "the": 2.0, "ab": 0.5, "\u2581the": 3.0, "qq": 0.1, "qqqq": 0.2, "\u2581\u2581": 0.3,
}  # fmt: skip


class Texts:
    """Byte-level BPE of every pre-tokenizer, and SPM."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._folder = Folder()
        folder = Path(self._folder.name)
        special = {"<|end|>": CONTROL, "<|": USER_DEFINED, "the the": USER_DEFINED}
        self._bpe, self._spm = [], []
        for pre in sorted(PRE_TOKENIZERS):
            with bpe_file(folder, _MERGES, special, pre=pre, add_bos_token=False) as file:
                self._bpe.append(Tokenizer.from_gguf(file))
        for prefix in (True, False):
            with spm_file(folder, _SCORED, add_space_prefix=prefix, add_bos_token=False) as file:
                self._spm.append(Tokenizer.from_gguf(file))

    def case(self, rng: random.Random) -> None:
        spm = rng.random() < 0.3
        tokenizer = rng.choice(self._spm if spm else self._bpe)
        text = _text(rng)
        special = rng.random() < 0.5
        ids = tokenizer.encode(text, False, special)
        # SPM takes U+2581 for a space, and puts one behind each special token
        if "\ud800" not in text and not (spm and (special or "\u2581" in text)):
            assert tokenizer.decode(ids, special=True) == text, f"{text!r} came back otherwise"
        most = rng.randrange(len(ids) + 2)
        try:
            assert tokenizer.encode(text, False, special, most) == ids and len(ids) <= most
        except TooManyTokensError:
            assert len(ids) > most
        tokenizer.decode(rng.choices(range(len(tokenizer)), k=5))


def _text(rng: random.Random) -> str:
    pieces = rng.choices(_PIECES, k=rng.choice((1, 2, 3, 5, 12)))
    if rng.random() < 0.3:
        pieces += [chr(rng.randrange(1, 0x3000)) for _ in range(4)]
    if rng.random() < 0.02:
        pieces *= 200
    return "".join(pieces)
