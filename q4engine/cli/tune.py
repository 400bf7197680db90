"""``q4engine tune``: the threads and CPUs that suit a model on this machine best, measured and kept."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from q4engine.cli import options
from q4engine.cli.options import note
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.bench.tuning import Best, Tried

_SECONDS = 60
_SLICES, _LONGEST_SLICE = 60, 1.0  # of the whole time a phase of one measurement takes such a part, or a second

_EPILOG = """\
examples:
  q4engine tune model.gguf               a minute; run and bench take up what it found then
  q4engine tune model.gguf --minutes 5   on a machine with many CPUs, or for a large model
  q4engine run model.gguf --no-tuned     the default all the same

Each number of threads is measured with a prompt and with generation, free and pinned to CPUs (of
one kind, where there are several); the better half is measured again, until the time is over. The
default stays where nothing is 3 % faster in a prompt of 256 tokens and 128 that follow. Results
are kept in ~/.cache/q4engine/tuned (XDG_CACHE_HOME), a file for each machine and model.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "tune",
        run,
        help="find and keep the threads and CPUs that suit a model here",
        description="Measure threads and CPUs for prompts and generation within a stated time, "
        "print the best flags and keep them for this machine and model.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds", metavar="N", type=options.number(1, 86400), help=f"how long it may take (default: {_SECONDS})"
    )
    length.add_argument("--minutes", metavar="N", type=options.number(0.02, 1440), help="the same in minutes")
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """The flags go to stdout, each measurement to stderr."""
    from q4engine.bench.placements import placements
    from q4engine.bench.tune_runs import Measurer
    from q4engine.bench.tuning import tune
    from q4engine.tuned import Choice, keep

    path = options.model_path(args)
    seconds = 60 * args.minutes if args.minutes else args.seconds or _SECONDS
    candidates = placements()
    measure = Measurer(path, min(seconds / _SLICES, _LONGEST_SLICE))
    best, tried = tune(candidates, measure, seconds, time.monotonic, _tell)
    if not best.complete:
        note(f"note: {len(tried)} of {len(candidates)} were measured in that time; --minutes N takes more")
    threads, batch = best.decode.placement.threads, best.prefill.placement.threads
    order = best.decode.placement.cpus
    tuned = Choice(threads, batch, None if order is None else order[: max(threads, batch)])
    found = _as_data(best, tried)
    kept, failed = None, None
    try:
        kept = keep(path, tuned, found)
    except Q4Error as error:  # what was measured is told first
        failed = error
    if args.json:
        print(json.dumps({"flags": tuned.flags, "kept": None if kept is None else str(kept), **found}, indent=2))
    else:
        print(tuned.flags)
    if failed is not None:
        raise failed
    if args.json:
        return 0
    gain = f"{best.gain:.2f} times as fast as the default" if best.gain > 1 else "the default: nothing is faster"
    note(f"{gain}; kept in {options.printable(str(kept))}")
    return 0


def _tell(tried: Tried) -> None:
    last = tried.rates[-1]
    note(f"{tried.placement.name}: prompt {last.prefill:.2f}, generation {last.decode:.2f} tokens/s")


def _as_data(best: Best, tried: list[Tried]) -> dict[str, Any]:
    return {
        "gain": best.gain,
        "complete": best.complete,
        "measured": [
            {
                "threads": each.placement.threads,
                "cpus": each.placement.cpus and each.placement.cpus[: each.placement.threads],
                "prefill_ts": [rates.prefill for rates in each.rates],
                "decode_ts": [rates.decode for rates in each.rates],
            }
            for each in tried
        ],
    }
