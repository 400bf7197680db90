"""tokenizer.json: its merges, most of a large one, are read in pieces and never all at once; what is left is small."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from q4engine.convert.json_file import JsonObject, file_bytes, told
from q4engine.errors import Q4Error
from q4engine.tokenizer.bpe import MOST_MERGES

_MOST_BYTES = 48 << 20  # Gemma 3's has 33 MB, nine of them without its 514,906 merges
_MOST_BYTES_BESIDE = 16 << 20
_PIECE = 4096  # merges
_BLANKS = rb"[ \t\n\r]*+"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_MERGE = rb"(?:%b|\[%b%b%b,%b%b%b\])" % (_STRING, _BLANKS, _STRING, _BLANKS, _BLANKS, _STRING, _BLANKS)
_MERGES = re.compile(rb'(?<!\\)"merges"%b:%b\[' % (_BLANKS, _BLANKS))  # in JSON that is nowhere but a key
_SOME = re.compile(
    rb'(?:%b%b%b(?:,(?=%b["\[])|(?=\]))){1,%d}+' % (_BLANKS, _MERGE, _BLANKS, _BLANKS, _PIECE)
)  # with the comma behind


class TokenizerJson:
    """``whole``: all of it; where the merges are in pieces there is an empty list in their place."""

    def __init__(self, whole: JsonObject, pieces: list[bytes]) -> None:
        self.whole = whole
        self._pieces = pieces

    @classmethod
    def read(cls, path: Path) -> TokenizerJson:
        """Q4Error where it cannot be read, is no JSON object, or is larger than a tokenizer is."""
        beside, pieces = _taken_apart(path, file_bytes(path, _MOST_BYTES))
        if len(beside) > _MOST_BYTES_BESIDE:
            raise Q4Error(f"{path}: has more than {_MOST_BYTES_BESIDE >> 20} MiB beside its merges")
        return cls(JsonObject.parse(path, beside), pieces)

    def merges(self) -> Iterator[str]:
        """Lines of two tokens with a space between. Q4Error where one is something else."""
        model = self.whole.object("model")
        for index, line in enumerate(self._lines() if self._pieces else map(_line, model.list("merges"))):
            if not isinstance(line, str) or line.count(" ") != 1:
                raise model.error("merges", f"has {told(line)} as element {index}, expected two tokens")
            yield line

    def _lines(self) -> Iterator[str]:
        """Of the pieces, which are strings and pairs of them and nothing else."""
        for piece in self._pieces:
            try:
                merges = json.loads(b"[%b]" % piece.rstrip(b", \t\n\r"))
            except ValueError as error:
                raise Q4Error(f"{self.whole.path}: is no JSON: {' '.join(str(error).split())}") from None
            yield from [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def _line(merge: Any) -> Any:
    """A pair of tokens as the line that it stands for; what is none stays."""
    if isinstance(merge, list) and len(merge) == 2 and all(isinstance(part, str) for part in merge):
        return " ".join(merge)
    return merge


def _taken_apart(path: Path, raw: bytes) -> tuple[bytes, list[bytes]]:
    """The file without its merges, and they in pieces; the whole file where they are not strings and pairs of them in
    one place."""
    keys = list(itertools.islice(_MERGES.finditer(raw), 2))
    if len(keys) != 1:
        return raw, []
    begin = at = keys[0].end()
    pieces: list[bytes] = []
    while match := _SOME.match(raw, at):
        pieces.append(match[0])
        at = match.end()
        if len(pieces) > MOST_MERGES // _PIECE:
            raise Q4Error(f"{path}: key 'model.merges' has more than {MOST_MERGES} elements")
    if raw[at : at + 1] != b"]":
        return raw, []
    return raw[:begin] + raw[at:], pieces
