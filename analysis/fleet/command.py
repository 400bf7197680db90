"""`python -m analysis.fleet CAPTURE…`: thousands of captures as one dataset; slow devices, regressions, groups.

Dask does the reading: processes of this machine, or a cluster by its address.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from analysis import json_text, outputs
from analysis.command_line import OK, Parser, add_output_options, pattern, write_report
from analysis.errors import AnalysisError, printable
from analysis.readers.formats import NAMES
from analysis.terminal import say

if TYPE_CHECKING:
    from analysis.fleet.dataset import Dataset
    from analysis.fleet.files import Listed
    from analysis.fleet.findings import Fleet
    from analysis.fleet.rows import Reading

FOUND = 3
"""Exit status where --check is given and a device or a commit is shown to be slower."""
_NEEDED = ("dask", "distributed", "fsspec", "pyarrow")


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.captures and not given.output:
        parser.error("name captures, or the dataset of an earlier run with --output")
    lacking = [name for name in _NEEDED if find_spec(name) is None]
    if lacking:
        raise AnalysisError(f"{' and '.join(lacking)} missing, which a fleet needs: pip install 'q4engine[fleet]'")
    from analysis.fleet import findings
    from analysis.reports import fleet_report, text

    by = given.group_by or findings.KEYS
    found, read, known = _rows(given)
    fleet = findings.of_frame(found, by)
    title = printable(given.output or ", ".join(given.captures), 90)
    report = fleet_report.of_fleet(fleet, title)
    write_report(report, given)
    if given.json:
        sys.stdout.write(_data(fleet, read, known))
    else:
        sys.stdout.write(text.render(report, title))
    return FOUND if given.check and (fleet.slower or fleet.regressions) else OK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis.fleet",
        description="Many captures as one dataset: devices slower than their twins, commits that made them slower, "
        "and tables by anything. Captures that were summarised before are not read again.",
        examples=(
            "'captures/**/*.csv' --output fleet/ --html fleet.html",
            "s3://bucket/runs --output s3://bucket/fleet --scheduler tcp://10.0.0.1:8786",
            "--output fleet/ --group-by device,commit,phase",
            "captures/ --output fleet/ --check",
        ),
    )
    parser.add_argument(
        "captures",
        nargs="*",
        type=pattern,
        metavar="CAPTURE",
        help="files, folders with all below them, patterns (** for any folders), URLs such as s3://bucket/captures; "
        "without any: what --output holds",
    )
    parser.add_argument(
        "--output", type=_where, metavar="DATASET", help="folder or URL of the Parquet dataset to add to"
    )
    parser.add_argument("--again", action="store_true", help="read captures anew that were summarised before")
    parser.add_argument("--scheduler", type=_address, metavar="tcp://HOST:PORT", help="a Dask cluster")
    parser.add_argument("--workers", type=_count, metavar="N", help="processes here, 0: this one (default: the CPUs)")
    parser.add_argument(
        "--device",
        type=_key,
        metavar="KEY",
        help="header key that names the device, or `folder` (default: device, host or serial, else the folder)",
    )
    parser.add_argument("--group-by", type=_columns, metavar="COLUMN,…", help="columns of the dataset for the table")
    parser.add_argument("--check", action="store_true", help="exit status 3 where a device or commit is shown slower")
    parser.add_argument("--json", action="store_true", help="everything as JSON on standard output")
    add_output_options(parser, "draw the leading views")
    parser.add_argument("--format", metavar="FORMAT", choices=NAMES, help=f"of the captures: {', '.join(NAMES)}")
    parser.add_argument("--lenient", action="store_true", help="skip malformed rows and count them")
    return parser


def _rows(given: argparse.Namespace) -> tuple[Any, int, int]:
    """(rows of the captures that were named, how many captures were read, how many were known before)."""
    from analysis.fleet.dataset import Dataset
    from analysis.fleet.files import is_remote, listed
    from analysis.fleet.rows import Reading

    dataset = Dataset(given.output or "")
    captures = listed(given.captures)
    local = [("the capture", each.name) for each in captures if not is_remote(each.name)]
    if refused := outputs.conflict([("--plot", given.plot), ("--html", given.html)], local):
        raise AnalysisError(refused)
    if not captures:
        frame = dataset.frame()
        return frame, 0, int(frame["path"].nunique())
    reading = Reading(given.format, given.lenient, given.device or "")
    known = {} if given.again else dataset.known()
    new = [capture for capture in captures if known.get(capture.name) != reading.marked(capture)]
    if given.output and len(new) < len(captures):
        say(f"note: {len(captures) - len(new)} of {len(captures)} captures were summarised before")
    if new:
        dataset.begin()
    _summarise(new, reading, dataset, given)
    frame = dataset.frame()
    return frame[frame["path"].isin({capture.name for capture in captures})], len(new), len(captures) - len(new)


def _summarise(new: Sequence[Listed], reading: Reading, dataset: Dataset, given: argparse.Namespace) -> None:
    from analysis.fleet.cluster import summarised

    try:
        with _progress(len(new)) as advance:
            for n, rows in summarised(new, reading, given.scheduler or "", given.workers):
                dataset.add(rows)
                advance(n)
    finally:
        dataset.flush()  # what is done is done


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of captures done; a bar with the time left on a terminal."""
    if not sys.stderr.isatty() or not total:
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("captures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("captures", total=total)
        yield lambda n: progress.advance(task, n)


def _data(fleet: Fleet, read: int, known: int) -> str:
    from analysis.reports import fleet_data

    document = fleet_data.of_fleet(fleet) | {"read": read, "known": known}
    return json_text.text(document)


def _where(text: str) -> str:
    if not text.strip("/ "):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no folder for a dataset")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"(tcp|tls|ws|wss)://[^\s/:]+:[0-9]{1,5}/?", text):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no address of a scheduler, as tcp://10.0.0.1:8786")
    return text


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no number from 0 to 999")
    return int(text)


def _key(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,100}", text):
        raise argparse.ArgumentTypeError(f"{printable(text)!r} is no key of a capture's header")
    return text


def _columns(text: str) -> tuple[str, ...]:
    from analysis.fleet.findings import keys

    return keys(text)
