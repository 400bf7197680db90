"""`python -m analysis.compare A B`: what changed between two captures, with intervals."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from analysis.changes import Comparison, Rate, compare
from analysis.command_line import (
    OK,
    Parser,
    add_input_options,
    add_output_options,
    file,
    options_of,
    refuse_conflicts,
    run,
    say_which,
    write_report,
)
from analysis.judging import Capture, load
from analysis.reports import compare_report, text
from analysis.reports.data import number
from analysis.terminal import holds_all


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.compare",
        description="Compares two captures phase by phase; a change counts where its 95 % interval leaves 0 out.",
        examples=(
            "before.csv after.csv",
            "before.csv after.csv --all --html compare.html",
            "before.csv after.csv --json | jq '.changes[] | select(.changed)'",
        ),
    )
    parser.add_argument("left", type=file, metavar="A", help="the capture before")
    parser.add_argument("right", type=file, metavar="B", help="the capture after")
    parser.add_argument("--json", action="store_true", help="everything as JSON on standard output")
    parser.add_argument("--all", action="store_true", help="show what did not change as well")
    parser.add_argument(
        "--by",
        choices=("operation", "tensor"),
        help="tensor: products by their weights, what one engine does at once taken together; the default between "
        "different engines",
    )
    add_output_options(parser, "draw a token's time in both, by operation")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    refuse_conflicts(given, [given.left, given.right])
    options = options_of(given)
    left, right = load(given.left, options), load(given.right, options)
    say_which(left, right)
    result = compare(left, right, None if given.by is None else given.by == "tensor")
    write_report(compare_report.of_comparison(left, right, result, True), given)
    if given.json:
        sys.stdout.write(_data(left, right, result))
    else:
        report = compare_report.of_comparison(left, right, result, given.all)
        sys.stdout.write(text.render(report, report.title))
    return OK


def _data(left: Capture, right: Capture, result: Comparison) -> str:
    document = {
        "left": str(left.path),
        "right": str(right.path),
        "settings": [dict(zip(("key", "left", "right"), setting, strict=True)) for setting in result.settings],
        "verdicts": [dict(zip(("phase", "left", "right"), verdict, strict=True)) for verdict in result.verdicts],
        "unmatched": result.unmatched,
        "alone": [dict(zip(("phase", "capture", "what"), entry, strict=True)) for entry in result.alone],
        "together": [dict(zip(("phase", "what"), entry, strict=True)) for entry in result.together],
        "explained": {phase: number(result.explained(phase)) for phase, _, _ in result.verdicts},
        "rates": [
            {"phase": phase, "name": name, "left": _rate(one), "right": _rate(other)}
            for phase, name, one, other in result.rates
        ],
        "changes": [
            {
                "phase": change.phase,
                "kind": change.kind,
                "name": change.name,
                "unit": change.unit,
                "left": change.left,
                "right": change.right,
                "relative": number(change.relative),
                "difference": number(change.difference),
                "only_in": change.only_in or None,
                "interval": list(change.interval) if change.interval else None,
                "changed": change.has_changed,
            }
            for change in result.changes
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=not holds_all(), allow_nan=False) + "\n"


def _rate(rate: Rate) -> dict[str, float | None]:
    return {key: number(value) for key, value in asdict(rate).items()}


if __name__ == "__main__":
    sys.exit(run(main))
