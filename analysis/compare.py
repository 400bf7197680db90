"""`python -m analysis.compare A B …`: what changed from one capture to others, with intervals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analysis import json_text
from analysis.changes import LETTERS, Comparison, Rate, with_first
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
from analysis.reports import compare_report, several_report, text
from analysis.reports.data import number
from analysis.reports.model import Report


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.compare",
        description="Compares captures with the first one, phase by phase; a change counts where its 95 % interval "
        "leaves 0 out.",
        examples=(
            "before.csv after.csv",
            "ours.csv llama.csv other.csv --plot differences.png",
            "before.csv after.csv --all --html compare.html",
            "before.csv after.csv --json | jq '.changes[] | select(.changed)'",
        ),
    )
    parser.add_argument(
        "captures",
        type=file,
        nargs="+",
        metavar="CAPTURE",
        help=f"two to {len(LETTERS)}; the first is what the others are compared with",
    )
    parser.add_argument("--json", action="store_true", help="everything as JSON on standard output")
    parser.add_argument("--all", action="store_true", help="show what did not change as well")
    parser.add_argument(
        "--by",
        choices=("operation", "tensor"),
        help="tensor: products by their weights, what one engine does at once taken together; the default between "
        "different engines",
    )
    add_output_options(parser, "draw a token's time in each by operation, and what makes the differences")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    if not 2 <= len(given.captures) <= len(LETTERS):
        parser.error(f"{len(given.captures)} captures, expected 2 to {len(LETTERS)}")
    refuse_conflicts(given, given.captures)
    options = options_of(given)
    captures = [load(path, options) for path in given.captures]
    say_which(*captures)
    results = with_first(captures, None if given.by is None else given.by == "tensor")
    if given.html or given.plot:
        write_report(_report(captures, results, True), given)
    if given.json:
        sys.stdout.write(_text(_data(captures, results)))
    else:
        report = _report(captures, results, given.all)
        sys.stdout.write(text.render(report, report.title))
    return OK


def _report(captures: Sequence[Capture], results: Sequence[Comparison], show_all: bool) -> Report:
    if len(captures) > 2:
        return several_report.of_captures(captures, results, show_all)
    return compare_report.of_comparison(captures[0], captures[1], results[0], show_all)


def _data(captures: Sequence[Capture], results: Sequence[Comparison]) -> dict[str, Any]:
    """Of two captures the comparison, of more a list of them with their letters."""
    found = [_of_two(captures[0], other, result) for other, result in zip(captures[1:], results, strict=True)]
    if len(found) == 1:
        return found[0]
    lettered = [{"letter": result.letter, **one} for one, result in zip(found, results, strict=True)]
    return {"captures": [str(capture.path) for capture in captures], "comparisons": lettered}


def _text(document: dict[str, Any]) -> str:
    return json_text.text(document)


def _of_two(left: Capture, right: Capture, result: Comparison) -> dict[str, Any]:
    return {
        "left": str(left.path),
        "right": str(right.path),
        "settings": [dict(zip(("key", "left", "right"), setting, strict=True)) for setting in result.settings],
        "verdicts": [dict(zip(("phase", "left", "right"), verdict, strict=True)) for verdict in result.verdicts],
        "unmatched": result.unmatched,
        **({"left_out": result.left_out} if result.left_out else {}),
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


def _rate(rate: Rate) -> dict[str, float | None]:
    return {key: number(value) for key, value in asdict(rate).items()}


if __name__ == "__main__":
    sys.exit(run(main))
