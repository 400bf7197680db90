"""Which functions each phase spent its time and events in, from samples or from a report that has them summed."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from analysis import perf_script
from analysis.errors import AnalysisError, printable
from analysis.perf_script import Sample
from analysis.readers import read
from analysis.readers.markers_file import read_markers
from analysis.readers.source import Source
from analysis.spans import Span, spans_of_markers
from analysis.table import Table

_UNKNOWN = "[unknown]"
_SHOWN_NAMES = 6


@dataclass(frozen=True)
class Share:
    """A function's share, 0..1, of one phase's samples or counts of one event.

    samples: of how many the function was the top; None where a report tells shares alone.
    """

    phase: str
    event: str
    symbol: str
    image: str
    share: float
    amount: float
    samples: int | None = None


@dataclass(frozen=True)
class Functions:
    """shares: of every function, largest first within each phase and event.  notes: on what was left out.

    phases: the samples of each; none of a report that has them summed.
    """

    shares: list[Share]
    notes: list[str]
    phases: dict[str, list[Sample]]


def read_functions(
    path: Path, markers: Path | None, offset_s: float, lenient: bool, comm: str | None = None
) -> Functions:
    """What a file of samples or a report of functions tells, cut by the markers where they are given."""
    source = Source(path, lenient)
    if perf_script.looks_like(source.head):
        samples, notes = perf_script.read(source)
        samples, others = _of_threads(path, samples, comm)
        phases, more = cut_samples(samples, markers, offset_s, lenient)
        return Functions(_summed(phases), [*notes, *others, *more], phases)
    table = read(source)
    if table.functions is None:
        what = "it holds counts, no functions: read it with `python -m analysis.stalls`"
        raise AnalysisError(f"neither a functions report of Streamline nor the text of perf script; {what}", path=path)
    notes = [f"a functions report covers the whole capture; {option} is not used"
             for option, given in (("--markers", markers), ("--comm", comm)) if given]  # fmt: skip
    return Functions(_of_report(table), [*table.notes, *notes], {})


def _of_threads(path: Path, samples: list[Sample], comm: str | None) -> tuple[list[Sample], list[str]]:
    """The samples of the threads asked for, and notes on what the samples do not tell."""
    counts = Counter(sample.comm for sample in samples)
    names = ", ".join(f"{printable(name, 40)} {count}" for name, count in counts.most_common(_SHOWN_NAMES))
    if comm is not None:
        samples = [sample for sample in samples if sample.comm == comm]
        if not samples:
            raise AnalysisError(f"no samples of threads called {comm!r}; there are {names}", path=path)
        return samples, []
    notes = []
    if len(counts) > 1:
        more = f" and {len(counts) - _SHOWN_NAMES} more" if len(counts) > _SHOWN_NAMES else ""
        notes.append(f"samples of {names}{more}; --comm NAME takes those of one name")
    if not any(sample.symbol for sample in samples):
        notes.append("no sample names a function: perf script shows them with -F +ip,+sym")
    return samples, notes


def _of_report(table: Table) -> list[Share]:
    assert table.functions is not None
    frame = table.functions
    events = [name for name in frame.columns if name not in ("image", "symbol", "inlined_from")]
    found = []
    for event in events:
        total = float(frame[event].sum())
        if not total > 0:
            continue
        for symbol, image, amount in zip(frame["symbol"], frame["image"], frame[event], strict=True):
            if amount > 0:
                found.append(Share("all", str(event), str(symbol), str(image), float(amount) / total, float(amount)))
    return _sorted(found)


class _Timed(Protocol):
    @property
    def time_s(self) -> float: ...


T = TypeVar("T", bound=_Timed)


def cut_samples(
    samples: list[T], markers: Path | None, offset_s: float, lenient: bool
) -> tuple[dict[str, list[T]], list[str]]:
    """The samples of each phase of the markers, and notes. AnalysisError where none falls into any."""
    if markers is None:
        return {"all": samples}, ["no --markers: one phase for all samples"]
    times = [sample.time_s + offset_s for sample in samples]
    known = read_markers(markers, lenient)
    # neither the first sample nor the last one ends a phase, so the extent takes in the markers around them
    first, last = min(*times, known[0].time_s), max(*times, known[-1].time_s)
    spans = spans_of_markers(known, first, math.nextafter(last, math.inf))
    titles = [None if span.warmup else title for span, title in zip(spans, _titles(spans), strict=True)]
    starts = [span.start_s for span in spans]
    cut: dict[str, list[T]] = {title: [] for title in titles if title is not None}
    outside = 0
    for sample, time_s in zip(samples, times, strict=True):
        at = bisect_right(starts, time_s) - 1
        title = titles[at] if at >= 0 and time_s < spans[at].end_s else None
        if title is None:
            outside += 1
        else:
            cut[title].append(sample)
    if outside == len(samples):
        reach = f"{min(times):.3f} to {max(times):.3f} s, the markers {known[0].time_s:.3f} to {known[-1].time_s:.3f} s"
        raise AnalysisError(
            f"no sample falls into a phase of the markers: the samples lie at {reach}; "
            "record with perf record -k CLOCK_MONOTONIC_RAW, or give --offset",
            path=markers,
        )
    notes = [note for span in spans for note in span.notes]
    return cut, [
        *notes,
        *([f"{outside} of {len(samples)} samples lie outside every phase"] if outside else []),
    ]


def _titles(spans: Sequence[Span]) -> list[str]:
    several = len({span.generation for span in spans if not span.warmup}) > 1
    return [printable(span.label) + (f" #{span.generation + 1}" if several else "") for span in spans]


def _summed(cut: dict[str, list[Sample]]) -> list[Share]:
    found = []
    for phase, samples in cut.items():
        sums: dict[tuple[str, str, str], tuple[float, int]] = {}
        totals: dict[str, float] = {}
        for _, event, period, symbol, image, *_ in samples:
            key = (event, symbol or _UNKNOWN, image)
            amount, number = sums.get(key, (0.0, 0))
            sums[key] = amount + period, number + 1
            totals[event] = totals.get(event, 0.0) + period
        for (event, symbol, image), (amount, number) in sums.items():
            if totals[event] > 0:
                found.append(Share(phase, event, symbol, image, amount / totals[event], amount, number))
    return _sorted(found)


def _sorted(found: list[Share]) -> list[Share]:
    order = {key: number for number, key in enumerate(dict.fromkeys((share.phase, share.event) for share in found))}
    return sorted(found, key=lambda share: (order[share.phase, share.event], -share.share, share.symbol))
