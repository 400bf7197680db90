"""``q4engine analyse REPORT …``: the commands of ``python -m analysis.REPORT``, in any folder.

A folder named ``analysis`` that lies where one works hides nothing here, since this command's own package is loaded.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
from importlib.util import find_spec

from q4engine.cli import options
from q4engine.cli.parsing import Parser
from q4engine.errors import Q4Error, shown

REPORTS = {
    "stalls": "what bounds each phase and token, by how much, and how sure that is",
    "timeline": "steps over time, how they spread, and what each one went to",
    "compare": "what changed from one capture to others, and what makes the difference",
    "scaling": "speed over threads and prompt length, from a folder of captures",
    "sweep": "tables and pictures of what q4engine sweep measured, with intervals",
    "fleet": "thousands of captures: slow devices, regressions, groups",
    "benchmarks": "speeds by llama-bench or bench, with bandwidth, spread, comparisons",
    "roofline": "phases and operations under the bandwidth and arithmetic measured",
    "functions": "the share of each function, per phase",
    "memory": "bytes and latency by tensor, from samples with data addresses (SPE)",
    "markers": "a markers file from the hits of a probe, for any engine",
}
_EPILOG = """\
reports:
{reports}

examples:
  q4engine analyse stalls capture.csv
  q4engine analyse compare before.csv after.csv --html compare.html
  q4engine analyse scaling captures/
  q4engine analyse stalls --help                       a report's own options

python -m analysis.stalls and the others are the same commands.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "analyse",
        run,
        help="say what bounded a capture, compare captures, draw them",
        description="Say what bounded each phase of a capture, from counts alone; compare captures, and draw them.",
        epilog=_EPILOG.format(reports="\n".join(f"  {name:<10} {text}" for name, text in REPORTS.items())),
        aliases=("analyze",),
    )
    assert isinstance(parser, Parser)
    parser.passes_on = True
    parser.add_argument("report", choices=REPORTS, type=_report, metavar="REPORT", help=", ".join(REPORTS))
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="what the report takes")


def _report(name: str) -> str:
    """An argparse type: a report that there is."""
    if name in REPORTS:
        return name
    close = difflib.get_close_matches(name, REPORTS, 1)
    expected = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(REPORTS)}"
    raise argparse.ArgumentTypeError(f"there is no report {shown(name)}, {expected}")


def run(args: argparse.Namespace) -> int:
    """Runs the report; returns its exit code."""
    if find_spec("pandas") is None:
        raise Q4Error("the analysis needs pandas: pip install 'q4engine[analysis]'")
    from analysis import too_little_memory

    if lacking := too_little_memory():
        raise Q4Error(lacking)
    from analysis import command_line

    module = importlib.import_module(f"analysis.{args.report}")
    usual, command_line.Parser.called = command_line.Parser.called, "q4engine analyse "
    try:
        return command_line.run(module.main, args.rest)
    finally:
        command_line.Parser.called = usual
