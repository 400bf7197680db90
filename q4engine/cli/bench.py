"""``q4engine bench``: how fast prompts and generation are, beside what the machine could do."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.terminal import columns, fitted
from q4engine.cli import options
from q4engine.cli.loading import note_long_context, tuned_for, uncrowded
from q4engine.cli.options import note
from q4engine.cli.placing import add_placing, place
from q4engine.cli.sustaining import add_sustaining, check_sustaining, sensors_of, sustained
from q4engine.cpus import MAX_THREADS
from q4engine.errors import Q4Error, shown

if TYPE_CHECKING:
    from q4engine.bench.captures import Plan
    from q4engine.bench.cases import Case
    from q4engine.bench.peer import Peer
    from q4engine.bench.runner import Settings
    from q4engine.bench.tables import Row
    from q4engine.engine import Engine
    from q4engine.tuned import Choice

_MAX_TOKENS = 1 << 20
_REPETITIONS = 5
_RANGE = re.compile(r"([0-9]+)-([0-9]+)(?:([+*])([0-9]+))?")
_MOST_OF_A_RANGE = 1000
_CAPTURED_TOKENS = 32

_EPILOG = """\
examples:
  q4engine bench model.gguf                           pp512 and tg128, five times each
  q4engine bench model.gguf -p 128,512 -n 64 -t 1,2,4 -r 10
  q4engine bench model.gguf -p 128-512+128 -t 1-4     ranges, as llama-bench has them
  q4engine bench model.gguf -p 0 -n 32 -d 0,2048 -o json > result.json
  q4engine bench model.gguf -pg 256,64                a prompt and what follows it as one test
  q4engine bench model.gguf --vs llama-cpp --vs-python ~/venv/bin/python
  q4engine bench model.gguf --vs llama-cpp --explain  which operations make the difference
  q4engine bench model.gguf --power                   joules a token beside the speed
  q4engine bench model.gguf --sustain 600 --plot speed.svg
  q4engine bench model.gguf --capture scaling -t 1,2,4 -p 16,32,64,128,256,512

pp512: a prompt of 512 tokens, evaluated at once. tg128: 128 tokens, one after the other. "@ d2048": behind 2048 tokens.
pp256+tg64 (-pg 256,64): both in one, tokens of both over the time of both; no limit of the machine is its own.
A test is warmed up by one call that is not counted. rate and "of peak" are medians: a generation's bytes per second
against a plain read of the packed weights on the same threads, measured between the repetitions; a prompt's int8
operations per second against a loop that does nothing else. Tokens are random; nothing is sampled.
--capture DIR: each prompt, with the tokens generated behind it, becomes a file for python -m analysis.scaling DIR.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "bench",
        run,
        help="measure prompt and generation speed",
        description="Measure the speed of prompts and of generation, and the limits of the machine beside it.",
        epilog=_EPILOG,
    )
    parser.add_argument("model_position", metavar="MODEL", nargs="*", type=options.file, help="GGUF files")
    parser.add_argument(
        "-m", "--model", metavar="MODEL", action="append", default=[], type=options.file, help="one more"
    )
    options.add_hub(parser, action="append")
    counts = integers(0, _MAX_TOKENS)
    lists: tuple[tuple[str, str, Callable[[str], list[int]], str, str], ...] = (
        ("-p", "--n-prompt", counts, "512", "prompt lengths; 0: none"),
        ("-n", "--n-gen", counts, "128", "tokens to generate; 0: none"),
        ("-d", "--n-depth", counts, "0", "tokens in the cache before a test"),
        ("-t", "--threads", _thread_counts, "", "numbers of threads (default, and -1: as many as make it faster)"),
    )
    for short, long, kind, default, text in lists:
        text += f" (default: {default}{f'; with --capture {_CAPTURED_TOKENS}' * (short == '-n')})" if default else ""
        parser.add_argument(short, long, metavar="N,N", type=kind, action="append", help=text)
    integer = options.integer
    parser.add_argument(
        "-pg",
        dest="n_both",
        metavar="PP,TG",
        type=_both,
        action="append",
        help="besides, a prompt and the tokens generated behind it as one test (more than once)",
    )
    options.add_threads_batch(parser)
    options.add_kv_form(parser)
    options.add_no_tuned(parser)
    parser.add_argument(
        "-r",
        "--repetitions",
        metavar="N",
        type=integer(1, options.MAX_COUNT),
        help="default: 5; with --capture 1, as files grow",
    )
    parser.add_argument(
        "-b", "--batch-size", metavar="N", type=integer(1, options.MAX_BATCH), default=512, help="default: %(default)s"
    )
    add_placing(parser)
    parser.add_argument("--no-warmup", dest="warm_up", action="store_false", help="no warm-up call before a test")
    parser.add_argument(
        "--cooldown",
        metavar="SECONDS",
        type=options.number(0, 86400),
        default=0.0,
        help="rest before each repetition (default: 0)",
    )
    add_sustaining(parser)
    _add_outputs(parser)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    """What the figures are set against, and where they go."""
    parser.add_argument(
        "-o", "--output", choices=("md", "csv", "json", "jsonl", "sql"), default="md", help="default: %(default)s"
    )
    parser.add_argument(
        "--vs", choices=("llama-cpp",), help="measure an installed llama-cpp-python too, in turns on the same file"
    )
    parser.add_argument(
        "--vs-python",
        metavar="PATH",
        type=options.text,
        default=sys.executable,
        help="the interpreter that has it (default: this one)",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="with --vs: capture both, a prompt and the tokens behind it, and compare them operation by operation "
        "(--capture DIR keeps the captures)",
    )
    parser.add_argument(
        "--capture",
        metavar="DIR",
        type=options.file,
        help="a per-operation capture of each model, thread count and prompt",
    )
    parser.add_argument("--events", metavar="LIST", help="what captures count, as for q4engine run (default: default)")


def _thread_counts(text: str) -> list[int]:
    """An argparse type: as ``integers``; none for -1, llama.cpp's word for the default."""
    return [] if text.strip() == options.DEFAULT_THREADS else integers(1, MAX_THREADS)(text)


def integers(low: int, high: int) -> Callable[[str], list[int]]:
    """An argparse type: comma-separated integers from ``low`` to ``high``, and ranges as llama-bench writes them:
    ``1-4``, ``128-512+128``, ``64-512*2``."""
    single = options.integer(low, high)

    def parsed(text: str) -> list[int]:
        return [number for part in text.split(",") for number in _range(part, single)]

    return parsed


def _range(text: str, single: Callable[[str], int]) -> list[int]:
    found = _RANGE.fullmatch(text)
    if found is None:
        return [single(text)]
    at, last, step = single(found[1]), single(found[2]), int(found[4] or 1)
    numbers: list[int] = []
    while at <= last and len(numbers) <= _MOST_OF_A_RANGE:
        numbers.append(at)
        at = at * step if found[3] == "*" else at + step
        if at == numbers[-1]:
            raise argparse.ArgumentTypeError(f"{shown(text)} does not end, expected a step that leads on")
    if not 0 < len(numbers) <= _MOST_OF_A_RANGE:
        count = f"more than {_MOST_OF_A_RANGE} numbers" if numbers else "no number"
        raise argparse.ArgumentTypeError(f"{shown(text)} has {count}")
    return numbers


def _both(text: str) -> tuple[int, int]:
    """An argparse type: lengths of a prompt and of the generation behind it."""
    lengths = integers(0, _MAX_TOKENS)(text)
    if len(lengths) != 2:
        raise argparse.ArgumentTypeError(f"{shown(text)} should be two numbers, such as 256,64")
    return lengths[0], lengths[1]


def run(args: argparse.Namespace) -> int:
    """Tables go to stdout, warnings and progress to stderr. What was measured before Ctrl-C or an error is printed."""
    from q4engine.bench.cases import cases

    args.model += [options.hub_model(name) for name in args.hf_repo or []]
    args.threads = [counts for counts in args.threads or [] if counts] or None
    paths: list[Path] = args.model_position + args.model
    if not paths:
        args.parser.error("give at least one MODEL")
    check_sustaining(args)
    options.kv_form(args)  # a usage error before anything is loaded
    if args.explain:
        return _explain(args, paths)
    if args.capture is not None:
        return _capture(args, paths)
    if args.events is not None:
        args.parser.error("--events needs --capture")
    if args.sustain is not None:
        return _sustain(args, paths)
    plan = cases(_flat(args.n_prompt, [512]), _flat(args.n_gen, [128]), _flat(args.n_depth, [0]), args.n_both or [])
    if not plan:
        args.parser.error("there is nothing to measure: -p and -n are 0")
    rows: list[Row] = []
    printed = _Printer(args, rows)
    try:
        for row in _measured(args, paths, plan):
            rows.append(row)
            printed.add(row)
            for warning in row.result.warnings():
                note(f"warning: {warning}")
    finally:
        printed.end()
    return 0


def _sustain(args: argparse.Namespace, paths: list[Path]) -> int:
    from q4engine.bench.conditions import machine_facts

    ((path, choice),) = _choices(args, paths)
    meter = sensors_of(args)
    with _engine(args, path, choice, _Quiet()) as engine:
        return sustained(args, engine, meter, machine_facts(args.cpu_mask))


def _capture(args: argparse.Namespace, paths: list[Path]) -> int:
    """A line for each file on stdout."""
    from q4engine.bench import captures

    takes = "--capture takes -p, one -n, -t, -tb, -r, -b, -C, --no-warmup and --events"
    if args.vs:
        args.parser.error(f"{takes}; with --vs, --explain")
    plan = _plan(args, args.capture, takes)
    choices, prompts = _choices(args, paths), plan.prompts
    captures.prepare(plan, paths)
    with _progress(len(choices) * len(prompts)) as progress:
        for at, (path, choice) in enumerate(choices):
            with _engine(args, path, choice, progress) as engine:
                if path not in (earlier for earlier, _ in choices[:at]):
                    note_long_context(engine, plan.n_ctx)
                for done in captures.capture_all(engine, replace(plan, cpus=choice.cpus), progress.tell):
                    generation = "" if done.generation_rate is None else f", decode {done.generation_rate:.2f}"
                    print(f"{done.path}: tokens/s: prefill {done.prompt_rate:.2f}{generation}", flush=True)
                    if done.exceeds_peak:
                        note(
                            f"warning: {done.path}: {100 * (done.of_peak or 0):.0f} % of the read peak in it, also "
                            "when repeated: the two did not see the same machine"
                        )
                    progress.advance()
    return 0


def _plan(args: argparse.Namespace, folder: Path, takes: str) -> Plan:
    """What is to be captured. takes: said where other options are given."""
    from q4engine.bench.captures import Plan

    prompts = [n for n in dict.fromkeys(_flat(args.n_prompt, [512])) if n]
    gens = _flat(args.n_gen, [_CAPTURED_TOKENS])
    others = (args.n_depth, args.n_both, args.output != "md", args.cooldown, args.power)
    if not prompts or len(gens) > 1 or any(others):
        args.parser.error(takes)
    options.check_events(args)
    events = args.events if args.events is not None else "default"
    repetitions, batch = args.repetitions or 1, args.batch_size
    return Plan(folder, prompts, gens[0], repetitions, batch, events, args.warm_up, command=args.command_line)


def _explain(args: argparse.Namespace, paths: list[Path]) -> int:
    """Captures of both engines and what makes their difference, in one go."""
    from q4engine.bench import captures
    from q4engine.bench.explained import capture_both, compared

    if args.vs is None:
        args.parser.error("--explain needs --vs")
    if find_spec("pandas") is None:
        raise Q4Error("--explain needs the analysis: pip install 'q4engine[analysis]'")
    takes = "--explain takes one model, one each of -p, -n and -t, -tb, -r, -b, -C, --no-warmup, --events and --capture"
    with contextlib.ExitStack() as stack:
        folder = args.capture or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="q4engine-explain-")))
        plan = _plan(args, folder, takes)
        choices = _choices(args, paths)
        if len(choices) > 1 or len(plan.prompts) > 1 or args.sustain is not None:
            args.parser.error(takes)
        captures.prepare(plan, paths)
        ((path, choice),) = choices
        with _progress(1) as progress, _engine(args, path, choice, progress) as engine:
            ours, theirs = capture_both(engine, replace(plan, cpus=choice.cpus), args.vs_python, progress.tell)
        return compared(ours, theirs)


def _choices(args: argparse.Namespace, paths: list[Path]) -> list[tuple[Path, Choice]]:
    """Each model with each number of threads once."""
    place(args)
    found = [tuned_for(args, path) for path in paths]
    given = [] if all(found) else _given(args)
    return [(path, choice) for path, own in zip(paths, found, strict=True) for choice in ([own] if own else given)]


def _given(args: argparse.Namespace) -> list[Choice]:
    """What the options say, or the default."""
    from q4engine.cpus import default_thread_count
    from q4engine.tuned import Choice

    cpus: list[int] | None = args.cpu_mask
    asked = dict.fromkeys(_flat(args.threads, [len(cpus) if cpus else default_thread_count()]))
    threads = [used for n in asked if (used := uncrowded(n, cpus, "warning"))]
    batch = uncrowded(args.threads_batch, cpus, "warning")
    return [Choice(n, batch or n, None if cpus is None else tuple(cpus)) for n in dict.fromkeys(threads)]


@contextlib.contextmanager
def _engine(args: argparse.Namespace, path: Path, choice: Choice, progress: _Quiet) -> Iterator[Engine]:
    from q4engine.engine import Engine

    progress.tell(f"{path.name}: loading")
    options.tell_of_truncation(path)
    form = options.kv_form(args)
    engine = Engine.load(path, choice.threads, choice.cpus, n_threads_batch=choice.threads_batch, kv_form=form)
    try:
        yield engine
    finally:
        engine.close()


def _flat(lists: list[list[int]] | None, default: list[int]) -> list[int]:
    return [value for values in lists for value in values] if lists else default


def _measured(args: argparse.Namespace, paths: list[Path], plan: list[Case]) -> Iterator[Row]:
    from q4engine.bench.model import ModelFacts
    from q4engine.bench.runner import Runner, Settings
    from q4engine.bench.tables import Row

    choices = _choices(args, paths)
    settings = Settings(args.repetitions or _REPETITIONS, args.warm_up, args.cooldown, args.batch_size)
    n_ctx, meter = max(test.n_ctx for test in plan), sensors_of(args)
    with _progress(len(choices) * len(plan)) as progress:
        for at, (path, choice) in enumerate(choices):
            with (
                _engine(args, path, choice, progress) as engine,
                _peer(args, path, n_ctx, choice, settings) as peer,
            ):
                if path not in (earlier for earlier, _ in choices[:at]):
                    note_long_context(engine, n_ctx)
                model = ModelFacts.of(engine)
                runner = Runner(engine, n_ctx, settings, peer, progress.tell, meter)
                for test in plan:
                    yield Row(model, runner.run(test))
                    progress.advance()
                del runner


def _peer(
    args: argparse.Namespace, path: Path, n_ctx: int, choice: Choice, settings: Settings
) -> contextlib.AbstractContextManager[Peer | None]:
    if args.vs is None:
        return contextlib.nullcontext()
    from q4engine.bench.peer import Peer

    threads = choice.threads, choice.threads_batch
    return Peer(args.vs_python, path, n_ctx, settings.n_batch, threads, kv_form=options.kv_form(args))


class _Printer:
    """Prints a row when it is there (Markdown, CSV, lines of JSON, SQL), or all at the end (JSON)."""

    def __init__(self, args: argparse.Namespace, rows: list[Row]) -> None:
        from q4engine.bench.conditions import machine_facts

        self._args = args
        self._rows = rows
        self._machine = machine_facts(args.cpu_mask)

    def add(self, row: Row) -> None:
        from q4engine.bench import tables

        first = len(self._rows) == 1
        if self._args.output == "md":
            table = tables.Markdown(
                self._args.vs is not None, len(self._rows[0].model.kind), columns(), self._args.power
            )
            lines = [*(table.head() if first else []), table.row(row)]
        elif self._args.output == "csv":
            lines = tables.csv_lines([row], self._machine, head=first)
        elif self._args.output == "jsonl":
            lines = [tables.json_line(row, self._machine)]
        elif self._args.output == "sql":
            lines = tables.sql_lines(row, self._machine, head=first)
        else:
            return
        print("\n".join(lines), flush=True)

    def end(self) -> None:
        from q4engine.bench import tables

        if self._args.output == "json":
            print(tables.to_json(self._rows, self._machine))
        elif self._args.output == "md" and self._rows:
            facts = {key: value for key, value in self._machine.items() if value not in (None, [])}
            print("\n" + "\n".join(fitted([", ".join(f"{key}: {value}" for key, value in facts.items())])))


# ---- progress --------------------------------------------------------------------------------------------------------


class _Quiet:
    def tell(self, text: str) -> None:
        pass

    def advance(self) -> None:
        pass


class _Bar(_Quiet):
    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def tell(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def advance(self) -> None:
        self._bar.advance(self._task)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[_Quiet]:
    """A bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    # refreshed by hand only: a thread that draws would take part in what is measured
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        yield _Bar(bar, bar.add_task("", total=total))
