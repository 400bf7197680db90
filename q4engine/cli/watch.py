"""``q4engine watch``: an unmodified program that uses llama.cpp's shared libraries, captured as our own runs are."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from analysis.outputs import conflict, working_folder
from q4engine.cli import options
from q4engine.cli.options import note, printable
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.profiling.counters import Counters
    from q4engine.watch.outputs import Outputs
    from q4engine.watch.records import Process

_EPILOG = """\
examples:
  q4engine watch --capture run.csv --per-op -- llama-cli -m model.gguf -p "Once upon a time" -n 32
  q4engine watch --capture run.csv --markers markers.csv -- python with_llama_cpp.py
  sudo q4engine watch --capture run.csv --uprobe llama_decode -- ./static-llama-cli -m model.gguf
  python -m analysis.stalls run.csv

The program's output, its exit code and the signals that it gets are as without. docs/watch.md says what is seen.
"""


_NOTHING = (
    "evaluated nothing through llama.cpp's shared libraries, so there is nothing to capture (a static build, or "
    "another engine?)"
)


_FILES = ("capture", "trace", "markers", "address_map", "html")
"""Options that name what is written."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "watch",
        run,
        help="capture a program that uses llama.cpp: calls, operations, counters",
        description="Run an unmodified program that uses llama.cpp's shared libraries, and capture what it evaluates.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("--capture", metavar="FILE", type=options.file, help="times and counts of every call as CSV, for the analysis")
    add("--per-op", action="store_true", help="in the capture, every operation on every thread as well")
    add("--no-peak", dest="peak", action="store_false", help="do not measure the machine's read peak for the capture")
    add("--markers", metavar="FILE", type=options.file, help="the markers as CSV, for other tools")
    add(
        "--annotate",
        choices=("auto", "on", "off"),
        default="auto",
        help="markers for Arm Streamline; auto (default): where its daemon listens",
    )
    add("--html", metavar="FILE", type=options.file, help="what bounded the captured calls, as one page")
    add("--trace", metavar="FILE", type=options.file, help="a slice for every call and operation, for ui.perfetto.dev")
    add(
        "--address-map",
        metavar="FILE",
        type=options.file,
        help="which addresses are which tensor and the KV cache, for samples of perf mem or SPE (analysis.memory)",
    )
    add(
        "--events",
        metavar="LIST",
        help="what to count in each call, with --per-op in each operation: Arm's names, perf's, raw codes, the presets "
        "default, stalls, mix, cache, or none",
    )
    add(
        "--warmup-calls",
        metavar="N",
        type=options.integer(0, options.MAX_COUNT),
        default=0,
        help="the first N calls of each context warm it up: they are labelled so, and set apart by the analysis",
    )
    add(
        "--uprobe",
        metavar="[FILE:]FUNCTION",
        help="load nothing into the program (a static build, another engine): its calls are those of this function, by "
        "the kernel's probes, which root may use",
    )
    add("command", metavar="-- COMMAND", nargs="+", help="the program and its arguments")


def run(args: argparse.Namespace) -> int:
    """Run the program, then write the files; ends as the program did."""
    from q4engine.watch import program
    from q4engine.watch.live import streamline
    from q4engine.watch.outputs import phase_of
    from q4engine.watch.records import SUFFIX, read
    from q4engine.watch.taken import Taken

    _check(args)
    if args.uprobe is not None:
        return _probe(args)
    unwatched = program.why_unwatched(args.command[0])
    if unwatched is not None:
        note(f"note: {printable(args.command[0])} cannot be watched: {unwatched}")
        program.end_as(program.run(args.command, None))
    what = _outputs(args, _counters(args))
    with program.loadable(program.library()) as preload, _records_folder(args) as records:
        groups = _groups_text(what.counters)
        counted = what.per_op and any(group.names for group in what.counters.groups)
        variables = program.environment(records, what.of_operations, groups, preload, counted)
        taken = Taken(records)
        looks = [] if args.capture is None else [taken.meanwhile()]
        looks += [] if args.annotate == "off" else [streamline(records, args.annotate, phase_of)]
        code = program.run(args.command, variables, program.together(looks) if looks else None)
        found = [read(path) for path in sorted(records.glob(f"*{SUFFIX}"))]
        processes = [process for process in found if process is not None]
        trouble = _leave(args, processes, replace(what, taken=taken.percents()), _NOTHING)
    return _end(code, trouble)


def _probe(args: argparse.Namespace) -> int:
    """The same with a probe: calls alone."""
    from q4engine.profiling.counters import Counters
    from q4engine.watch import probe, program

    at = probe.target(args.uprobe, shutil.which(args.command[0]))
    what = _outputs(args, Counters(state="not by a probe"))
    with probe.opened(at) as hits:
        code = program.run(args.command, None, hits.meanwhile())
    if hits.n_lost:
        note(f"note: {hits.n_lost} records of the probe were lost, so calls are missing, and positions behind them")
    nothing = f"never called {printable(at.function)}, so there is nothing to capture"
    processes = hits.processes()
    if not processes and (other := at.other()):
        nothing += f"; there is {other} too (--uprobe {other})"
    return _end(code, _leave(args, processes, what, nothing))


def _leave(args: argparse.Namespace, processes: list[Process], what: Outputs, nothing: str) -> str:
    """Writes the files; what went wrong."""
    try:
        if _convert(processes, what, f"{printable(args.command[0])} {nothing}") and args.html:
            _write_page(args.capture, args.html)
    except Q4Error as error:
        return str(error)
    return ""


def _end(code: int, trouble: str) -> NoReturn:
    from q4engine.watch import program

    if trouble:
        note(f"error: {printable(trouble)}")
    program.end_as(code)


def _check(args: argparse.Namespace) -> None:
    outputs = {name: getattr(args, name) for name in _FILES}
    if args.html is not None and args.capture is None:
        args.parser.error("--html needs --capture")
    if args.html is not None and find_spec("matplotlib") is None:
        raise Q4Error("--html needs the analysis: pip install 'q4engine[analysis]'")
    if not any(outputs.values()) and args.annotate != "on":
        args.parser.error("give --capture, --markers, --trace, --address-map or --annotate on")
    if args.per_op and args.capture is None:
        args.parser.error("--per-op needs --capture")
    if not args.peak and args.capture is None:
        args.parser.error("--no-peak needs --capture")
    if args.events is not None and args.capture is None:
        args.parser.error("--events needs --capture")
    of_operations = args.per_op or args.address_map is not None or args.events not in (None, "none")
    if args.uprobe is not None and (of_operations or args.annotate == "on"):
        args.parser.error(
            "--uprobe sees calls when the program has ended: no --per-op, --address-map, --events or --annotate on"
        )
    options.check_events(args)
    streams = [("standard input", 0), ("standard output", 1), ("standard error", 2)]
    named = [(f"--{name.replace('_', '-')}", path) for name, path in outputs.items() if path is not None]
    if found := conflict(named, streams):
        args.parser.error(found)


@contextlib.contextmanager
def _records_folder(args: argparse.Namespace) -> Iterator[Path]:
    """Beside the first output, where there is room for that too."""
    first = next((path for name in _FILES if (path := getattr(args, name)) is not None), None)
    beside = Path(tempfile.gettempdir()) if first is None else first.absolute().parent
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(working_folder(beside))
        except OSError as error:
            raise Q4Error(f"{beside}: records cannot be kept there: {error.strerror}") from None
        yield folder


def _outputs(args: argparse.Namespace, counters: Counters) -> Outputs:
    from q4engine.profiling.read_peak import memory_peak_gbps
    from q4engine.watch.outputs import Outputs

    return Outputs(
        capture=args.capture,
        per_op=args.per_op,
        markers=args.markers,
        trace=args.trace,
        address_map=args.address_map,
        command=args.command_line,
        counters=counters,
        read_peak=memory_peak_gbps if args.peak else None,
        n_warmup=args.warmup_calls,
    )


def _counters(args: argparse.Namespace) -> Counters:
    from q4engine import _native
    from q4engine.profiling.counters import AVAILABLE, Counters
    from q4engine.profiling.plan import plan_counters

    if args.capture is None:
        return Counters(state="not asked for")
    counters = plan_counters(args.events or "default", _native.pmu_try)
    if counters.state != AVAILABLE and args.events != "none":
        note(f"note: no counters: {counters.state}")
    return counters


def _groups_text(counters: Counters) -> str:
    """The groups as native/watch/slots.c reads them."""
    return ";".join(
        ",".join(f"{kind}:{config}:{int(user_only)}" for kind, config, user_only in group.events)
        for group in counters.groups
    )


def _write_page(capture: Path, path: Path) -> None:
    """What the analysis says of the first capture."""
    from analysis import outputs
    from analysis.errors import AnalysisError
    from analysis.judging import load
    from analysis.reports import capture_report, html

    try:
        outputs.write(path, html.render(capture_report.of_capture(load(capture))))
    except AnalysisError as error:
        raise Q4Error(str(error)) from None
    except OSError as error:
        raise Q4Error(f"{path}: the page cannot be written: {error.strerror}") from None


def _convert(processes: list[Process], what: Outputs, nothing: str) -> bool:
    """Writes the files, and says in a line what is not as it should be; whether there was something to capture.
    nothing: what is said where there was not."""
    from q4engine.watch.outputs import write

    written, n_contexts = write(what, processes)
    if not n_contexts:
        note(f"note: {nothing}")
        return False
    if len(written) > 1:
        more = ", …" if len(written) > 8 else ""
        note(f"note: {len(written)} contexts, a file each: {', '.join(map(printable, written[:8]))}{more}")
    if written and n_contexts > len(written):
        note(f"note: {n_contexts - len(written)} more contexts, which evaluated the fewest tokens, are left out")
    for process in processes:
        _tell(process, what)
    return True


def _tell(process: Process, what: Outputs) -> None:
    if process.error:
        note(f"note: recording ended before the program: {os.strerror(process.error)}")
    if process.unfinished:
        note("note: the last call was cut off; the capture ends before it")
    if unseen := process.noted("unseen"):
        named = printable(unseen[0])
        note(f"note: {named} of a graph were not seen: another device's, or done on the way of the ones behind them")
    if lacking := process.noted("lacks"):
        named = printable(", ".join(lacking[:4]))
        note(f"note: this build of llama.cpp lacks {named}: what hangs on that is left out")
    if unknown := process.noted("unknown"):
        named = printable(", ".join(unknown))
        note(f"note: this build of llama.cpp calls {named} in another way than is known: calls alone are captured")
    elif what.of_operations and process.calls and not (process.operations or process.error):
        note("note: this build of llama.cpp shows no operations (it calls them directly): calls alone are captured")
