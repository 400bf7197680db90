"""``q4engine doctor``: what this machine offers for measuring, and the fix for what it lacks."""

from __future__ import annotations

import argparse
import json

from analysis.terminal import columns, holds_all, wrapped
from q4engine.cli import options

_MARKS = {True: "ok", False: "no", None: "--"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "doctor",
        run,
        help="what this machine offers for measuring, and how to get what it lacks",
        description="Look at counters, permissions, clock settings and daemons, and say what to change.",
        epilog="examples:\n  q4engine doctor\n  q4engine doctor --json | jq '.[] | select(.ok == false)'\n",
    )
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each finding."""
    from q4engine import _native
    from q4engine.diagnosis import examine

    findings = examine(_native.pmu_try)
    if args.json:
        print(json.dumps([finding.as_dict() for finding in findings], ensure_ascii=not holds_all(), indent=2))
        return 0
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        lines = _line(f"{_MARKS[finding.ok]}  {finding.name:<{width}}  ", finding.value)
        if finding.fix:
            lines += _line(f"    {'':<{width}}  -> ", finding.fix)
        print("\n".join(lines))
    return 0


def _line(prefix: str, text: str) -> list[str]:
    """Wrapped where a terminal is too narrow; a file keeps a line a finding."""
    return wrapped(prefix, text) if columns() else [prefix + text]
