"""Finds special tokens in a text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

_FEW = 8  # first letters, each of which is tried at every place where one of them stands


class SpecialTokens:
    """Splits texts at the tokens of a set: leftmost first, the longest where several start at one place.

    Their first two characters tell where a token may start; a look-up by length decides. So the cost does not grow
    with the number of tokens, and no vocabulary makes an expression that is slow to compile.
    """

    def __init__(self, tokens: Iterable[tuple[str, int]]) -> None:
        self._ids = {text: token for text, token in tokens if text}
        lengths: dict[str, set[int]] = defaultdict(set)
        for text in self._ids:
            lengths[text[0]].add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._starts = re.compile(self._begin()) if self._ids else None

    def _begin(self) -> str:
        """Where a token may start: of few first letters those before a second one."""
        if len(self._lengths) > _FEW:
            return f"[{''.join(map(re.escape, self._lengths))}]"
        seconds: dict[str, set[str]] = defaultdict(set)
        for text in self._ids:
            seconds[text[0]].add(text[1:2])
        return "|".join(
            re.escape(first) + ("" if "" in found else f"(?=[{''.join(map(re.escape, sorted(found)))}])")
            for first, found in seconds.items()
        )

    @property
    def texts(self) -> Iterable[str]:
        """Of the tokens."""
        return self._ids

    def split(self, text: str) -> Iterator[str | int]:
        """The text as pieces in order: str between special tokens (never empty), int for a special token."""
        done = 0
        for start, token, length in self._occurrences(text):
            if start > done:
                yield text[done:start]
            yield token
            done = start + length
        if done < len(text):
            yield text[done:]

    def _occurrences(self, text: str) -> Iterator[tuple[int, int, int]]:
        if self._starts is None:
            return
        position = 0
        while match := self._starts.search(text, position):
            position = match.start()
            for length in self._lengths[match.group()]:
                token = self._ids.get(text[position : position + length])
                if token is not None:
                    yield position, token, length
                    position += length
                    break
            else:
                position += 1
