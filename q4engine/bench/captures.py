"""A capture for each combination of model, thread count and prompt length: what ``analysis.scaling`` reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from q4engine.bench.runner import LIMIT_BELIEVED
from q4engine.bench.targets import random_tokens
from q4engine.engine import Engine, Session
from q4engine.errors import Q4Error
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.read_peak import read_peak_gbps
from q4engine.profiling.recording import Record, operations, weight_bytes_per_token

_LEAST_ROW = 40  # bytes of an operation on a thread: fewer than any row has, since fused ones have none


@dataclass(frozen=True)
class Plan:
    """What to capture: each prompt in a file of its own, followed by ``n_gen`` tokens, ``repetitions`` times."""

    folder: Path
    prompts: Sequence[int]
    n_gen: int
    repetitions: int
    n_batch: int
    events: str
    warm_up: bool = True
    cpus: Sequence[int] | None = None
    command: str | None = None

    @property
    def n_ctx(self) -> int:
        return max(self.prompts) + self.n_gen


@dataclass(frozen=True)
class Captured:
    """One file that was written. Speeds in tokens a second over all repetitions, None where there was nothing to do.

    of_peak: the weights' bytes a second of the generation, of the read peak in the file.
    """

    path: Path
    n_prompt: int
    prompt_rate: float
    generation_rate: float | None
    of_peak: float | None = None

    @property
    def exceeds_peak(self) -> bool:
        """Whether the peak was not that of the machine as it ran."""
        return self.of_peak is not None and 100 * self.of_peak > LIMIT_BELIEVED


def prepare(plan: Plan, models: Sequence[Path]) -> None:
    """Makes the folder. Q4Error where that fails, nothing can be written there, or two models would write the same
    files."""
    stems = [model.stem for model in models]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise Q4Error(f"two models are called {twice}, so their captures would have the same names")
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Q4Error(f"{plan.folder}: the folder cannot be made: {error.strerror}") from None
    try:
        with tempfile.TemporaryFile(dir=plan.folder) as file:
            file.write(b"x")
    except OSError as error:
        raise Q4Error(f"{plan.folder}: nothing can be written there: {error.strerror}") from None


def check_room(engine: Engine, plan: Plan) -> None:
    """Q4Error where the disk has less room than an engine's captures take at least."""
    calls = sum(-(-n_prompt // plan.n_batch) + plan.n_gen for n_prompt in plan.prompts) * plan.repetitions
    least = calls * len(operations(engine)) * engine.n_threads * _LEAST_ROW
    free = shutil.disk_usage(plan.folder).free
    if free < least:
        raise Q4Error(
            f"{plan.folder}: {free / 1e6:.1f} MB are free there, and the captures of {engine.gguf.path.name} with "
            f"{engine.n_threads} threads take {least / 1e6:.1f} MB at least: fewer -p, -n or -r make fewer"
        )


def file_name(engine: Engine, n_prompt: int) -> str:
    """Names sort by model, threads and prompt: smollm2-q4_0.t02.p0512.csv, with q8_0 behind it where keys and values
    are kept so.
    """
    form = "" if engine.kv_form == "f16" else f".{engine.kv_form}"
    return f"{engine.gguf.path.stem}.t{engine.n_threads:02}.p{n_prompt:04}{form}.csv"


def capture_all(engine: Engine, plan: Plan, tell: Callable[[str], None]) -> Iterator[Captured]:
    """Captures every prompt of the plan on one engine, once more where the weights were read faster than the read peak.

    Q4Error, before anything is measured, where room lacks.
    """
    check_room(engine, plan)
    session = engine.session(n_ctx=plan.n_ctx, n_batch=plan.n_batch)
    peak = read_peak_gbps(engine)
    for n_prompt in plan.prompts:
        path = plan.folder / file_name(engine, n_prompt)
        tell(path.name)
        found = _capture(session, plan, n_prompt, path, peak)
        if found.exceeds_peak:
            peak = max(peak or 0.0, read_peak_gbps(engine) or 0.0)
            found = _capture(session, plan, n_prompt, path, peak)
        yield found


def _capture(session: Session, plan: Plan, n_prompt: int, path: Path, peak: float | None) -> Captured:
    what = Observation(
        capture=path, per_op=True, events=plan.events, cpus=plan.cpus, command=plan.command, read_peak_gbps=peak
    )
    vocab = session.engine.config.vocab_size
    prompt, generated = (random_tokens(n, vocab, seed) for n, seed in ((n_prompt, 1), (plan.n_gen, 2)))
    if plan.warm_up:
        _run(session, prompt, generated[:1])
    seconds = {"prefill": 0.0, "decode": 0.0}
    with observe(session, what) as observer:
        observer.late.append(_Clock(seconds))
        for _ in range(plan.repetitions):
            _run(session, prompt, generated)
    n = plan.repetitions
    generation = plan.n_gen * n / seconds["decode"] if plan.n_gen else None
    read = (generation or 0.0) * weight_bytes_per_token(session.engine) / 1e9
    return Captured(path, n_prompt, n_prompt * n / seconds["prefill"], generation, read / peak if peak else None)


def _run(session: Session, prompt: Sequence[int], generated: Sequence[int]) -> None:
    session.truncate(0)
    session.decode(prompt)
    for token in generated:
        session.decode([token])


class _Clock:
    """Adds up the time of each phase's calls."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    def write(self, record: Record) -> None:
        self._seconds[record.call.phase] += record.duration_ns / 1e9
