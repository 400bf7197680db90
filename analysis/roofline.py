"""`python -m analysis.roofline CAPTURE`: phases and operations under the bandwidth and arithmetic measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.command_line import (
    OK,
    Parser,
    add_input_options,
    file,
    options_of,
    picture,
    positive,
    refuse_conflicts,
    run,
    say_which,
    write,
)
from analysis.judging import load


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.roofline",
        description="Bytes from memory and work of each phase and operation, against the measured peaks.",
    )
    parser.add_argument("capture", type=file, metavar="CAPTURE")
    parser.add_argument("--plot", type=picture, metavar="FILE.png|FILE.svg", help="draw the roofline")
    parser.add_argument("--compute-peak", type=positive, metavar="GOP/s", help="measured arithmetic peak, 10^9 op/s")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    refuse_conflicts(given, [given.capture])
    capture = load(given.capture, options_of(given))
    say_which(capture)
    from analysis.reports import figure, roofline_chart

    compute_peak = given.compute_peak * 1e9 if given.compute_peak else None
    write((given.plot, lambda: roofline_chart.picture(capture, compute_peak, figure.form_of(given.plot))))
    sys.stdout.write(roofline_chart.render(capture, compute_peak))
    return OK


if __name__ == "__main__":
    sys.exit(run(main))
