"""Models that lie in several files, ``name-00001-of-00003.gguf`` and so on, as llama.cpp's ``gguf-split`` writes them.

The first has the metadata; each has a part of the tensors and says which one it is.
"""

from __future__ import annotations

import re
from pathlib import Path

from q4engine.errors import Q4Error, shown
from q4engine.gguf.metadata import Metadata

KEYS = ("split.no", "split.count", "split.tensors.count")
_NAME = re.compile(r"(?s)(.*)-(\d{5})-of-(\d{5})\.gguf")


def place_of(metadata: Metadata) -> tuple[int, int] | None:
    """Which part a file is, from 0 on, and of how many; None for a file that is a whole model. Q4Error where that
    cannot be."""
    if metadata.integer("split.count", 0) <= 1:
        return None
    count, number = metadata.integer("split.count"), metadata.integer("split.no")
    if not 0 <= number < count:
        raise Q4Error(f"{metadata.path}: key 'split.no' is {number}, expected 0 to {count - 1}")
    return number, count


def paths_of(path: Path) -> list[Path]:
    """All files of the model that a name belongs to: the name alone unless it is one of several."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return [path]
    stem, _, count = match.groups()
    return [path.with_name(f"{stem}-{number:05}-of-{count}.gguf") for number in range(1, int(count) + 1)]


def other_parts(metadata: Metadata) -> list[Path]:
    """The files that a first part needs beside itself, in order. Q4Error where the file is another part, or its name is
    not the one that its place asks for."""
    place = place_of(metadata)
    if place is None:
        return []
    number, count = place
    path = metadata.path
    match = _NAME.fullmatch(path.name)
    if match is None or (int(match[2]), int(match[3])) != (number + 1, count):
        expected = f"a name that ends in -{number + 1:05}-of-{count:05}.gguf"
        raise Q4Error(f"{path}: is part {number + 1} of {count} of a model, expected {expected}")
    parts = paths_of(path)
    if number:
        raise Q4Error(f"{path}: is part {number + 1} of {count} of a model; give the first one, {parts[0].name}")
    return parts[1:]


def check_part(first: Metadata, part: Metadata, number: int) -> None:
    """Q4Error unless a file says that it is part ``number`` (from 0 on) of the model that starts with ``first``."""
    count = first.integer("split.count")
    place = place_of(part)
    if place != (number, count):
        found = "a whole model" if place is None else f"part {place[0] + 1} of {place[1]}"
        raise Q4Error(f"{part.path}: says that it is {found}, expected part {number + 1} of {count}")
    for key in part:
        if key not in KEYS and key in first and part.raw(key) != first.raw(key):
            raise Q4Error(f"{part.path}: key {shown(key)} differs from that of {first.path.name}")
