"""`python -m analysis.memory SAMPLES --address-map MAP`: accesses, bytes and latency by tensor and KV cache.

Reads samples with data addresses, of Arm's SPE or another PMU, as `perf script` or `perf mem report -D` prints them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from analysis import json_text, memory_samples, outputs
from analysis.address_map import read_map
from analysis.command_line import OK, Parser, add_output_options, at_least_one, file, finite, run, write_report
from analysis.errors import AnalysisError, printable
from analysis.function_shares import cut_samples
from analysis.memory_samples import Access, events
from analysis.memory_sums import Sum, summed
from analysis.readers.source import Source
from analysis.reports import memory_report, text
from analysis.reports.data import number

_PREFERRED = "memory"
"""The event of which SPE has one sample an operation; others are synthesised beside it."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.memory",
        description="Which tensors, and how much of the KV cache, memory accesses went to, what they cost, and where "
        "data came from.",
        examples=(
            "spe.txt --address-map map.csv --markers markers.csv --period 1024",
            "mem.txt --address-map map.csv --html memory.html",
        ),
    )
    parser.add_argument("file", type=file, metavar="SAMPLES", help="`perf script` or `perf mem report -D` as text")
    parser.add_argument(
        "--address-map", type=file, required=True, metavar="FILE", help="of `q4engine run` or `watch`, the same run"
    )
    parser.add_argument("--markers", type=file, metavar="FILE", help="markers file of `q4engine run --markers`")
    parser.add_argument("--offset", type=finite, default=0.0, metavar="SECONDS", help="added to the samples' times")
    parser.add_argument("--event", metavar="NAME", help="the event to take, where several were sampled")
    parser.add_argument("--period", type=at_least_one, metavar="N", help="accesses that a sample stands for")
    parser.add_argument(
        "--access-bytes", type=at_least_one, default=16, metavar="N", help="bytes of an access (16: a NEON register)"
    )
    parser.add_argument("--lenient", action="store_true", help="skip malformed rows instead of stopping")
    parser.add_argument("--json", action="store_true", help="every tensor as JSON on standard output")
    add_output_options(parser, "draw where each phase's accesses went")
    given = parser.parse_args(arguments)
    read = [("the samples", given.file), ("--address-map", given.address_map), ("--markers", given.markers)]
    if refused := outputs.conflict([("--plot", given.plot), ("--html", given.html)], read):
        raise AnalysisError(refused)
    sums, notes = _sums(given)
    report = memory_report.of_sums(printable(given.file.name, 200), sums, notes)
    write_report(report, given)
    sys.stdout.write(_data(sums, notes) if given.json else text.render(report, printable(str(given.file), 500)))
    return OK


def _sums(given: argparse.Namespace) -> tuple[dict[str, list[Sum]], list[str]]:
    """Of each phase what every tensor got, and notes."""
    known = read_map(given.address_map)
    source = Source(given.file, given.lenient)
    accesses = memory_samples.read(source)
    chosen, notes = _of_event(accesses, given)
    if given.markers is not None and not any(access.time_s for access in chosen):
        raise AnalysisError("its samples have no times, which --markers needs: export perf script", path=given.file)
    phases, more = cut_samples(chosen, given.markers, given.offset, given.lenient)
    period = given.period
    if period is None and max(access.period for access in chosen) <= 1:
        notes.append("the samples do not tell how many accesses each stands for: --period N says it, for bytes")
    sums = {phase: summed(found, known, period, given.access_bytes) for phase, found in phases.items() if found}
    if not any(one.kind for found in sums.values() for one in found):
        raise AnalysisError("no sample lies in the map: is it of the same run?", path=given.address_map)
    return sums, [*source.closing_notes(), *notes, *more]


def _of_event(accesses: list[Access], given: argparse.Namespace) -> tuple[list[Access], list[str]]:
    counts = events(accesses)
    named = ", ".join(f"{printable(name, 60)} {count}" for name, count in list(counts.items())[:8])
    event = given.event or (_PREFERRED if _PREFERRED in counts else max(counts, key=lambda name: counts[name]))
    if event not in counts:
        raise AnalysisError(f"has no samples of {printable(event)}; it has {named}", path=given.file)
    notes = [f"samples of {printable(event)} alone, of {named}; --event takes another"] if len(counts) > 1 else []
    return [access for access in accesses if access.event == event], notes


def _data(sums: Mapping[str, Sequence[Sum]], notes: Sequence[str]) -> str:
    phases = {phase: [_entry(one) for one in found] for phase, found in sums.items()}
    document = {"phases": phases, "notes": list(notes)}
    return json_text.text(document)


def _entry(one: Sum) -> dict[str, Any]:
    return {
        "name": one.title,
        "kind": one.kind or None,
        "samples": one.samples,
        "stores": one.stores,
        "share": one.share,
        "bytes": one.bytes,
        "latency_mean": number(one.mean),
        "latency_p95": number(one.p95),
        "levels": one.levels,
    }


if __name__ == "__main__":
    sys.exit(run(main))
