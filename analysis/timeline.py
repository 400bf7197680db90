"""`python -m analysis.timeline CAPTURE`: steps over time, how they spread, and what each one went to."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis import firefox
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
    write,
    write_report,
)
from analysis.judging import load
from analysis.reports import capture_report, text, timeline_report


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.timeline",
        description="One line a step: when, how long, how many tokens, its stalls and its verdict.",
        examples=(
            "capture.csv",
            "capture.csv --plot tokens.png",
            "capture.csv --firefox profile.json.gz",
            "perf.csv --markers markers.csv --offset 1234.5",
        ),
    )
    parser.add_argument("capture", type=file, metavar="CAPTURE", help="a capture, or counts of another tool")
    add_output_options(parser, "draw the steps over time")
    parser.add_argument(
        "--firefox",
        type=file,
        metavar="FILE.json",
        help="calls and operations for profiler.firefox.com; packed as FILE.json.gz",
    )
    add_input_options(parser)
    given = parser.parse_args(arguments)
    refuse_conflicts(given, [given.capture])
    capture = load(given.capture, options_of(given))
    say_which(capture)
    report = timeline_report.of_capture(capture, pages=bool(given.plot or given.html))
    write_report(report, given)
    write((given.firefox, lambda: firefox.profile(capture, firefox.is_packed(given.firefox))))
    sys.stdout.write(text.render(report, capture_report.source(capture)))
    return OK


if __name__ == "__main__":
    sys.exit(run(main))
