"""``q4engine sweep``: many runs by one plan, in an honest order, each kept as soon as it is over."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import outputs
from q4engine.cli import options
from q4engine.cli.bench import integers
from q4engine.cli.options import note
from q4engine.errors import Q4Error, shown

if TYPE_CHECKING:
    from q4engine.sweep.plan_file import Plan
    from q4engine.sweep.sweeping import Summary

_EXPORT = "export"
_REPEATED = ("failed", "timeout", "noisy")
_FORMATS = ("csv", "jsonl", "parquet")
_SHOWN = 12  # runs of a plan that --dry-run shows

_EPILOG = """\
examples:
  q4engine sweep model.gguf -t 1,2 -p 16,64,256 -r 10 -o threads.sqlite
  q4engine sweep model.gguf --type q4_0,q8_0 --target 0.02 --budget 600
  q4engine sweep plan.toml --dry-run                  what would run, and about how long
  q4engine sweep plan.toml                            into plan.sqlite; again: goes on where it was
  q4engine sweep plan.toml --repeat failed,noisy      those once more
  q4engine sweep export plan.sqlite -o plan.csv       also .jsonl (llama-bench's) and .parquet
  python -m analysis.sweep plan.sqlite --html plan.html

a plan:
  repetitions = 10               # or: target = 0.02, with budget = 3600 (seconds)
  skip = ["threads > cpus", "engine == 'numpy' and prompt > 64"]
  [axes]
  model = ["a.gguf", "b.gguf"]   # from the plan's folder
  type = ["", "q8_0"]            # quantised on the way; "": the file as it is
  engine = ["native", "numpy", "llama.cpp", "transformers"]
  threads = [1, 2]
  prompt = [16, 64, 256]
  generate = [32]                # or depth, batch, kv, mask, features, build, machine

Every run is a process of its own. Runs stand in blocks that hold each combination once, shuffled by a stated seed,
every second block backwards: what changes in the machine meanwhile hits all alike. Killed at any moment, the same
command goes on. docs/experiments.md has every key, programs of any kind as engines, and what the results hold.
"""

_AXES = {"engine": "engine", "type": "type", "features": "features", "cpu_mask": "mask", "threads": "threads",
         "n_prompt": "prompt", "n_gen": "generate", "n_depth": "depth", "batch_size": "batch", "kv": "kv"}  # fmt: skip
_PACE = ("repetitions", "target", "budget", "samples", "seed", "cooldown", "timeout")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "sweep",
        run,
        help="run a plan of many measurements",
        description="Measure many combinations by one plan: shuffled, interleaved, resumable, all samples kept.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("words", metavar="PLAN.toml | MODEL | export RESULTS", nargs="+", type=options.file,
        help="a plan; or GGUF files, for a plan by options; or the results to export")  # fmt: skip
    add("-o", "--output", metavar="FILE", type=options.file, help="results (default: PLAN.sqlite), or the export")
    add("--format", choices=_FORMATS, help="of an export (default: by the name of -o)")
    add("--dry-run", action="store_true", help="print the plan and about how long it takes; nothing runs")
    add(
        "--repeat",
        metavar="STATES",
        type=_states,
        default=[],
        help=f"make runs of these states again: {','.join(_REPEATED)}",
    )
    _add_axes(parser)
    integer, number = options.integer, options.number
    add(
        "-r",
        "--repetitions",
        metavar="N",
        type=integer(1, 10_000),
        help="blocks (default: 10; with --target at most 100)",
    )
    add(
        "--target",
        metavar="SHARE",
        type=number(1e-6, 1),
        help="go on until each median is known to this share of it, as 0.02",
    )
    add("--budget", metavar="SECONDS", type=number(0.001, 2592000), help="make no further run after so long")
    add("--samples", metavar="N", type=integer(1, 10_000), help="measurements in each run (default: 3)")
    add("--seed", metavar="N", type=integer(0, options.MAX_COUNT), help="of the order (default: 1)")
    add("--cooldown", metavar="SECONDS", type=number(0, 86400), help="rest before each run (default: 0)")
    add("--timeout", metavar="SECONDS", type=number(0.001, 2592000), help="of a run (default: 3600)")
    add("--no-warmup", dest="warm_up", action="store_false", help="no warm-up call before the samples of a run")
    add("--components", action="store_true", help="time by operation as well, in a pass of its own")
    add(
        "--vs-python",
        metavar="PATH",
        type=options.text,
        help="the interpreter that has llama-cpp-python (default: this one)",
    )


def _add_axes(parser: argparse.ArgumentParser) -> None:
    """Axes as options; several values with commas between."""
    texts = (("--engine", "native, numpy, llama.cpp, transformers"),
             ("--type", "quantised on the way; as it is without"),
             ("--features", "CPU features, as Q4_CPU_FEATURES has them"),
             ("--kv", "keys and values: f16, q8_0"))  # fmt: skip
    for name, text in texts:
        parser.add_argument(name, metavar="A,B", type=_texts, help=text)
    parser.add_argument("-C", "--cpu-mask", metavar="M,M", type=_masks, help="CPUs: masks such as 0x1,0x3")
    lists = (("-t", "--threads", 1, 256, "numbers of threads"), ("-p", "--n-prompt", 0, 1 << 20, "prompt lengths"),
             ("-n", "--n-gen", 0, 1 << 20, "tokens to generate behind the prompt"),
             ("-d", "--n-depth", 0, 1 << 20, "tokens in the cache before"),
             ("-b", "--batch-size", 1, 1 << 20, "tokens evaluated at once"))  # fmt: skip
    for short, long, low, high, text in lists:
        parser.add_argument(short, long, metavar="N,N", type=integers(low, high), help=text)


def _texts(text: str) -> list[str]:
    found = text.split(",")
    if not all(found):
        raise argparse.ArgumentTypeError(f"{shown(text)} has an empty value")
    return found


def _masks(text: str) -> list[str]:
    for part in _texts(text):
        options.cpu_mask(part)
    return _texts(text)


def _states(text: str) -> list[str]:
    found = text.split(",")
    wrong = [state for state in found if state not in _REPEATED]
    if wrong:
        raise argparse.ArgumentTypeError(f"{shown(wrong[0])} is none of {', '.join(_REPEATED)}")
    return found


def run(args: argparse.Namespace) -> int:
    """What was run goes to the file of results, a line a block to stderr."""
    if str(args.words[0]) == _EXPORT:
        return _export(args)
    if args.format is not None:
        args.parser.error("--format is for q4engine sweep export RESULTS")
    plan, path = _plan(args)
    if args.dry_run:
        return _dry_run(plan, path)
    from q4engine.bench.conditions import machine_facts
    from q4engine.sweep.all_machines import sweep_all
    from q4engine.sweep.plan_file import crowded
    from q4engine.sweep.results import Results
    from q4engine.sweep.type_cache import TypeCache

    if found := crowded(plan):
        note(
            f"warning: in {len(found)} combinations threads take turns on CPUs, as {found[0]} (skip = 'threads > cpus')"
        )
    if plan.pace.blocks % 2 and plan.pace.target is None:
        note("note: the number of repetitions is odd: the last block has none that runs backwards beside it")
    if plan.pace.captures:
        plan = replace(plan, captures=path.with_name(f"{path.name}.captures"))
    with Results(path) as results, _listener() as listener:
        types = TypeCache(path.with_name(f"{path.name}.models"), listener.note)
        try:
            summary = sweep_all(plan, results, types, machine_facts(None), listener, args.repeat)
        except KeyboardInterrupt:
            note(f"{path}: what was made until now is kept; the same command goes on with it")
            raise
    return _tell(summary, path)


def _plan(args: argparse.Namespace) -> tuple[Plan, Path]:
    """The plan and where its results go."""
    from q4engine.sweep.plan_file import plan_of, read_plan

    given = {axis: value for name, axis in _AXES.items() if (value := getattr(args, name)) is not None}
    pace = {name: value for name in _PACE if (value := getattr(args, name)) is not None}
    pace |= {"warm_up": False} if not args.warm_up else {}
    pace |= {"components": True} if args.components else {}
    first: Path = args.words[0]
    if first.suffix.lower() == ".toml":
        if len(args.words) > 1 or given or pace or args.vs_python:
            args.parser.error("a plan has everything in it: give it with -o, --dry-run and --repeat alone")
        return read_plan(first), args.output or first.with_suffix(".sqlite")
    data: dict[str, Any] = {"axes": {**given, "model": [str(path) for path in args.words]}, **pace}
    if args.vs_python:
        data["engines"] = {"llama.cpp": {"python": args.vs_python}}
    return plan_of(data, "sweep", Path()), args.output or Path("sweep.sqlite")


def _dry_run(plan: Plan, path: Path) -> int:
    """The plan on stdout."""
    from q4engine.sweep.estimate import in_words, seconds_of
    from q4engine.sweep.results import read_results
    from q4engine.sweep.sweeping import planned

    made = read_results(path) if path.exists() else []
    there = {(run.combination, run.block) for run in made}
    seconds = seconds_of(plan, made)
    runs = list(planned(plan))
    left = sum(seconds[combination] for block, combination in runs if (combination, block) not in there)
    n_there = sum((combination, block) in there for block, combination in runs)
    for text, count in plan.skipped:
        print(options.printable(f"skipped by {text}: {count}"))
    most = ", or fewer: until each median is known" if plan.pace.target is not None else ""
    name = options.printable(plan.name)
    print(
        f"{name}: {len(plan.combinations)} combinations in {plan.pace.blocks} blocks{most}: {len(runs)} runs, "
        f"{n_there} of them made"
    )
    how = "by what was made" if made else "roughly, by the models' sizes: known better after the first runs"
    budget = "" if plan.pace.budget is None else f"; the budget is {in_words(plan.pace.budget)}"
    print(f"time for the others: about {in_words(left)} ({how}){budget}")
    for block, combination in runs[:_SHOWN]:
        mark = "made" if (combination, block) in there else f"about {in_words(seconds[combination])}"
        print(options.printable(f"  block {block + 1}: {combination} ({mark})"))
    if len(runs) > _SHOWN:
        print(f"  … {len(runs) - _SHOWN} more, by seed {plan.pace.seed}")
    return 0


def _tell(summary: Summary, path: Path) -> int:
    counted = [f"{count} {state}" for state, count in summary.states.items() if count]
    counted += [f"{summary.absent} not made"] if summary.absent else []
    note(f"{path}: {', '.join(counted)}; {summary.ended}")
    if summary.states["failed"] or summary.states["timeout"]:
        note("error: some runs failed: their reasons are kept (--repeat failed,timeout makes them again)")
    return 0 if summary.is_whole else 1


def _export(args: argparse.Namespace) -> int:
    from q4engine.sweep.export import FORMATS
    from q4engine.sweep.results import read_results

    if len(args.words) != 2 or args.output is None:
        args.parser.error("expected export RESULTS -o FILE")
    form = args.format or args.output.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        args.parser.error(f"--format is one of {', '.join(FORMATS)}, which the name of -o does not tell")
    if refused := outputs.conflict([("-o", args.output)], [("the results", args.words[1])]):
        raise Q4Error(refused)
    data = FORMATS[form](read_results(args.words[1]))
    try:
        outputs.write(args.output, data)
    except OSError as error:
        raise Q4Error(f"{args.output}: cannot be written: {error.strerror}") from None
    return 0


class _Lines:
    """A line a block."""

    def note(self, text: str) -> None:
        note(options.printable(text))

    def at(self, done: int, of: int, left: str, what: str) -> None:
        pass


class _Bar(_Lines):
    """A bar beside the lines, drawn between runs only: a thread that draws would take part in what is measured."""

    def __init__(self, advance: Callable[[int, int, str], None], say: Callable[[str], None]) -> None:
        self._advance, self._say = advance, say

    def note(self, text: str) -> None:
        self._say(options.printable(text))

    def at(self, done: int, of: int, left: str, what: str) -> None:
        self._advance(done, of, f"{left} left, {what}")


@contextlib.contextmanager
def _listener() -> Iterator[_Lines]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=None)

        def advance(done: int, of: int, what: str) -> None:
            bar.update(task, completed=done, total=of, description=escape(what))
            bar.refresh()

        yield _Bar(advance, lambda text: bar.console.print(text, markup=False, highlight=False))
