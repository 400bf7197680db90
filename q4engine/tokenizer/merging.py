"""What byte-level BPE and SPM share: the merge loop, and a cache of words."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Protocol

from q4engine.errors import TooManyTokensError

_CACHE_WORDS = 1 << 15
_CACHE_CHARS = 64
_AT_ONCE = 1 << 12


class WordEncoder(Protocol):
    def encode_word(self, word: str) -> list[int]: ...

    def fewest(self, word: str) -> int:
        """Tokens that a word has at least, told without encoding it."""


class WordCache:
    """Ids of words, those of short words kept: texts repeat them. Never more than some thousand words."""

    def __init__(self) -> None:
        self._known: dict[str, list[int]] = {}

    def extend(self, ids: list[int], words: Iterable[str], encoder: WordEncoder, most: int | None = None) -> None:
        """Adds the ids of all words, one after the other. TooManyTokensError where there are then more than ``most``.

        A long word is not encoded where ``fewest`` says that it has more: that would take a kilobyte a letter.
        """
        if most is None:
            words = iter(words)
            while some := list(islice(words, _AT_ONCE)):
                self._extend(ids, some, encoder)
            return
        cache = self._known
        for word in words:
            known = cache.get(word)
            if known is None:
                if len(word) > _CACHE_CHARS:
                    _refuse_more(len(ids) + encoder.fewest(word), most)
                known = encoder.encode_word(word)
                if len(word) <= _CACHE_CHARS and len(cache) < _CACHE_WORDS:
                    cache[word] = known
            ids += known
            _refuse_more(len(ids), most)

    def _extend(self, ids: list[int], words: list[str], encoder: WordEncoder) -> None:
        """The same of some words, each looked up without a step of the interpreter."""
        cache = self._known
        passing: list[str] = []
        if fresh := set(words).difference(cache):
            for word in dict.fromkeys(words):
                if word in fresh:
                    known = encoder.encode_word(word)
                    if len(word) > _CACHE_CHARS or len(cache) - len(passing) >= _CACHE_WORDS:
                        passing.append(word)
                    cache[word] = known
        ids.extend(chain.from_iterable(map(cache.__getitem__, words)))
        for word in passing:
            del cache[word]


def _refuse_more(n_tokens: int, most: int) -> None:
    if n_tokens > most:
        raise TooManyTokensError(n_tokens, most)


def fewest_of(tokens: Iterable[str]) -> Callable[[str], int]:
    """A function that tells how many of these tokens a text has at least: no letter is less of one than its share of
    the longest token that has it."""
    longest: dict[str, int] = {}
    for token in sorted(tokens, key=len):
        longest.update(dict.fromkeys(token, len(token)))

    def fewest(text: str) -> int:
        return int(sum(count / longest.get(letter, 1) for letter, count in Counter(text).items()))

    return fewest


def merge_symbols(symbols: list[str], rank: Callable[[str, str], float | None]) -> list[str]:
    """Join neighbouring symbols, always the pair of lowest ``rank`` first and the leftmost of equal ones, until no
    neighbours have a rank.

    A heap of candidate pairs over a linked list: O(n log n) for n symbols, also where a whole text is one word. A
    heap entry is stale once either of its symbols has changed; symbols only grow, so comparing their texts tells.
    """
    count = len(symbols)
    if count < 2:
        return symbols
    texts: list[str] = list(symbols)  # "" where a symbol was joined to the one on its left
    following = list(range(1, count + 1))
    preceding = list(range(-1, count - 1))
    heap: list[tuple[float, int, str, str]] = []
    for index in range(count - 1):
        order = rank(texts[index], texts[index + 1])
        if order is not None:
            heap.append((order, index, texts[index], texts[index + 1]))
    heapq.heapify(heap)
    while heap:
        _, index, left, right = heapq.heappop(heap)
        other = following[index]
        if other >= count or texts[index] != left or texts[other] != right:
            continue
        texts[index], texts[other] = left + right, ""
        after = following[index] = following[other]
        before = preceding[index]
        if after < count:
            preceding[after] = index
            order = rank(texts[index], texts[after])
            if order is not None:
                heapq.heappush(heap, (order, index, texts[index], texts[after]))
        if before >= 0:
            order = rank(texts[before], texts[index])
            if order is not None:
                heapq.heappush(heap, (order, before, texts[before], texts[index]))
    return [text for text in texts if text]
