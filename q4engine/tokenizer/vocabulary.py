"""The vocabulary of a GGUF file: tokens, their types, scores and special ids, checked before use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile, Metadata

PREFIX = "tokenizer.ggml."


class TokenType(IntEnum):
    """``tokenizer.ggml.token_type``, numbered as in the GGUF specification (0 is found in the wild for "not said")."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


END_TOKEN_TEXTS = (
    "<|endoftext|>",
    "<|im_end|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<EOT>",
)
"""Control tokens that end a turn in the chat formats of the supported models, whatever the metadata says of them."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id and ids by token. ``types`` has one integer a token; a special id is None where there is none."""

    path: Path
    tokens: list[str]
    ids: dict[str, int]
    types: np.ndarray
    bos_id: int | None
    eos_id: int | None
    unknown_id: int | None
    stop_ids: frozenset[int]

    @classmethod
    def from_gguf(cls, gguf: GGUFFile, defaults: dict[str, int]) -> Vocabulary:
        """Read and check. ``defaults``: ids by name ("bos") where a file is silent and that token's type fits."""
        metadata = gguf.metadata
        tokens = metadata.strings(PREFIX + "tokens")
        if not tokens:
            raise key_error(metadata, "tokens", "is an empty array, expected the vocabulary")
        types = _read_types(metadata, len(tokens))
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        special = {
            name: _special_id(metadata, name, types, defaults.get(name))
            for name in ("bos", "eos", "unknown", "eot", "eom")
        }
        stops = {special[name] for name in ("eos", "eot", "eom")} - {None}
        for text in END_TOKEN_TEXTS:
            token = ids.get(text)
            if token is not None and types[token] in (TokenType.CONTROL, TokenType.USER_DEFINED):
                stops.add(token)
        return cls(
            path=metadata.path,
            tokens=tokens,
            ids=ids,
            types=types,
            bos_id=special["bos"],
            eos_id=special["eos"],
            unknown_id=special["unknown"],
            stop_ids=frozenset(token for token in stops if token is not None),
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def of_type(self, *types: TokenType) -> list[int]:
        """Ids of the tokens of these types, ascending."""
        found: list[int] = np.flatnonzero(np.isin(self.types, types)).tolist()
        return found


def key_error(metadata: Metadata, name: str, message: str) -> Q4Error:
    """A Q4Error about the key ``tokenizer.ggml.<name>``."""
    return Q4Error(f"{metadata.path}: key {shown(PREFIX + name)} {message}")


def read_scores(metadata: Metadata, n_tokens: int) -> np.ndarray:
    """Merge scores of an SPM vocabulary, one a token, finite."""
    scores = metadata.reals(PREFIX + "scores")
    if len(scores) != n_tokens:
        raise key_error(metadata, "scores", f"has {len(scores)} elements, expected {n_tokens}, one a token")
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise key_error(metadata, "scores", f"has {scores[bad[0]]} for token {bad[0]}, expected finite numbers")
    return scores


def _read_types(metadata: Metadata, n_tokens: int) -> np.ndarray:
    if PREFIX + "token_type" not in metadata:
        return np.full(n_tokens, TokenType.NORMAL)
    types = metadata.integers(PREFIX + "token_type").copy()  # of the mapping, which may be closed
    if len(types) != n_tokens:
        raise key_error(metadata, "token_type", f"has {len(types)} elements, expected {n_tokens}, one a token")
    if types.max() > max(TokenType) or types.min() < 0:
        token = int(np.flatnonzero((types > max(TokenType)) | (types < 0))[0])
        raise key_error(metadata, "token_type", f"has {types[token]} for token {token}, expected 0 to {max(TokenType)}")
    return types


def _special_id(metadata: Metadata, name: str, types: np.ndarray, default: int | None) -> int | None:
    key = f"{name}_token_id"
    if PREFIX + key not in metadata:
        fits = default is not None and default < len(types) and types[default] in (TokenType.CONTROL, TokenType.UNKNOWN)
        return default if fits else None
    token = metadata.integer(PREFIX + key)
    if not 0 <= token < len(types):
        raise key_error(metadata, key, f"is {token}, expected a token id from 0 to {len(types) - 1}")
    return token
