"""A capture for each combination of model, thread count and prompt length: what ``analysis.scaling`` reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from q4engine.bench.targets import random_tokens
from q4engine.engine import Engine, Session
from q4engine.errors import Q4Error
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.read_peak import read_peak_gbps
from q4engine.profiling.recording import Record


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
    """One file that was written. Speeds in tokens a second over all repetitions, None where there was nothing to do."""

    path: Path
    n_prompt: int
    prompt_rate: float
    generation_rate: float | None


def prepare(plan: Plan, models: Sequence[Path]) -> None:
    """Makes the folder. Q4Error where that fails or two models would write the same files."""
    stems = [model.stem for model in models]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise Q4Error(f"two models are called {twice}, so their captures would have the same names")
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Q4Error(f"{plan.folder}: the folder cannot be made: {error.strerror}") from None


def file_name(engine: Engine, n_prompt: int) -> str:
    """Names sort by model, threads and prompt: smollm2-q4_0.t02.p0512.csv."""
    return f"{engine.gguf.path.stem}.t{engine.n_threads:02}.p{n_prompt:04}.csv"


def capture_all(engine: Engine, plan: Plan, tell: Callable[[str], None]) -> Iterator[Captured]:
    """Captures every prompt of the plan on one engine."""
    session = engine.session(n_ctx=plan.n_ctx, n_batch=plan.n_batch)
    peak = read_peak_gbps(engine)
    for n_prompt in plan.prompts:
        path = plan.folder / file_name(engine, n_prompt)
        tell(path.name)
        what = Observation(
            capture=path,
            per_op=True,
            events=plan.events,
            cpus=plan.cpus,
            command=plan.command,
            read_peak_gbps=peak,
        )
        yield _capture(session, plan, n_prompt, path, what)


def _capture(session: Session, plan: Plan, n_prompt: int, path: Path, what: Observation) -> Captured:
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
    return Captured(path, n_prompt, n_prompt * n / seconds["prefill"], generation)


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
