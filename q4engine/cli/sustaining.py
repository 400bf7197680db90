"""``q4engine bench --sustain``: generation for a stated time, with clock and temperature beside it."""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from analysis import outputs
from q4engine.cli import options
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.bench.power import Meter
    from q4engine.bench.sustained import Sample
    from q4engine.engine import Engine

_CONTEXT = 128  # tokens, after which generation begins anew


def add_sustaining(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--power",
        action="store_true",
        help="joules a token, by RAPL, hwmon (SCMI's sensors too) or the battery, whichever the machine has",
    )
    parser.add_argument(
        "--sustain",
        metavar="SECONDS",
        type=options.number(1, 86400),
        help="instead, generate for so long: speed, clock and temperature over time, and what made it slower",
    )
    parser.add_argument(
        "--plot", metavar="FILE", type=_picture, help="draw what --sustain measured: .png or .svg (the analysis extra)"
    )


def _picture(text: str) -> Path:
    path = options.file(text)
    if path.suffix.lower() not in (".png", ".svg"):
        raise argparse.ArgumentTypeError(f"{text!r} ends in neither .png nor .svg")
    return path


def check_sustaining(args: argparse.Namespace) -> None:
    """Usage error where options do not go together."""
    if args.sustain is None:
        if args.plot is not None:
            args.parser.error("--plot needs --sustain")
        return
    several = len(args.model_position + args.model) > 1 or len([n for some in args.threads or [] for n in some]) > 1
    tests = (args.n_prompt, args.n_gen, args.n_depth, args.n_both, args.repetitions)
    if several or any(tests) or any((args.vs, args.capture, args.cooldown)):
        args.parser.error("--sustain takes one MODEL, one -t, -tb, -C, -o, --power and --plot")
    if args.output in ("jsonl", "sql"):
        args.parser.error(f"-o {args.output} has a line a test, and --sustain has none: give md, csv or json")
    if args.plot is not None:
        if not args.plot.absolute().parent.is_dir():  # told before the measurement
            args.parser.error(f"--plot: {args.plot.parent} is no folder")
        models = [("the model", path) for path in args.model_position + args.model]
        if refused := outputs.conflict([("--plot", args.plot)], models):
            args.parser.error(refused)


def sensors_of(args: argparse.Namespace) -> Meter | None:
    """What --power asks for; a line says which sensors there are."""
    if not args.power:
        return None
    from q4engine.bench.power import Meter, find_sensors

    sensors = find_sensors()
    options.note(f"note: energy as told by {', '.join(sensor.name for sensor in sensors)}: of all that runs there")
    return Meter(sensors)


def sustained(args: argparse.Namespace, engine: Engine, meter: Meter | None, machine: dict[str, Any]) -> int:
    """Measures and prints, what there is also where Ctrl-C ends it."""
    from q4engine.bench.conditions import others_percent, read_state
    from q4engine.bench.sustained import Reading, Sample, judge, read_machine, sustain

    if args.plot is not None:  # what it lacks is told before, and what a Ctrl-C leaves is drawn in half the time
        _picture_of(args.plot, engine, [Sample(0.0, 1.0, 1.0, Reading())], None)
    samples: list[Sample] = []
    before, start = read_state(), time.monotonic()
    interrupted: KeyboardInterrupt | None = None
    try:
        sustain(_step(engine), lambda: read_machine(engine.n_threads), args.sustain, samples, meter)
    except KeyboardInterrupt as stop:
        interrupted = stop
    others = others_percent(before, read_state(), time.monotonic() - start)
    _print(args, samples, others, machine)
    if args.plot is not None and samples:
        _draw(args.plot, engine, samples, judge(samples, others))
    if interrupted is not None:
        raise interrupted
    return 0


def _step(engine: Engine) -> Callable[[], int]:
    """Generates one token."""
    from q4engine.bench.targets import random_tokens

    session = engine.session(n_ctx=_CONTEXT, n_batch=1)
    tokens = itertools.cycle(random_tokens(_CONTEXT, engine.config.vocab_size, 1))

    def step() -> int:
        if session.n_past == _CONTEXT:
            session.truncate(0)
        session.decode([next(tokens)])
        return 1

    return step


def _print(args: argparse.Namespace, samples: list[Sample], others: float | None, machine: dict[str, Any]) -> None:
    from q4engine.bench import sustained_report
    from q4engine.bench.sustained import as_data, judge

    verdict = judge(samples, others)
    if args.output == "json":
        print(json.dumps({"machine": machine, "others_percent_of_cpu": others, **as_data(samples, verdict)}, indent=2))
        return
    if args.output == "csv":
        print("\n".join(sustained_report.csv_lines(samples)))
    elif samples:
        print("\n".join(sustained_report.table(samples)))
    text = "too short to tell anything" if verdict is None else verdict.text
    if args.output == "csv":
        options.note(text)
    else:
        print(f"\n{text}")


def _drawing() -> ModuleType:
    try:
        from analysis.reports import drawing
    except ImportError:
        raise Q4Error("--plot needs matplotlib: pip install 'q4engine[analysis]'") from None
    return drawing


def _picture_of(path: Path, engine: Engine, samples: list[Sample], verdict: Any) -> bytes:
    from q4engine.bench import sustained_report

    title = f"{engine.gguf.path.name}, {engine.n_threads} thread{'s' * (engine.n_threads > 1)}"
    form = path.suffix.lower().removeprefix(".")
    picture: bytes = _drawing().picture(sustained_report.report(title, samples, verdict), form)
    return picture


def _draw(path: Path, engine: Engine, samples: list[Sample], verdict: Any) -> None:
    picture = _picture_of(path, engine, samples, verdict)
    try:
        outputs.write(path, picture)
    except OSError as error:
        raise Q4Error(f"{path}: cannot be written: {error.strerror}") from None
