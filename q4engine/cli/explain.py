"""``q4engine explain``: why a model is as slow as it is here, what to change, and what that gives."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.terminal import fitted, holds_all
from q4engine.cli import options
from q4engine.cli.placing import add_placing, place

if TYPE_CHECKING:
    from q4engine.explain.causes import Cause
    from q4engine.explain.checking import Check
    from q4engine.explain.measuring import Measured, Way
    from q4engine.explain.surroundings import Surroundings

_EPILOG = """\
examples:
  q4engine explain model.gguf
  q4engine explain model.gguf -t 8 --check     tries what it proposes, in turns with -t 8
  q4engine explain model.gguf --json | jq .causes

A fault is named by what tells of it (the control group's quota, CPUs that others use, cores that
differ, the clock), never by a speed alone. What a change is to bring is computed, and says so;
--check measures it.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "explain",
        run,
        help="why it is slow here: what bounds it, what is at fault, what to change",
        description="Measure prompts and generation beside the machine's limits, and name what makes them slow.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    add, integer = parser.add_argument, options.integer
    add("-t", "--threads", metavar="N", type=options.thread_count, help="default, and -1: as many as make it faster")
    add_placing(parser)
    add("-p", "--n-prompt", metavar="N", type=integer(1, 1 << 20), default=128, help="default: %(default)s")
    add("-n", "--n-gen", metavar="N", type=integer(1, 1 << 20), default=32, help="default: %(default)s")
    add(
        "-r",
        "--repetitions",
        metavar="N",
        type=integer(4, options.MAX_COUNT),
        default=5,
        help="default: %(default)s; fewer after a minute",
    )
    add("--check", action="store_true", help="try each change that can be tried, in turns with what was asked for")
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prints what was found, text or JSON."""
    from q4engine.cpus import default_thread_count
    from q4engine.explain.causes import causes
    from q4engine.explain.checking import check
    from q4engine.explain.measuring import Plan, Way, measure
    from q4engine.explain.surroundings import Places, Surroundings

    path = options.model_path(args)
    place(args)
    mask = tuple(args.cpu_mask) if args.cpu_mask else None
    n_threads = args.threads or (len(mask) if mask else default_thread_count())
    way, plan, places = Way(n_threads, mask), Plan(args.n_prompt, args.n_gen, args.repetitions), Places()
    around = Surroundings.now(places)
    n_cpus = len(around.available)
    measured = measure(path, way, plan, places, 0 if mask else min(max(n_threads, around.best), n_cpus))
    found, ruled_out = causes(measured, around)
    checks = [check(path, way, cause, plan, places) for cause in found] if args.check else []
    if args.json:
        data = as_data(path, measured, around, found, ruled_out, checks)
        print(json.dumps(data, ensure_ascii=not holds_all(), indent=2))
    else:
        print("\n".join(fitted(lines(path, measured, found, ruled_out, checks))))
    return 0


def lines(
    path: Path, measured: Measured, found: list[Cause], ruled_out: dict[str, str], checks: list[Check]
) -> list[str]:
    """The text. checks: one a cause, or none."""
    from q4engine.explain.causes import bound

    n = measured.way.n_threads
    told = [f"{path.name}, {n} thread{'s' * (n > 1)}"]
    for name, phase in measured.phases.items():
        told.append(f"{name:<8} {phase.rate:10.2f} tokens/s  {bound(measured, name)}")
    if measured.peaks:
        rates = ", ".join(f"{count}: {rate:.3g}" for count, rate in measured.peaks.items())
        told.append(f"read peak by threads, GB/s  {rates}")
    if not found:
        told += ["", "no fault found"]
    for number, cause in enumerate(found):
        change = cause.change
        told += ["", f"{number + 1}. {cause.name}: {cause.evidence}"]
        told.append(f"   change: {change.text}" + (f" ({change.way.options})" if change.way else ""))
        if math.isfinite(change.gain):
            told.append(f"   expected: {change.gain:.2f} times as fast (computed: {change.computed})")
        if checks:
            told.append(f"   checked: {checks[number].text}")
    told += ["", "ruled out"] + [f"   {name}: {why}" for name, why in ruled_out.items()]
    return told


def as_data(
    path: Path,
    measured: Measured,
    around: Surroundings,
    found: list[Cause],
    ruled_out: dict[str, str],
    checks: list[Check],
) -> dict[str, Any]:
    """The same for JSON."""
    from q4engine.explain.causes import bound

    phases = {
        name: {
            "tokens_per_second": phase.rate,
            "seconds": phase.seconds,
            "limit": _finite(phase.limit),
            "unit": phase.unit or None,
            "of_limit": _finite(phase.of_limit),
            "bound": bound(measured, name),
        }
        for name, phase in measured.phases.items()
    }
    causes = [
        {
            "name": cause.name,
            "evidence": cause.evidence,
            "change": cause.change.text,
            "way": _way(cause.change.way),
            "expected_gain": _finite(cause.change.gain),
            "computed": cause.change.computed or None,
            "check": asdict(checks[number]) if checks else None,
        }
        for number, cause in enumerate(found)
    ]
    return {
        "model": str(path),
        "way": _way(measured.way),
        "phases": phases,
        "causes": causes,
        "ruled_out": ruled_out,
        "taken": measured.taken,
        "stopped": measured.stopped,
        "machine": {
            "cpus": list(around.available),
            "speeds": {str(cpu): speed for cpu, speed in around.speeds.items()},
            "best_threads": around.best,
            "quota": around.quota,
            "huge_pages": around.huge_pages,
            "governors": around.governors,
            "clocks": {str(cpu): asdict(clock) for cpu, clock in around.clocks.items()},
            "pages": None if measured.pages is None else asdict(measured.pages),
            "read_peaks": {str(count): rate for count, rate in measured.peaks.items()},
        },
    }


def _way(way: Way | None) -> dict[str, Any] | None:
    return None if way is None else {"n_threads": way.n_threads, "cpus": None if way.cpus is None else list(way.cpus)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
