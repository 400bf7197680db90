"""`python -m analysis.markers perf-script.txt`: a markers file from the hits of a probe or USDT event.

So every engine with one function a step can be cut into tokens: perf records the function (`perf probe`, then `perf
record -k CLOCK_MONOTONIC_RAW -e probe_…`), and each hit begins a step. Hits of its return (`…__return`) end the last
one. An argument that the probe has (`n_tokens=…`) tells how many tokens a step has.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import outputs
from analysis.command_line import OK, Parser, file, run, write
from analysis.errors import AnalysisError, printable
from analysis.perf_script import LONGEST_LINE, sample_of
from analysis.readers.markers_file import MOST_MARKERS
from analysis.readers.source import Source
from analysis.terminal import say

_RETURN = "__return"
_TOKENS = ("n_tokens", "n_eval")
_ARGUMENT = re.compile(r"(?<=\s)([A-Za-z_]\w{0,63})=(0x[0-9a-f]{1,8}|[0-9]{1,9})(?=\s|$)")
_MOST_NAMED = 6


@dataclass(frozen=True)
class Hit:
    """time_ns: on the clock of `perf record -k`.  arguments: those that are whole numbers."""

    time_ns: int
    event: str
    comm: str
    arguments: dict[str, int]


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = Parser(
        prog="python -m analysis.markers",
        description="Makes a markers file of a probe or USDT event, each hit of which begins a step.",
        examples=(
            "script.txt --output markers.csv",
            "script.txt --event probe_engine:step --tokens rows --output markers.csv",
        ),
    )
    parser.add_argument("file", type=file, metavar="FILE", help="`perf script` as text; - for standard input")
    parser.add_argument("--event", metavar="NAME", help="the event that begins a step, where the file has several")
    parser.add_argument("--comm", metavar="NAME", help="hits of threads of this name alone")
    parser.add_argument(
        "--tokens", metavar="ARGUMENT", help="the argument that tells a step's tokens; n_tokens or n_eval without it"
    )
    parser.add_argument("--output", type=file, metavar="FILE", help="the markers file (default: standard output)")
    parser.add_argument("--lenient", action="store_true", help="skip malformed lines instead of stopping")
    given = parser.parse_args(arguments)
    if refused := outputs.conflict([("--output", given.output)], [("perf script", given.file)]):
        raise AnalysisError(refused)
    text, notes = markers(hits(Source(given.file, given.lenient)), given.event, given.comm, given.tokens, given.file)
    for note in notes:
        say(f"note: {note}")
    if given.output is None:
        sys.stdout.write(text)
    else:
        write((given.output, lambda: text))
    return OK


def hits(source: Source) -> list[Hit]:
    """Every hit in the file, in its order; call chains below them are passed over."""
    found: list[Hit] = []
    for row, line in source.lines(blank=True):
        if not line.strip() or line.startswith(("#", "\t")):
            continue
        sample = sample_of(line) if len(line) <= LONGEST_LINE else None
        if sample is None:
            source.reject(row, f"expected a line of perf script, found '{printable(line)}'")
            continue
        one, rest = sample
        values = {name: int(text, 0) for name, text in _ARGUMENT.findall(rest)}
        found.append(Hit(round(one.time_s * 1e9), one.event, one.comm, values))
    return found


def markers(
    found: Sequence[Hit], event: str | None, comm: str | None, tokens: str | None, path: Path
) -> tuple[str, list[str]]:
    """(a markers file, notes). Positions are the tokens so far; the last marker ends the last step.

    AnalysisError where there is no such event, or several and none was named.
    """
    mine = [hit for hit in found if comm is None or hit.comm == comm]
    begins = Counter(hit.event for hit in mine if not hit.event.endswith(_RETURN))
    if event is None and len(begins) == 1:
        (event,) = begins
    if event is None or event not in begins:
        named = ", ".join(f"{printable(name, 60)} {n}" for name, n in begins.most_common(_MOST_NAMED)) or "none"
        what = "several events, say which with --event" if event is None and begins else "no such event"
        raise AnalysisError(f"{what}; it has {named}", path=path)
    steps = sorted((hit for hit in mine if hit.event == event), key=lambda hit: hit.time_ns)
    if len(steps) >= MOST_MARKERS:
        raise AnalysisError(f"{len(steps)} hits, more than {MOST_MARKERS - 1}", path=path)
    told = [_tokens(hit, tokens) for hit in steps]
    if tokens is not None and None in told:
        raise AnalysisError(f"a hit of {printable(event)} has no argument {printable(tokens)}", path=path)
    ends = [hit.time_ns for hit in mine if hit.event == event + _RETURN and hit.time_ns >= steps[-1].time_ns]
    notes = []
    if None in told:
        notes.append("no argument tells a step's tokens: each step is taken for one token")
    if not ends:
        notes.append("no return of the last step: it ends with the file's last hit")
    lines, n_past = ["time_ns,n_past,n_eval,phase"], 0
    for hit, known in zip(steps, told, strict=True):
        n_eval = 1 if known is None else known
        lines.append(f"{hit.time_ns},{n_past},{n_eval},{'prefill' if n_eval > 1 else 'decode'}")
        n_past += n_eval
    last = max(ends[:1] or [hit.time_ns for hit in found])
    lines.append(f"{last},{n_past},0,end")
    return "\n".join(lines) + "\n", notes


def _tokens(hit: Hit, named: str | None) -> int | None:
    names = _TOKENS if named is None else (named,)
    return next((hit.arguments[name] for name in names if name in hit.arguments), None)


if __name__ == "__main__":
    sys.exit(run(main))
