"""Byte-level BPE (``tokenizer.ggml.model`` = gpt2): words of UTF-8 bytes, joined in the order of a list of merges."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile, Metadata
from q4engine.tokenizer.merging import WordCache, fewest_of, merge_symbols
from q4engine.tokenizer.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from q4engine.tokenizer.vocabulary import PREFIX, TokenType, Vocabulary, key_error

MOST_LETTERS = 1 << 18
"""Of one word: each costs some 3 µs and 250 bytes while it is merged."""
MOST_MERGES = 3 << 18
"""The largest vocabularies of today have some 600,000."""

# over all merges, each followed by a NUL; possessive, so that it neither backtracks nor remembers where it was
_WELL_FORMED = re.compile("(?:[^ \0]++ [^ \0]++\0)*+")


def _byte_alphabet() -> str:
    """GPT-2's letter for each byte: printable Latin-1 stands for itself, the others are moved to U+0100 and up."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, moved = [], 0x100
    for byte in range(256):
        letters.append(chr(byte if byte in printable else moved))
        moved += byte not in printable
    return "".join(letters)


_RARE_BYTES = frozenset({*range(0x20), 0x7F, *range(0xF1, 0xF8)})
"""Control characters and leads of planes 4 and up. Vocabularies trained on text without some of them have no tokens for
those (SmolLM2 lacks eight), and the models' own tokenizers leave them out."""

_LETTERS = _byte_alphabet()
_TO_LETTERS = dict(enumerate(_LETTERS))
_TO_BYTES = {letter: byte for byte, letter in enumerate(_LETTERS)}


def _in_letters(word: str) -> str:
    return word.encode().decode("latin-1").translate(_TO_LETTERS)


class ByteLevelBPE:
    """Encodes text without special tokens. Words seen before are looked up."""

    adds_space = False

    def __init__(self, gguf: GGUFFile, vocabulary: Vocabulary) -> None:
        metadata = gguf.metadata
        self._vocabulary = vocabulary
        # a set: comparing NumPy's numbers with an enum's members loses a Ctrl-C that comes meanwhile
        self._literal = frozenset(vocabulary.of_type(TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN))
        pre = metadata.string(PREFIX + "pre", "default")
        if pre not in PRE_TOKENIZERS:
            raise key_error(metadata, "pre", f"is {shown(pre)}, expected one of {', '.join(PRE_TOKENIZERS)}")
        self._words = PreTokenizer(pre)
        self._takes_whole_words = PRE_TOKENIZERS[pre].whole_words
        merges = _merges(metadata)
        # keyed by the line as it stands: cheaper to load than pairs; the first of equal lines has the lower rank
        self._ranks = dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))
        self._cache = WordCache()

    def extend(self, ids: list[int], text: str, at_start: bool, most: int | None = None) -> None:
        """Adds the ids of a text; ``at_start`` plays no part in byte-level BPE. TooManyTokensError where there are then
        more than ``most``."""
        self._cache.extend(ids, self._words.split(text), self, most)

    def token_bytes(self, token: int) -> bytes:
        """The bytes a token stands for. Letters outside the byte alphabet stand for themselves."""
        text = self._vocabulary.tokens[token]
        if token in self._literal:
            return text.encode()
        try:
            return bytes([_TO_BYTES[letter] for letter in text])
        except KeyError:
            return text.encode()

    @cached_property
    def _fewest(self) -> Callable[[str], int]:
        return fewest_of(self._vocabulary.tokens)

    @cached_property
    def _dropped(self) -> dict[int, None]:
        return {ord(_LETTERS[byte]): None for byte in _RARE_BYTES if _LETTERS[byte] not in self._vocabulary.ids}

    def letters(self, text: str) -> str:
        """The text in the vocabulary's letters, without bytes that may be dropped, which give no token."""
        return _in_letters(text).translate(self._dropped)

    def fewest(self, word: str) -> int:
        """Tokens that a word has at least."""
        return self._fewest(self.letters(word))

    def encode_word(self, word: str) -> list[int]:
        """The ids of one word."""
        letters = _in_letters(word)
        ids = self._vocabulary.ids
        if self._takes_whole_words and letters in ids:
            return [ids[letters]]
        if len(letters) > MOST_LETTERS:
            raise Q4Error(f"a word of {len(letters)} bytes, {shown(word[:20])}…, expected at most {MOST_LETTERS}")
        parts = merge_symbols(list(letters), self._rank)
        try:
            return [ids[part] for part in parts]
        except KeyError:
            return [ids[part] for part in parts if part in ids or not self._may_be_dropped(part)]

    def _may_be_dropped(self, part: str) -> bool:
        """For a part that is no token: Q4Error unless it is one of the bytes that real vocabularies lack."""
        where = f"{self._vocabulary.path}: key '{PREFIX}"
        if len(part) > 1:
            raise Q4Error(f"{where}merges' makes {shown(part)}, which key '{PREFIX}tokens' lacks")
        if _TO_BYTES[part] not in _RARE_BYTES:
            raise Q4Error(f"{where}tokens' has no token for the byte {_TO_BYTES[part]:#04x}, which is in the text")
        return True

    def _rank(self, left: str, right: str) -> int | None:
        return self._ranks.get(f"{left} {right}")


def _merges(metadata: Metadata) -> list[str]:
    """The lines in order. Q4Error where one is none, or where there are too many."""
    count = len(metadata.string_array(PREFIX + "merges"))
    if count > MOST_MERGES:
        raise key_error(metadata, "merges", f"has {count} elements, expected at most {MOST_MERGES}")
    merges = metadata.strings(PREFIX + "merges")
    if _WELL_FORMED.fullmatch("\0".join([*merges, ""])):
        return merges
    for index, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        if not left or not right or " " in right:
            found = f"has {shown(merge)} as element {index}"
            raise key_error(metadata, "merges", f"{found}, expected two tokens with one space between")
    return merges
