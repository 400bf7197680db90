"""`python -m analysis.roofline CAPTURE`: phases and operations under the bandwidth and arithmetic measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command_line import (
    OK,
    Parser,
    add_input_options,
    add_output_options,
    file,
    options_of,
    positive,
    refuse_conflicts,
    run,
    say_which,
    write_report,
)
from analysis.judging import load
from analysis.reports import capture_report, roofline_chart, text


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.roofline",
        description="Bytes from memory and work of each phase and operation, against the measured peaks.",
        examples=(
            "capture.csv",
            "capture.csv --read-peak 41.2 --compute-peak 800 --plot roofline.svg",
        ),
    )
    parser.add_argument("capture", type=file, metavar="CAPTURE", help="a capture, or counts of another tool")
    add_output_options(parser, "draw the roofline")
    parser.add_argument("--compute-peak", type=positive, metavar="GOP/s", help="measured arithmetic peak, 10^9 op/s")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    refuse_conflicts(given, [given.capture])
    capture = load(given.capture, options_of(given))
    say_which(capture)
    report = roofline_chart.of_capture(capture, given.compute_peak * 1e9 if given.compute_peak else None)
    write_report(report, given)
    sys.stdout.write(text.render(report, capture_report.source(capture)))
    return OK


if __name__ == "__main__":
    sys.exit(run(main))
