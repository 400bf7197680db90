"""`python -m analysis.timeline CAPTURE`: tokens over time, with the shares of their cycles stacked."""

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
    refuse_conflicts,
    run,
    say_which,
    write,
)
from analysis.errors import printable
from analysis.judging import Capture, load
from analysis.terminal import aligned, fitted


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.timeline",
        description="One line a step: when, how long, how many tokens, its stalls and its verdict.",
    )
    parser.add_argument("capture", type=file, metavar="CAPTURE")
    parser.add_argument("--plot", type=picture, metavar="FILE.png|FILE.svg", help="draw the steps over time")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    refuse_conflicts(given, [given.capture])
    capture = load(given.capture, options_of(given))
    say_which(capture)
    if given.plot:
        from analysis.reports import figure, pictures

        write((given.plot, lambda: pictures.timeline(capture, figure.form_of(given.plot))))
    sys.stdout.write(render(capture))
    return OK


def render(capture: Capture) -> str:
    """The steps as a table, ending in a line break."""
    emulated = "  EMULATED" if capture.is_emulated else ""
    lines = fitted([f"{printable(str(capture.path), 500)}{emulated}"])
    rows = [("phase", "past", "tokens", "start", "length", "be", "m", "verdict")]
    for phase in capture.judged():
        for step, judgement in phase.steps:
            ratios = judgement.stalls.ratios
            shares = [ratios[key].number() if key in ratios else float("nan") for key in ("be", "m")]
            cells = [f"{100 * share:.1f} %" if share == share else "-" for share in shares]
            rows.append(
                (
                    phase.title,
                    str(step.n_past),
                    str(step.n_eval),
                    "-" if phase.context.emulated else f"{step.start_s:.6f} s",
                    "-" if phase.context.emulated else f"{1e3 * step.duration_s:.3f} ms",
                    cells[0],
                    cells[1],
                    str(judgement.combined.outcome),
                )
            )
    if len(rows) == 1:
        lines.append("no steps: the capture has no calls and no markers (see --markers)")
        return "\n".join(lines) + "\n"
    lines += aligned(rows)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(run(main))
