"""The order of runs: blocks that hold each combination once, shuffled by a stated seed, every second one backwards.

A machine that grows slower meanwhile slows all alike: within a pair of blocks each combination stands as far from the
beginning of the one as from the end of the other, so that a drift that is a line falls out of every comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from q4engine.sweep.combination import Combination


def block_order(combinations: Sequence[Combination], seed: int, block: int) -> list[Combination]:
    """The combinations of a block (from 0) in the order in which they run.

    It depends on their hashes, the seed and the block alone: the same on every machine, whatever Python, and also where
    others come in or are left out.
    """
    pair, backwards = divmod(block, 2)
    return sorted(combinations, key=lambda each: _draw(seed, pair, each.hash), reverse=bool(backwards))


def _draw(seed: int, pair: int, known_by: str) -> bytes:
    return hashlib.sha256(f"{seed}/{pair}/{known_by}".encode()).digest()
