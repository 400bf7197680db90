"""Options that make a run visible: annotations, markers, captures, counters, traces."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.outputs import conflict
from q4engine.cli.options import check_events, file, model_path, note, printable, text

if TYPE_CHECKING:
    from q4engine.engine import Session
    from q4engine.profiling.observer import Observation, Observer


def add_observing(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("markers, times and counters")
    add = group.add_argument
    add(
        "--annotate",
        choices=("auto", "on", "off"),
        default="auto",
        help="markers for Arm Streamline; auto (default): where its daemon listens",
    )
    add("--annotate-ops", action="store_true", help="a channel for every kind of operation, too, and counters")
    add("--markers", metavar="FILE", type=file, help="the markers as CSV, to be joined with perf and Streamline")
    add("--capture", metavar="FILE", type=file, help="times and counts of every call as CSV, for the analysis commands")
    add("--no-peak", dest="peak", action="store_false", help="do not measure the machine's read peak for the capture")
    add("--per-op", action="store_true", help="in the capture, every operation on every thread as well")
    add(
        "--events",
        metavar="LIST",
        help="what to count: Arm's names, perf's, raw codes (r4005), the presets default, stalls, mix, cache, or none",
    )
    add(
        "--trace",
        metavar="FILE",
        type=file,
        help="a slice for every call and operation, for ui.perfetto.dev; packed as FILE.json.gz",
    )
    add(
        "--address-map",
        metavar="FILE",
        type=file,
        help="which addresses are which tensor and the KV cache, for samples of perf mem or SPE (analysis.memory)",
    )
    add("--perf-ctl", metavar="PIPES", type=text, help="CTL,ACK: the pipes of perf stat --control fifo:CTL,ACK")
    add(
        "--perf-phase",
        choices=("prefill", "decode", "verify"),
        default="decode",
        help="what perf is to count (default: %(default)s)",
    )


def check_observing(args: argparse.Namespace) -> None:
    """Usage error where an option needs another."""
    if args.per_op and args.capture is None:
        args.parser.error("--per-op needs --capture")
    if not args.peak and args.capture is None:
        args.parser.error("--no-peak needs --capture")
    if args.events is not None and args.capture is None and args.trace is None:
        args.parser.error("--events needs --capture or --trace")
    check_events(args)
    if args.annotate_ops and args.annotate == "off":
        args.parser.error("--annotate-ops and --annotate off exclude each other")
    _check_files(args)


def _check_files(args: argparse.Namespace) -> None:
    """Usage error where two outputs are one file, or where one would replace what is read or what the text goes to."""
    if refused := conflict(_written(args), _read(args)):
        args.parser.error(refused)


def conflict_with_run(args: argparse.Namespace, name: str, path: Path) -> str | None:
    """What is wrong where a file that is written later is one that the run reads or writes; else None."""
    return conflict([(name, path)], [*_read(args), *_written(args)])


def _written(args: argparse.Namespace) -> list[tuple[str, Path | None]]:
    names = ("markers", "capture", "trace", "address_map", "prompt_cache")
    return [(f"--{name.replace('_', '-')}", getattr(args, name, None)) for name in names]


def _read(args: argparse.Namespace) -> list[tuple[str, str | Path | int | None]]:
    from q4engine.gguf.split import paths_of

    model = [("the model", path) for path in paths_of(model_path(args))]
    if draft := getattr(args, "draft", None):
        model += [("the draft model", path) for path in paths_of(draft)]
    texts = {"the prompt": "file", "the system prompt": "system_prompt_file", "the chat template": "chat_template"}
    texts |= {"the grammar": "grammar_file", "the JSON schema": "json_schema_file"}
    return [
        *model,
        *((called, getattr(args, name, None)) for called, name in texts.items()),
        *(("standard input", 0), ("standard output", 1), ("standard error", 2)),
    ]


@contextmanager
def observed(args: argparse.Namespace, session: Session) -> Iterator[None]:
    """Observes the session as the options say; files are completed however the run ends."""
    from q4engine.profiling.address_map import write_address_map
    from q4engine.profiling.observer import Observation, observe
    from q4engine.profiling.read_peak import read_peak_gbps

    what = Observation(
        streamline=args.annotate,
        operation_channels=args.annotate_ops,
        markers=args.markers,
        capture=args.capture,
        per_op=args.per_op,
        events=args.events if args.events is not None else "default" if args.capture is not None else "none",
        trace=args.trace,
        perf_ctl=args.perf_ctl,
        perf_phase=args.perf_phase,
        cpus=args.cpu_mask,
        command=args.command_line,
        read_peak_gbps=read_peak_gbps(session.engine) if args.capture is not None and args.peak else None,
    )
    if args.address_map is not None:
        write_address_map(args.address_map, session)
    with observe(session, what, note) as observer:
        yield
    if what.capture is not None and (lacking := _lacking(what, observer, args.peak)):
        note(f"note: for a verdict {printable(what.capture.name)} lacks {' and '.join(lacking)}")


def _lacking(what: Observation, observer: Observer, wants_peak: bool) -> list[str]:
    """What the analysis of the capture needs and has not got, each with the way to it; nothing to who declined both."""
    from q4engine.profiling.counters import AVAILABLE, SOFTWARE

    if what.events == "none" and not wants_peak:
        return []
    if observer.session.recorder is None:
        return ["counters and a read peak (the native backend has them)"]
    lacking = []
    if not any(group.names and group.pmu != SOFTWARE for group in observer.counters.groups):
        chosen = observer.counters.state == AVAILABLE or what.events == "none"
        lacking.append(f"counters ({'--events default' if chosen else 'q4engine doctor says how to get them'})")
    if what.read_peak_gbps is None:
        how = "it takes too long here: analysis.stalls --read-peak GB/s" if wants_peak else "without --no-peak"
        lacking.append(f"a read peak ({how})")
    return lacking
