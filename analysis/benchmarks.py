"""`python -m analysis.benchmarks FILE…`: results of llama-bench from any machine, and of q4engine bench.

Reads the outputs md, csv, json, jsonl and sql of any version, and `q4engine sweep export`'s jsonl.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import json_text, outputs
from analysis.bench_files import read
from analysis.bench_pairs import Pair, against, within
from analysis.bench_result import Benchmark
from analysis.command_line import OK, Parser, add_output_options, file, positive, run, write_report
from analysis.errors import AnalysisError, printable
from analysis.reports import bench_report, text

REGRESSION = 3
"""Exit status where --against shows that something has become slower."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.benchmarks",
        description="Speeds by llama-bench or q4engine bench, with bandwidth, spread, and comparisons of builds and "
        "machines.",
        examples=(
            "llama-bench.json",
            "board.csv server.md --html speeds.html",
            "tg.jsonl --peak 41.2",
            "new.json --against old.json",
        ),
    )
    parser.add_argument("files", type=file, nargs="+", metavar="FILE", help="md, csv, json, jsonl or sql; -: stdin")
    parser.add_argument(
        "--peak", type=positive, metavar="GB/s", help="what the machine reads at most, 10^9 B/s: shares of it are told"
    )
    parser.add_argument(
        "--against",
        type=file,
        metavar="OLD",
        help="results before, of another commit, build or machine; exit status 3 where something is shown to be slower",
    )
    parser.add_argument("--json", action="store_true", help="every result and comparison as JSON on standard output")
    add_output_options(parser, "draw the speeds")
    given = parser.parse_args(arguments)
    read_files = [*(("a file of results", path) for path in given.files), ("--against", given.against)]
    if refused := outputs.conflict([("--plot", given.plot), ("--html", given.html)], read_files):
        raise AnalysisError(refused)
    results, notes = _read_all(given.files)
    changes = None if given.against is None else _changes(results, given.against, notes)
    peak = None if given.peak is None else 1e9 * given.peak
    old = "" if given.against is None else printable(str(given.against), 200)
    report = bench_report.of_benchmarks(results, notes, peak, changes, old)
    write_report(report, given)
    sys.stdout.write(_data(results, changes, peak, notes) if given.json else text.render(report, report.title))
    return REGRESSION if any(change.is_regression for change in changes or ()) else OK


def _read_all(paths: Sequence[Path]) -> tuple[list[Benchmark], list[str]]:
    results: list[Benchmark] = []
    notes: list[str] = []
    for path in dict.fromkeys(paths):
        found, said = read(path)
        results += found
        notes += [f"{printable(str(path), 200)}: {note}" for note in said]
    return results, notes


def _changes(results: Sequence[Benchmark], path: Path, notes: list[str]) -> list[Pair]:
    old, said = read(path)
    notes += [f"{printable(str(path), 200)}: {note}" for note in said]
    changes, unclear = against(results, old)
    if unclear:
        notes.append(f"{unclear} result(s) fit several setups of {printable(str(path), 200)}, and are not compared")
    if not changes:
        raise AnalysisError("has no setup in common with the results: model, test and settings", path=path)
    return changes


def _data(
    results: Sequence[Benchmark], changes: Sequence[Pair] | None, peak: float | None, notes: Sequence[str]
) -> str:
    numbers = {id(result): number for number, result in enumerate(results)}
    document = {
        "results": [_result(result, peak) for result in results],
        "within": [{"base": numbers[id(each.base)], **_pair(each, numbers)} for each in within(results)],
        "against": None
        if changes is None
        else [{"base": _result(each.base, None), **_pair(each, numbers)} for each in changes],
        "notes": list(notes),
    }
    return json_text.text(document)


def _result(result: Benchmark, peak: float | None) -> dict[str, Any]:
    bandwidth = result.bandwidth
    return {
        "file": result.source,
        "test": result.test,
        "n_prompt": result.n_prompt,
        "n_gen": result.n_gen,
        "n_depth": result.n_depth,
        "model_type": result.model or None,
        "model_filename": result.filename or None,
        "model_size": result.bytes,
        "settings": dict(result.settings),
        "origin": dict(result.origin),
        "test_time": result.time or None,
        "avg_ts": result.rate,
        "stddev_ts": result.deviation,
        "samples_ts": list(result.samples),
        "spread": result.spread,
        "weights_bytes_per_s": bandwidth,
        "share_of_peak": None if bandwidth is None or not peak else bandwidth / peak,
    }


def _pair(each: Pair, numbers: Mapping[int, int]) -> dict[str, Any]:
    """The result by its number among all."""
    return {
        "result": numbers[id(each.other)],
        "times_as_fast": each.ratio,
        "interval": each.interval,
        "verdict": each.verdict,
    }


if __name__ == "__main__":
    sys.exit(run(main))
