"""`python -m analysis.scaling DIR`: speed over threads and prompt length, by component, from a folder of captures.

`q4engine bench --capture DIR -t 1,2,4 -p 16,32,64,128,256,512` writes such a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis import combinations, json_text
from analysis.combinations import Combination
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
from analysis.errors import printable
from analysis.judging import load
from analysis.reports import scaling_report, text
from analysis.reports.data import number


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.scaling",
        description="Speed-up over threads and prompt length, per component, for prefill and for decode.",
        examples=(
            "captures/",
            "captures/ --plot scaling.png --html scaling.html",
            "'captures/model.t0*.csv' --json",
        ),
    )
    parser.add_argument(
        "captures", nargs="+", type=pattern, metavar="DIR", help="folder (or files) of captures, one a combination"
    )
    parser.add_argument("--json", action="store_true", help="the table as JSON on standard output")
    add_output_options(parser, "draw the leading views")
    add_input_options(parser)
    given = parser.parse_args(arguments)
    options = options_of(given)
    paths = expand(given.captures)
    refuse_conflicts(given, paths)
    captures = [load(path, options) for path in paths]
    found = combinations.gather(captures)
    models = dict.fromkeys(str(capture.header.get("model", "unnamed model")) for capture in captures)
    cpus = dict.fromkeys(str(capture.header.get("cpu", "unnamed CPU")) for capture in captures)
    title = printable(f"{', '.join(models)} on {', '.join(cpus)}", 90)
    report = scaling_report.of_combinations(found, title)
    write_report(report, given)
    sys.stdout.write(_data(found) if given.json else text.render(report, title))
    return OK


def _data(found: Sequence[Combination]) -> str:
    entries = []
    for entry in found:
        mine = combinations.of_kind(found, entry.kind)
        entries.append(
            {
                "kind": entry.kind,
                "threads": entry.threads,
                "prompt": entry.prompt,
                "tokens_per_s": number(entry.rate),
                "repetitions": entry.rates,
                "speed_up": number(combinations.speed_up(mine, entry.threads, entry.prompt)),
                "components": {
                    name: {"s_per_token": number(entry.per_token(name)), "share": number(entry.share(name))}
                    for name in combinations.leading_components([entry], most=1000)
                },
                "steps": [{"n_past": past, "duration_s": seconds} for past, seconds in entry.steps],
            }
        )
    doubts = {kind: scaling_report.flags(combinations.of_kind(found, kind)) for kind in combinations.KINDS}
    document = {"combinations": entries, "flags": {kind: flags for kind, flags in doubts.items() if flags}}
    return json_text.text(document)


if __name__ == "__main__":
    sys.exit(run(main))
