"""`python -m analysis.sweep RESULTS`: tables and pictures of a sweep, every comparison with its interval.

`q4engine sweep PLAN.toml` writes such a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis import json_text, medians, outputs
from analysis.command_line import OK, Parser, add_output_options, file, run, write_report
from analysis.errors import AnalysisError, printable
from analysis.reports import sweep_report, text
from analysis.reports.data import number
from analysis.sweep_pairs import Change, against, pairs
from analysis.sweep_results import SweepResults, Times, read

REGRESSION = 3
"""Exit status where --against shows that something has become slower."""


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.sweep",
        description="Tables and pictures of what q4engine sweep measured; every comparison with its interval.",
        examples=(
            "sweep.sqlite",
            "sweep.sqlite --html sweep.html --plot sweep.png",
            "new.sqlite --against old.sqlite",
            "sweep.sqlite --json",
        ),
    )
    parser.add_argument("results", type=file, metavar="RESULTS", help="the file of q4engine sweep")
    parser.add_argument(
        "--against",
        type=file,
        metavar="OLD",
        help="results of the same plan before: what has changed; exit status 3 where something is shown to be slower",
    )
    parser.add_argument("--json", action="store_true", help="medians and all pairs as JSON on standard output")
    add_output_options(parser, "draw the leading views")
    given = parser.parse_args(arguments)
    read_files = [("the results", given.results), ("--against", given.against)]
    if refused := outputs.conflict([("--plot", given.plot), ("--html", given.html)], read_files):
        raise AnalysisError(refused)
    results = read(given.results)
    if not results.times:
        raise AnalysisError("holds no run that has a result", path=given.results)
    changes = None if given.against is None else against(results, read(given.against))
    if changes is not None and not changes:
        raise AnalysisError("has no setup in common with the results", path=given.against)
    report = sweep_report.of_sweep(results, changes, "" if changes is None else printable(str(given.against)))
    write_report(report, given)
    sys.stdout.write(_data(results, changes) if given.json else text.render(report, str(given.results)))
    return REGRESSION if any(change.is_regression for change in changes or []) else OK


def _data(results: SweepResults, changes: Sequence[Change] | None) -> str:
    document = {
        "name": results.name,
        "runs": results.states,
        "phases": {phase: _phase(times) for phase, times in results.times.items()},
        "components": [
            {"setup": known_by, "phase": phase, "s_per_token": by_name}
            for (known_by, phase), by_name in results.components.items()
        ],
        "against": None if changes is None else [_change(change) for change in changes],
    }
    return json_text.text(document)


def _phase(times: Times) -> dict[str, object]:
    setups = []
    for row, setup in enumerate(times.setups):
        values = times.of(row)
        setups.append(
            {
                "hash": setup.known_by,
                **setup.values,
                "s_per_token": medians.middle(values),
                "interval": medians.interval(values),
                "by_block": [number(value) for value in times.seconds[row].tolist()],
            }
        )
    compared = [
        {
            "one": pair.one.known_by,
            "other": pair.other.known_by,
            "axes": pair.axes,
            "times_as_fast": pair.ratio,
            "interval": pair.interval,
            "blocks": pair.blocks,
            "verdict": pair.verdict,
        }
        for pair in (pairs(times) if times.phase != "load" else ())
    ]
    return {"setups": setups, "pairs": compared}


def _change(change: Change) -> dict[str, object]:
    return {
        "setup": change.setup.known_by,
        "phase": change.phase,
        "then_s_per_token": change.old,
        "now_s_per_token": change.new,
        "times_as_fast": change.ratio,
        "interval": change.interval,
        "chance": change.chance,
        "verdict": change.verdict,
    }


if __name__ == "__main__":
    sys.exit(run(main))
