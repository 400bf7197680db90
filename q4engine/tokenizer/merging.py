"""What byte-level BPE and SPM share: the merge loop, and a cache of words."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

_CACHE_WORDS = 1 << 15
_CACHE_CHARS = 64


class WordCache:
    """Ids of words, those of short words kept: texts repeat them. Never more than some thousand words."""

    def __init__(self, encode_word: Callable[[str], list[int]]) -> None:
        self._encode_word = encode_word
        self._known: dict[str, list[int]] = {}

    def ids(self, words: Iterable[str]) -> list[int]:
        """The ids of all words, one after the other."""
        ids: list[int] = []
        cache = self._known
        for word in words:
            known = cache.get(word)
            if known is None:
                known = self._encode_word(word)
                if len(word) <= _CACHE_CHARS and len(cache) < _CACHE_WORDS:
                    cache[word] = known
            ids += known
        return ids


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
