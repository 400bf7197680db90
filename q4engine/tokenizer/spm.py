"""SentencePiece BPE (``tokenizer.ggml.model`` = llama): characters joined by the score of the token they make."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.tokenizer.merging import WordCache, fewest_of, merge_symbols
from q4engine.tokenizer.vocabulary import PREFIX, TokenType, Vocabulary, key_error, read_scores

SPACE = "\u2581"
"""Stands for a space in the vocabulary: LOWER ONE EIGHTH BLOCK."""
MOST_LETTERS = 1 << 18
"""Of what merges may make one token of, some 300 bytes each while it is merged."""
_LONG = 1 << 12

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class SentencePieceBPE:
    """Encodes text without special tokens; characters that have no token fall back to byte tokens."""

    def __init__(self, gguf: GGUFFile, vocabulary: Vocabulary) -> None:
        metadata = gguf.metadata
        self._vocabulary = vocabulary
        self._literal = frozenset(vocabulary.of_type(TokenType.CONTROL, TokenType.UNKNOWN))
        self.adds_space = metadata.flag(PREFIX + "add_space_prefix", True)
        self._byte_ids: dict[int, int] = {}
        for token in vocabulary.of_type(TokenType.BYTE):
            match = _BYTE_TOKEN.fullmatch(vocabulary.tokens[token])
            if match is None:
                found = shown(vocabulary.tokens[token])
                raise key_error(metadata, "tokens", f"has the byte token {token} {found}, expected <0x00> to <0xFF>")
            self._byte_ids[int(match[1], 16)] = token
        self._bytes = {token: bytes([byte]) for byte, token in self._byte_ids.items()}
        scores = read_scores(metadata, len(vocabulary)).tolist()
        # Every token may come of merges, a control token too, as in llama.cpp: the text "</s>" does where "</" and "s>"
        # are tokens. The highest score goes first.
        self._ids = vocabulary.ids
        self._ranks = {text: -scores[token] for text, token in vocabulary.ids.items()}
        # Where no token has a space after another character, no merge crosses the start of a word, and words can be
        # encoded one by one. The separator keeps neighbours in the joined string apart.
        crossing = re.search(f"[^{SPACE}\0]{SPACE}", "\0".join(self._ids))
        self._word = None if crossing else re.compile(f"{SPACE}*[^{SPACE}]*")
        self._cache = WordCache()

    def extend(self, ids: list[int], text: str, at_start: bool, most: int | None = None) -> None:
        """Adds the ids of a text; ``at_start``: it opens the prompt or follows a special token, and gets a space.

        TooManyTokensError where there are then more than ``most``.
        """
        if self.adds_space and at_start:
            text = " " + text
        self._cache.extend(ids, self._split(text.replace(" ", SPACE)), self, most)

    def token_bytes(self, token: int) -> bytes:
        """The bytes a token stands for."""
        byte = self._bytes.get(token)
        if byte is not None:
            return byte
        text = self._vocabulary.tokens[token]
        if token in self._literal:
            return text.encode()
        return text.replace(SPACE, " ").encode()

    def _split(self, text: str) -> Iterator[str]:
        if self._word is None:
            return iter((text,))
        return (match.group() for match in self._word.finditer(text) if match.group())

    def letters(self, text: str) -> str:
        """The text in the vocabulary's letters."""
        return text.replace(" ", SPACE)

    @cached_property
    def fewest(self) -> Callable[[str], int]:
        """Tokens that a word has at least."""
        return fewest_of(self._ids)

    def encode_word(self, word: str) -> list[int]:
        """The ids of one word, a text without spaces among them."""
        ids: list[int] = []
        for piece in self._apart(word) if len(word) > _LONG else (word,):
            for part in merge_symbols(list(piece), self._rank):
                token = self._ids.get(part)
                if token is None:
                    ids += self._fall_back(part)
                else:
                    ids.append(token)
        return ids

    def _apart(self, word: str) -> Iterator[str]:
        """A long word in pieces between which no merge is possible: no token has those two neighbours."""
        begin, pairs = 0, self._pairs
        for end in range(1, len(word) + 1):
            if word[end - 1 : end + 1] not in pairs:  # at the end of the word one character
                if end - begin > MOST_LETTERS:
                    what = f"{end - begin} characters that may be one word, {shown(word[begin : begin + 20])}…"
                    raise Q4Error(f"{what}, expected at most {MOST_LETTERS}")
                yield word[begin:end]
                begin = end

    @cached_property
    def _pairs(self) -> frozenset[str]:
        """Neighbours in some token."""
        return frozenset(text[at : at + 2] for text in self._ids for at in range(len(text) - 1))

    def _fall_back(self, part: str) -> list[int]:
        """A character without a token: its bytes, else the unknown token."""
        try:
            return [self._byte_ids[byte] for byte in part.encode()]
        except KeyError as error:
            byte = error.args[0]
        if self._vocabulary.unknown_id is not None:
            return [self._vocabulary.unknown_id]
        raise Q4Error(
            f"{self._vocabulary.path}: key '{PREFIX}tokens' has neither a token for {shown(part)} nor the byte token "
            f"<0x{byte:02X}> nor an unknown token"
        )

    def _rank(self, left: str, right: str) -> float | None:
        return self._ranks.get(left + right)
