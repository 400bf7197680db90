"""`python -m analysis.functions FILE`: the share of each function, per phase.

Reads Streamline's functions report (whole capture) or the text of `perf script`, which a markers file cuts into phases.
With `perf record -k CLOCK_MONOTONIC_RAW` both are on one clock.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import json_text, stacks
from analysis.command_line import (
    OK,
    Parser,
    add_output_options,
    at_least_one,
    file,
    finite,
    refuse_conflicts,
    run,
    write,
    write_report,
)
from analysis.errors import AnalysisError, printable
from analysis.function_shares import Share, read_functions
from analysis.perf_script import Sample
from analysis.reports import flame, functions_report, text


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.functions",
        description="Which functions each phase spent its time and events in.",
        examples=(
            "perf.txt --markers markers.csv",
            "perf.txt --markers markers.csv --comm q4engine --top 5",
            "perf.txt --markers markers.csv --flame flame.svg",
            "functions-1.csv --json",
        ),
    )
    parser.add_argument(
        "file", type=file, metavar="FILE", help="functions-*.csv of Streamline, or `perf script` as text"
    )
    parser.add_argument("--markers", type=file, metavar="FILE", help="markers file of `q4engine run --markers`")
    parser.add_argument("--offset", type=finite, default=0.0, metavar="SECONDS", help="added to the samples' times")
    parser.add_argument("--lenient", action="store_true", help="skip malformed rows instead of stopping")
    parser.add_argument(
        "--top", type=at_least_one, default=15, metavar="N", help="functions shown a phase and event (15)"
    )
    parser.add_argument("--comm", metavar="NAME", help="samples of threads of this name alone, where others ran too")
    parser.add_argument("--json", action="store_true", help="every function as JSON on standard output")
    add_output_options(parser, "draw the largest functions of each phase")
    group = parser.add_argument_group("call chains, for other tools")
    group.add_argument("--collapsed", type=file, metavar="FILE", help="a line a stack, as flamegraph.pl reads")
    group.add_argument("--speedscope", type=file, metavar="FILE.json", help="a profile a phase for www.speedscope.app")
    group.add_argument("--flame", type=file, metavar="FILE.svg", help="a flame graph a phase")
    given = parser.parse_args(arguments)
    refuse_conflicts(given, [given.file])
    found = read_functions(given.file, given.markers, given.offset, given.lenient, given.comm)
    notes = found.notes + _write_stacks(given, found.phases)
    report = functions_report.of_shares(given.file, found.shares, notes, given.top)
    write_report(report, given)
    source = printable(str(given.file), 500)
    sys.stdout.write(_data(given.file, found.shares, notes) if given.json else text.render(report, source))
    return OK


def _write_stacks(given: argparse.Namespace, phases: dict[str, list[Sample]]) -> list[str]:
    """The files for other tools that are asked for; notes on what the samples lack for them."""
    if not (given.collapsed or given.speedscope or given.flame):
        return []
    if not phases:
        raise AnalysisError("has no samples, which stacks are made of: export perf script", path=given.file)
    title = printable(given.file.name, 200)
    write(
        (given.collapsed, lambda: stacks.collapsed(phases)),
        (given.speedscope, lambda: stacks.speedscope(phases, title)),
        (given.flame, lambda: flame.graphs(phases, title)),
    )
    if any(sample.callers for samples in phases.values() for sample in samples):
        return []
    return ["no sample has callers: perf record --call-graph fp keeps them"]


def _data(path: Path, found: list[Share], notes: list[str]) -> str:
    entries = [vars(share) for share in found]
    return json_text.text({"path": str(path), "notes": notes, "functions": entries})


if __name__ == "__main__":
    sys.exit(run(main))
