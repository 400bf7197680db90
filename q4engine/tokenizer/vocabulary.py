"""The vocabulary of a GGUF file: tokens, their types, scores and special ids, checked before use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile, Metadata
from q4engine.gguf.types import INTEGER_TYPES

PREFIX = "tokenizer.ggml."
MOST_TOKENS = 1 << 19
"""Each costs some 3 µs and 300 bytes. The largest vocabularies of today have 262,144."""


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
    "<end_of_utterance>",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
)
"""Tokens that end a text or a turn, and are control tokens, whatever the metadata says of them. As llama.cpp has it."""

INFILL_TEXTS = {
    "fim_pre": ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>", "<PRE>"),
    "fim_suf": ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>", "<SUF>"),
    "fim_mid": ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>", "<MID>"),
    "fim_pad": ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    "fim_rep": ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    "fim_sep": ("<|file_sep|>",),
}
"""Control tokens of code models by the key that names them: one with these texts where a file has no such key."""

_INFILL_ENDS = ("fim_pad", "fim_rep", "fim_sep")  # after these another file begins

SPECIAL_IDS = ("bos", "eos", "unknown", "eot", "eom")
"""Keys (``<name>_token_id``) that a tokenizer uses; others may say what they like."""
NO_TOKEN = (-1, 0xFFFFFFFF)
"""Ids by which converters say that there is no such token."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id and ids by token. ``types`` has one integer a token; a special id is None where there is none.

    ``notes``: lines for the user about special ids that are out of range, where nothing needs them.
    """

    path: Path
    tokens: list[str]
    ids: dict[str, int]
    types: np.ndarray
    bos_id: int | None
    eos_id: int | None
    unknown_id: int | None
    stop_ids: frozenset[int]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_gguf(cls, gguf: GGUFFile, defaults: dict[str, int]) -> Vocabulary:
        """Read and check. ``defaults``: ids by name ("bos") where a file is silent and that token's type fits."""
        metadata = gguf.metadata
        count = len(metadata.string_array(PREFIX + "tokens"))
        if count > MOST_TOKENS:
            raise key_error(metadata, "tokens", f"has {count} elements, expected at most {MOST_TOKENS}")
        tokens = metadata.strings(PREFIX + "tokens")
        if not tokens:
            raise key_error(metadata, "tokens", "is an empty array, expected the vocabulary")
        types = _read_types(metadata, len(tokens))
        ids = dict(zip(tokens, range(len(tokens)), strict=True))
        special = {name: _special_id(metadata, name, types, defaults.get(name)) for name in SPECIAL_IDS}
        stops = {special[name] for name in ("eos", "eot", "eom")} - {None}
        infill = {name: _infill_id(metadata, name, ids) for name in INFILL_TEXTS}
        stops |= {infill[name] for name in _INFILL_ENDS} - {None}
        ends = [ids[text] for text in END_TOKEN_TEXTS if text in ids]
        types[[token for token in (*ends, *infill.values()) if token is not None]] = TokenType.CONTROL
        stops.update(ends)
        return cls(
            path=metadata.path,
            tokens=tokens,
            ids=ids,
            types=types,
            bos_id=special["bos"],
            eos_id=special["eos"],
            unknown_id=special["unknown"],
            stop_ids=frozenset(token for token in stops if token is not None),
            notes=tuple(_out_of_range(metadata, len(tokens))),
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
    if token in NO_TOKEN:
        return None
    if not 0 <= token < len(types):
        raise key_error(metadata, key, f"is {token}, expected a token id from 0 to {len(types) - 1}")
    return token


def _infill_id(metadata: Metadata, name: str, ids: dict[str, int]) -> int | None:
    key = f"{PREFIX}{name}_token_id"
    if key in metadata and 0 <= metadata.integer(key) < len(ids):
        return metadata.integer(key)
    return next((ids[text] for text in INFILL_TEXTS[name] if text in ids), None)


def _out_of_range(metadata: Metadata, n_tokens: int) -> Iterator[str]:
    for key in metadata:
        if key.startswith(PREFIX) and key.endswith("_token_id") and metadata.type_of(key) in INTEGER_TYPES:
            token = metadata.integer(key)
            if not 0 <= token < n_tokens:
                expected = f"expected a token id from 0 to {n_tokens - 1}"
                yield f"{metadata.path}: key {shown(key)} is {token}, {expected}; it is ignored"
