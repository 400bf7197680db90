"""One way to run a model (threads, CPUs), measured: prompts and generations, with the machine's limits between them
and what others took of the CPUs meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from q4engine import cpu_time, cpus
from q4engine.bench.cases import Case, Work, work
from q4engine.bench.limits import Limits, rate_of
from q4engine.bench.statistics import median
from q4engine.bench.sustained import Sample, read_machine
from q4engine.bench.targets import Own, random_tokens
from q4engine.engine import Engine
from q4engine.explain.granted import Pages, read_pages
from q4engine.explain.surroundings import Places
from q4engine.profiling.read_peak import memory_peak_gbps
from q4engine.profiling.recording import weight_bytes_per_token


@dataclass(frozen=True)
class Way:
    """How a model is run. cpus: to which threads are pinned, None: to none."""

    n_threads: int
    cpus: tuple[int, ...] | None = None

    @property
    def options(self) -> str:
        """On the command line."""
        mask = "" if self.cpus is None else f" -C {','.join(map(str, self.cpus))}"
        return f"-t {self.n_threads}{mask}"


@dataclass
class Phase:
    """Of prompts or of generations. seconds: of each. limit: 10⁹ a second that the machine reached beside it, in
    `unit`; NaN where there is none."""

    test: Case
    work: Work
    seconds: list[float] = field(default_factory=list)
    limit: float = float("nan")
    unit: str = ""

    @property
    def rate(self) -> float:
        """Tokens a second, of the median."""
        return self.test.n_tokens / median(self.seconds)

    @property
    def of_limit(self) -> float:
        """Share of the limit, 0..1, NaN without one."""
        return rate_of(self.work, self.test, median(self.seconds)) / self.limit


@dataclass
class Measured:
    """taken: what others took, in percent, by the keys of a capture's header. stopped: share of the time in which the
    control group was stopped, None where that is not told. samples: speeds and clocks over time. pages: of the weights.
    peaks: 10⁹ bytes a second that so many threads read at most."""

    way: Way
    prefill: Phase
    decode: Phase
    taken: dict[str, float] = field(default_factory=dict)
    stopped: float | None = None
    samples: list[Sample] = field(default_factory=list)
    pages: Pages | None = None
    peaks: dict[int, float] = field(default_factory=dict)

    @property
    def phases(self) -> dict[str, Phase]:
        return {"prefill": self.prefill, "decode": self.decode}


LEAST_TURNS = 2


@dataclass(frozen=True)
class Plan:
    """How much is run: prompts of n_prompt tokens and generations of n_gen, so many times, or for as long as `seconds`
    where that takes too long; twice at least."""

    n_prompt: int
    n_gen: int
    repetitions: int
    n_batch: int = 512
    seconds: float = 60.0

    def turns(self, clock: Callable[[], float] = time.monotonic) -> Iterator[int]:
        """Numbers of the turns, as long as there is time."""
        start = clock()
        for turn in range(self.repetitions):
            if turn >= LEAST_TURNS and clock() - start > self.seconds:
                return
            yield turn


class Runner:
    """Runs a model in one way. Use `repeat` as often as wanted, then `finish`."""

    def __init__(self, engine: Engine, way: Way, plan: Plan, places: Places) -> None:
        self._places, self._plan = places, plan
        self._own = Own(engine, plan.n_prompt + 1 + plan.n_gen, plan.n_batch)
        vocab = engine.config.vocab_size
        self._prompt, self._generated = random_tokens(plan.n_prompt, vocab, 1), random_tokens(plan.n_gen, vocab, 2)
        tests = [Case(plan.n_prompt, 0), Case(0, plan.n_gen)]
        prefill, decode = (Phase(test, work(engine, test, plan.n_batch)) for test in tests)
        self.measured = Measured(way, prefill, decode)
        self._limits = [Limits(engine, test) for test in tests]
        self._own.prepare([])
        self._own.run(self._prompt, self._generated[:1])
        self.measured.pages = read_pages(weight_bytes_per_token(engine))
        self._began, self._before = time.monotonic(), self._moment()
        self._stopped = self._stops()

    def repeat(self) -> None:
        """A prompt, its generation, and a look at both limits."""
        for limits in self._limits:
            limits.measure()
        start = time.monotonic()
        self.measured.prefill.seconds.append(self._own.run(self._prompt, []))
        seconds = self._own.run([], self._generated)
        self.measured.decode.seconds.append(seconds)
        end, rate = time.monotonic(), self._plan.n_gen / seconds
        reading = read_machine(self.measured.way.n_threads)
        self.measured.samples.append(Sample(start - self._began, end - self._began, rate, reading))

    def finish(self) -> Measured:
        """What it came to."""
        after = self._moment()
        self.measured.taken = cpu_time.taken_percents(self._before, after)
        stops, seconds = self._stops(), after.at - self._before.at
        if stops is not None and self._stopped is not None and seconds > 0:
            self.measured.stopped = min(1.0, max(0.0, stops - self._stopped) / seconds)
        for phase, limits in zip(self.measured.phases.values(), self._limits, strict=True):
            if limits.limit is not None:
                phase.limit, phase.unit = limits.limit.rate, limits.limit.unit
        return self.measured

    def _moment(self) -> cpu_time.Moment:
        return cpu_time.read_moment(self.measured.way.cpus)

    def _stops(self) -> float | None:
        return cpus.throttled_seconds(self._places.cgroups, self._places.own_cgroup)


def measure(path: Path, way: Way, plan: Plan, places: Places, most_threads: int = 0) -> Measured:
    """Loads the model and runs it in this way, then looks how much 1 to `most_threads` threads read. Q4Error where it
    cannot be loaded."""
    with loaded(path, way) as engine:
        runner = Runner(engine, way, plan, places)
        for _ in plan.turns():
            runner.repeat()
        measured = runner.finish()
        n_bytes = weight_bytes_per_token(engine)
    measured.peaks = read_peaks(n_bytes, most_threads)
    return measured


def read_peaks(n_bytes: int, most_threads: int) -> dict[int, float]:
    """10⁹ bytes a second of memory as large as what a token reads, by 1, 2, … threads, from 8 on by powers of two."""
    counts = [n for n in range(1, most_threads + 1) if n <= 8 or n == most_threads or n & (n - 1) == 0]
    found = {n: memory_peak_gbps(n_bytes, n) for n in counts}
    return {n: rate for n, rate in found.items() if rate is not None}


def in_turns(path: Path, ways: Sequence[Way], plan: Plan, places: Places) -> list[Measured]:
    """The same of several ways, which take turns: what happens meanwhile happens to all."""
    with ExitStack() as stack:
        engines = [stack.enter_context(loaded(path, way)) for way in ways]
        runners = [Runner(engine, way, plan, places) for engine, way in zip(engines, ways, strict=True)]
        for turn in plan.turns():
            for runner in runners if turn % 2 == 0 else reversed(runners):
                runner.repeat()
        return [runner.finish() for runner in runners]


def loaded(path: Path, way: Way) -> Engine:
    """The model, to be run in this way."""
    return Engine.load(path, n_threads=way.n_threads, cpu_mask=way.cpus)
