"""`python -m analysis.roofline CAPTURE`: phases and operations under the bandwidth and arithmetic measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.loading import load
from analysis.options import OK, Parser, add_input_options, file, options_of, picture, positive, run, write


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
    capture = load(given.capture, options_of(given))
    from analysis.reports import figure, rooflines

    compute_peak = given.compute_peak * 1e9 if given.compute_peak else None
    if given.plot:
        write(given.plot, rooflines.picture(capture, compute_peak, figure.form_of(given.plot)))
    sys.stdout.write(rooflines.render(capture, compute_peak))
    return OK


if __name__ == "__main__":
    sys.exit(run(main))
