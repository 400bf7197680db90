"""The merge loop that byte-level BPE and SPM share."""

from __future__ import annotations

import heapq
from collections.abc import Callable


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
