"""`python -m analysis.stalls CAPTURE…`: what bounds each phase and token, by how much, and how sure that is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from analysis.command_line import (
    OK,
    Parser,
    add_input_options,
    add_output_options,
    expand,
    options_of,
    pattern,
    refuse_conflicts,
    run,
    write_report,
)
from analysis.errors import AnalysisError
from analysis.judging import load_runs
from analysis.reports import capture_report, data, groups, text


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    paths = expand(given.captures)
    if len(paths) > 1 and (given.plot or given.html):
        raise AnalysisError("--plot and --html draw one capture at a time")
    refuse_conflicts(given, paths)
    options = options_of(given)
    why_one = "--plot and --html draw one" if given.plot or given.html else ""
    captures = [capture for path in paths for capture in load_runs(path, options, why_one)]
    if given.plot or given.html:
        write_report(capture_report.of_capture(captures[0]), given)
    if given.json:
        sys.stdout.writelines(data.pieces(captures))
    elif given.group_by:
        sys.stdout.write(groups.render(captures, given.group_by))
    else:
        reports = (capture_report.of_capture(capture, pages=False) for capture in captures)
        sys.stdout.write("\n".join(map(text.render, reports, map(capture_report.source, captures))))
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis.stalls",
        description="Says for each phase of a capture whether memory or computing bounds it, from counts alone.",
        examples=(
            "capture.csv",
            "perf.csv --markers markers.csv --core neoverse-v2",
            "capture.csv --html report.html --plot cycles.png",
            "captures/ --group-by core,threads,model",
            "emulated.csv --assume 40,200",
        ),
    )
    parser.add_argument(
        "captures", nargs="+", type=pattern, metavar="CAPTURE", help="files, patterns or folders of captures"
    )
    parser.add_argument("--json", action="store_true", help="everything as JSON on standard output")
    add_output_options(parser, "draw where each phase's cycles and time went")
    parser.add_argument(
        "--group-by",
        type=groups.keys,
        metavar="KEY,…",
        help=f"one table over all captures, grouped by {', '.join(groups.KEYS)} or any header key",
    )
    add_input_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(run(main))
