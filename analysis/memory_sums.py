"""Samples with data addresses summed by the range that they lie in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.address_map import AddressMap, Range
from analysis.memory_samples import LEVELS, Access

ELSEWHERE = "elsewhere"
"""Stacks, code's constants, other libraries."""


@dataclass(frozen=True)
class Sum:
    """What a range got. kind: its, '' of what lies in none.  share: of the phase's samples.

    bytes: estimated, accesses times their width; None where a sample stands for an unknown number of them.
    mean, p95: cycles that an access took, NaN where not told.  levels: share of the samples that tell theirs.
    """

    title: str
    kind: str
    samples: int
    stores: int
    share: float
    bytes: float | None
    mean: float
    p95: float
    levels: dict[str, float]


def summed(accesses: Sequence[Access], known: AddressMap, period: int | None, access_bytes: int) -> list[Sum]:
    """Every range that has samples, the one with most first. period: accesses that a sample stands for."""
    by_range: dict[Range | None, list[Access]] = {}
    for access in accesses:
        by_range.setdefault(known.find(access.address), []).append(access)
    is_known = period is not None or any(access.period > 1 for access in accesses)
    found = [
        _sum(one, mine, len(accesses), period, access_bytes if is_known else None) for one, mine in by_range.items()
    ]
    return sorted(found, key=lambda one: (-one.samples, one.title))


def _sum(one: Range | None, mine: Sequence[Access], n_all: int, period: int | None, access_bytes: int | None) -> Sum:
    weights = [access.weight for access in mine if access.weight is not None]
    told = [access.level for access in mine if access.level]
    n_accesses = sum(period or access.period for access in mine)
    return Sum(
        title=ELSEWHERE if one is None else one.title,
        kind="" if one is None else one.kind,
        samples=len(mine),
        stores=sum(access.is_store for access in mine),
        share=len(mine) / n_all,
        bytes=None if access_bytes is None else access_bytes * n_accesses,
        mean=sum(weights) / len(weights) if weights else math.nan,
        p95=_percentile(sorted(weights), 0.95) if weights else math.nan,
        levels={level: told.count(level) / len(told) for level in LEVELS} if told else {},
    )


def _percentile(ordered: Sequence[int], level: float) -> float:
    """As NumPy's, which takes longer to begin than to look at a tensor's samples."""
    at = level * (len(ordered) - 1)
    below = ordered[math.floor(at)]
    return below + (ordered[math.ceil(at)] - below) * (at - math.floor(at))


def joined(title: str, found: Iterable[Sum]) -> Sum:
    """Several ranges as one, such as a tensor of every layer; its 95th percentile is the largest of theirs."""
    sums = list(found)
    samples = sum(one.samples for one in sums)
    timed = [one for one in sums if math.isfinite(one.mean)]
    n_timed, levelled = sum(one.samples for one in timed), [one for one in sums if one.levels]
    n_levelled = sum(one.samples for one in levelled)
    sizes = [one.bytes for one in sums if one.bytes is not None]
    return Sum(
        title=title,
        kind=sums[0].kind,
        samples=samples,
        stores=sum(one.stores for one in sums),
        share=sum(one.share for one in sums),
        bytes=sum(sizes) if sizes else None,
        mean=sum(one.mean * one.samples for one in timed) / n_timed if n_timed else math.nan,
        p95=max((one.p95 for one in timed), default=math.nan),
        levels={level: sum(one.levels[level] * one.samples for one in levelled) / n_levelled for level in LEVELS}
        if n_levelled
        else {},
    )
