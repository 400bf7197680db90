"""Lines of a block of bytes by their shape, all at once: lines that are spelled alike are columns of digits.

The first of such lines is looked up as any single one is (`Shapes.find`); of the others no line is split, since each
of its numbers stands where the first one's do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from analysis.readers.perf_rows import LONGEST_ROW
from analysis.readers.shapes import Found, Reading, Shapes
from analysis.readers.source import Source

FEWEST = 200
"""Lines for which it is worth it."""
ALIKE, FEW_TEXTS = 3, 16
"""Lines of one spelling, on average, for which it is worth it, save where there are few spellings."""

_ZEROED = bytes.maketrans(b"123456789", b"000000000")
_EXACT = 1 << 53
"""Whole numbers below are floats, so that one divided by a power of ten is what `float` reads."""


class Lines:
    """The lines of a source, with what is known of their shapes."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._row, self._block = 0, b""
        self._found: list[Found | None] | None = None
        self._is_mixed = False
        self._n_asked = 0  # of the block's lines

    def of_source(self, source: Source, exact: bool = True) -> Iterator[tuple[int, str]]:
        """(row, line) of every line that is not empty."""
        for row, block in source.blocks():
            yield from self.of_block(source, row, block, exact)

    def of_block(self, source: Source, row: int, block: bytes, exact: bool = True) -> Iterator[tuple[int, str]]:
        """(row, line) of every line of a block that is not empty. row: of its first line."""
        self._row, self._block, self._found, self._is_mixed, self._n_asked = row, block, None, False, 0
        return source.decode_block(row, block, exact)

    def find(self, row: int, line: str) -> Found | None:
        """What `Shapes.find` says of the line in that row, the last that was read."""
        self._n_asked += 1
        is_alone = self._n_asked <= FEWEST or self._are_unlike()
        found = self.shapes.find(line) if is_alone or not self._found else self._found[row - self._row]
        return found or self.shapes.by_words(line)

    def _are_unlike(self) -> bool:
        """Whether hardly two lines of the block are spelled alike."""
        if self._found is None and not self._is_mixed:
            self._found = _found(self.shapes, self._block)
            self._is_mixed = self._found is None
        return self._is_mixed


class _Numbers(NamedTuple):
    """Where the digits of a line are, all as columns of bytes. of: those of each number. others: of no number."""

    texts: list[str]
    of: list[list[int]]
    others: list[int]


def _found(shapes: Shapes, block: bytes) -> list[Found | None] | None:
    """A shape and values for each line; None where too few lines are spelled alike."""
    spelled: dict[bytes, int] = {}
    codes = [spelled.setdefault(key, len(spelled)) for key in block.translate(_ZEROED).split(b"\n")[:-1]]
    if len(codes) < FEWEST or len(spelled) * ALIKE > len(codes):
        return None
    data = np.frombuffer(block, dtype=np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(data == ord("\n"))[:-1] + 1))
    order = np.argsort(np.array(codes), kind="stable")
    lengths = np.bincount(codes)
    found: list[Found | None] = [None] * len(codes)
    for key, lines in zip(spelled, np.split(order, np.cumsum(lengths)[:-1]), strict=True):
        if key.strip() and len(key) <= LONGEST_ROW:
            _find_alike(shapes, data, starts[lines], lines, len(key), found)
    return found


def _find_alike(
    shapes: Shapes, data: np.ndarray, starts: np.ndarray, lines: np.ndarray, length: int, found: list[Found | None]
) -> None:
    """Of lines that differ in digits alone, those in words too. starts: where in the data each begins."""
    line = _text(data, starts[0], length)
    numbers = _numbers(shapes, line) if line is not None else None
    if numbers is None:
        return
    columns = [*numbers.others, *(column for number in numbers.of for column in number)]
    digits = data[starts[:, None] + np.array(columns, dtype=np.int64)]
    if shapes.kind.is_strict:
        are_ours = _without_leading_zeros(numbers, digits[:, len(numbers.others) :])
        starts, lines, digits = starts[are_ours], lines[are_ours], digits[are_ours]
    for same in _with_the_same(digits[:, : len(numbers.others)]):
        first = _text(data, starts[same[0]], length)
        known = shapes.find(first) if first is not None else None
        if known is None and first is not None and len(same) > 1:
            known = shapes.find(first)  # the second of them, which is spelled alike
        if known is None:
            continue
        shape, values = known
        if len(same) == 1:
            found[lines[same[0]]] = known
            continue
        mine = digits[same, len(numbers.others) :]
        of_shape = [_values(reading, numbers, mine) for reading in shape.readings]
        rows = np.array(of_shape).T.tolist() if of_shape else [values] * len(same)
        for at, row in zip(lines[same].tolist(), rows, strict=True):
            found[at] = (shape, row)


def _text(data: np.ndarray, start: int, length: int) -> str | None:
    try:
        return data[start : start + length].tobytes().decode().rstrip("\r")
    except UnicodeDecodeError:
        return None


def _numbers(shapes: Shapes, line: str) -> _Numbers | None:
    """None where a number has digits beyond 0 to 9."""
    parts = shapes.kind.number.split(line)
    of: list[list[int]] = []
    others: list[int] = []
    at = 0
    for n, part in enumerate(parts):
        columns = [at + i for i, byte in enumerate(part.encode()) if ord("0") <= byte <= ord("9")]
        at += len(part.encode())
        if n % 2:
            of.append(columns)
            if len(columns) != sum(map(str.isdigit, part)):
                return None
        else:
            others += columns
    return _Numbers(parts[1::2], of, others)


def _with_the_same(words: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of the rows, apart for each of the texts; none where hardly two have the same.

    Those have numbers within words, as a program counts on.
    """
    if not len(words):
        return
    if not words.shape[1] or (words == words[0]).all():
        yield np.arange(len(words))
        return
    texts = np.ascontiguousarray(words).view(f"V{words.shape[1]}").ravel()
    different, codes = np.unique(texts, return_inverse=True)
    if len(different) > FEW_TEXTS and len(different) * ALIKE > len(texts):
        return
    order = np.argsort(codes, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _columns_of(numbers: _Numbers, at: int) -> slice:
    before = sum(map(len, numbers.of[:at]))
    return slice(before, before + len(numbers.of[at]))


def _without_leading_zeros(numbers: _Numbers, digits: np.ndarray) -> np.ndarray:
    """Whether no number of a line begins with a needless 0. digits: [lines, digits of all numbers]."""
    are_long = [at for at, text in enumerate(numbers.texts) if text[:2].isdigit() and len(text) > 1]
    firsts = [_columns_of(numbers, at).start for at in are_long]
    none: np.ndarray = (digits[:, firsts] != ord("0")).all(axis=1)
    return none


def _values(reading: Reading, numbers: _Numbers, digits: np.ndarray) -> np.ndarray:
    """What `Reading.value` is for each line. digits: [lines, digits of all numbers]."""
    mine = digits[:, _columns_of(numbers, reading.at)].astype(np.int64) - ord("0")
    text, point = numbers.texts[reading.at], reading.point or "."
    text = text.replace(reading.drop, "") if reading.drop else text
    n_decimals = len(text.rpartition(point)[2]) if point in text else 0
    while n_decimals and not mine[:, -1].any():
        mine, n_decimals = mine[:, :-1], n_decimals - 1
    whole = mine @ (10 ** np.arange(mine.shape[1] - 1, -1, -1))
    if n_decimals and whole.max() >= _EXACT:
        values = np.array([float(f"{number}e-{n_decimals}") for number in whole.tolist()])
    else:
        values = whole / 10.0**n_decimals
    return values / 100 if reading.scale < 1 else values
