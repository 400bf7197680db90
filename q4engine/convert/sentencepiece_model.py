"""tokenizer.model, SentencePiece's own file: a protobuf message of pieces, and how a text is normalised."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from q4engine.convert.json_file import file_bytes
from q4engine.errors import Q4Error
from q4engine.tokenizer.vocabulary import MOST_TOKENS

_MAX_BYTES = 1 << 23  # Gemma's has 4.7 MB
_MOST_FIELDS = 1 << 12  # of a message but for pieces
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of ModelProto
_MODEL_TYPE, _BPE = 3, 2  # of TrainerSpec
_SPACE_BEHIND = 24  # likewise
_CHARACTER_MAP, _ADD_DUMMY_PREFIX, _DROPS_SPACES = 2, 3, 4  # of NormalizerSpec


@dataclass(frozen=True)
class SentencePieces:
    """``types`` are numbered as GGUF's token types are."""

    pieces: list[str]
    scores: list[float]
    types: list[int]
    adds_space: bool


def read_pieces(path: Path) -> SentencePieces:
    """Q4Error where the file is none, not of the BPE kind, or changes texts in ways that GGUF has no keys for."""
    raw = file_bytes(path, _MAX_BYTES)
    found = SentencePieces([], [], [], True)
    model_type = 1  # unigram, the default of the format
    parts: dict[int, list[bytes]] = {_TRAINER: [], _NORMALIZER: []}
    try:
        for number, value in _fields(raw, MOST_TOKENS + _MOST_FIELDS):
            if number == _PIECES and isinstance(value, bytes):
                _add_piece(found, value)
            elif number in parts and isinstance(value, bytes):
                parts[number].append(value)
        # of a message that is there twice the fields count together
        trainer, normalizer = (b"".join(parts[number]) for number in (_TRAINER, _NORMALIZER))
        model_type = _number(trainer, _MODEL_TYPE, model_type)
        adds_space = bool(_number(normalizer, _ADD_DUMMY_PREFIX, True))
        changes = _changes(trainer, normalizer)
    except (ValueError, struct.error):
        raise Q4Error(f"{path}: is no SentencePiece model, or not a whole one") from None
    if not found.pieces:
        raise Q4Error(f"{path}: is no SentencePiece model: it has no pieces")
    if model_type != _BPE:
        raise Q4Error(f"{path}: is a SentencePiece model of type {model_type}, expected {_BPE} (BPE)")
    if changes:
        raise Q4Error(f"{path}: {changes}, which GGUF has no key for")
    return SentencePieces(found.pieces, found.scores, found.types, adds_space)


def _changes(trainer: bytes, normalizer: bytes) -> str:
    """What is done to a text before it is cut into pieces; nothing in the files of Llama, Mistral, Gemma and Phi."""
    if any(number == _CHARACTER_MAP and value for number, value in _fields(normalizer)):
        return "replaces characters by others (normalizer_spec.precompiled_charsmap)"
    if _number(normalizer, _DROPS_SPACES, True):
        return "makes one space of several (normalizer_spec.remove_extra_whitespaces)"
    if _number(trainer, _SPACE_BEHIND, False):
        return "puts spaces behind words (trainer_spec.treat_whitespace_as_suffix)"
    return ""


def _add_piece(found: SentencePieces, raw: bytes) -> None:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(raw):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    if not 1 <= kind <= 6:
        raise ValueError
    found.pieces.append(text)
    found.scores.append(score)
    found.types.append(kind)


def _number(raw: bytes, wanted: int, default: int) -> int:
    return next((value for number, value in _fields(raw) if number == wanted and isinstance(value, int)), default)


def _fields(raw: bytes, most: int = _MOST_FIELDS) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: numbers of varints, bytes of what has a length. ValueError for what is no message, or
    has more fields."""
    position = 0
    for _ in range(most):
        if position == len(raw):
            return
        key, position = _varint(raw, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(raw, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(raw, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError
        if position + size > len(raw):
            raise ValueError
        yield number, raw[position : position + size]
        position += size
    if position < len(raw):
        raise ValueError


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    if position < len(raw) and raw[position] < 0x80:
        return raw[position], position + 1
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(raw):
            break
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError
