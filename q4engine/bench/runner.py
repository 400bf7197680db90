"""Runs one test: warm-up, then repetitions with the machine's limit measured in between, targets taking turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from q4engine.bench.cases import Case, Work, work
from q4engine.bench.conditions import State, others_percent, read_state
from q4engine.bench.limits import Limit, Limits, rate_of
from q4engine.bench.peer import Peer
from q4engine.bench.power import Energy, Meter
from q4engine.bench.statistics import deviation, drift_percent, mean, median
from q4engine.bench.targets import Own, Target, random_tokens
from q4engine.engine import Engine

DRIFT_LIMIT = 5.0
"""Percent from the first to the last repetition; more is warned of."""
OTHERS_LIMIT = 10.0
"""Percent of one CPU that others may use before it is warned of."""
LIMIT_BELIEVED = 105.0
"""Percent of a limit; a test that reaches more did not see the machine that the limit was measured on."""
RATIO_BELIEVED = 20.0
"""Times as fast as the peer, or as slow: more is two machines, or one that somebody else had meanwhile."""
DRIFT_REPEATED = 20.0
"""Percent from the first to the last repetition; a test that drifts by more is measured once more."""
_SEED = 1


@dataclass
class Series:
    """What one target did in one test."""

    target: str
    n_tokens: int
    warm_up_seconds: float | None = None
    seconds: list[float] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Tokens per second of each repetition."""
        return [self.n_tokens / seconds for seconds in self.seconds]

    @property
    def mean(self) -> float:
        return mean(self.rates)

    @property
    def deviation(self) -> float:
        return deviation(self.rates)

    @property
    def drift(self) -> float:
        return drift_percent(self.rates)


@dataclass
class Result:
    """One test on one engine, with all that is needed to judge the figures."""

    test: Case
    n_threads: int
    n_batch: int
    work: Work
    started: str
    own: Series
    before: State
    peer: Series | None = None
    limit: Limit | None = None
    after: State | None = None
    migrations: int | None = None
    others: float | None = None
    energy: Energy | None = None
    repeated: bool = False
    """Whether it was measured once more, since the figures of the first time were strange."""

    @property
    def joules_per_token(self) -> float | None:
        if self.energy is None or not self.energy.spent:
            return None
        return self.energy.joules / (self.test.n_tokens * len(self.own.seconds))

    @property
    def rate(self) -> float | None:
        """GB/s of a generation, GOP/s of a prompt: the median repetition's. None of both in one test."""
        return rate_of(self.work, self.test, median(self.own.seconds)) if self.test.is_one_kind else None

    @property
    def reached(self) -> float | None:
        """Percent of the limit, whether or not it can be."""
        return 100.0 * self.rate / self.limit.rate if self.limit and self.rate is not None else None

    @property
    def exceeds_limit(self) -> bool:
        return self.reached is not None and self.reached > LIMIT_BELIEVED

    @property
    def percent_of_limit(self) -> float | None:
        """Of the limit; None where there is none, and where more was reached than can be."""
        return None if self.exceeds_limit else self.reached

    @property
    def times(self) -> float | None:
        """How many times as fast as the peer, by the medians, whether or not it can be."""
        return median(self.peer.seconds) / median(self.own.seconds) if self.peer else None

    @property
    def peer_reached(self) -> float | None:
        """Percent of the limit that the peer's speed would be, doing the same work."""
        return self.reached / self.times if self.reached is not None and self.times else None

    @property
    def ratio_is_strange(self) -> bool:
        """Both were not given the same machine: one does more than it can, or is tens of times as fast as the other."""
        if self.times is None:
            return False
        shares = (self.reached or 0.0, self.peer_reached or 0.0)
        return max(shares) > LIMIT_BELIEVED or not 1 / RATIO_BELIEVED <= self.times <= RATIO_BELIEVED

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the peer; None without one, and where that is strange."""
        return None if self.ratio_is_strange else self.times

    @property
    def drifts(self) -> list[Series]:
        return [series for series in (self.own, self.peer) if series and abs(series.drift) > DRIFT_LIMIT]

    @property
    def is_strange(self) -> bool:
        """Whether figures are such that the test is measured once more."""
        far = any(abs(series.drift) > DRIFT_REPEATED for series in self.drifts)
        return far or self.exceeds_limit or self.ratio_is_strange

    def warnings(self) -> list[str]:
        """What a reader should know before believing the figures."""
        again = ", also when repeated" if self.repeated else ""
        found = [
            f"{self.test.name}: {series.target} drifted by {series.drift:+.1f} % over {len(series.seconds)} "
            f"repetitions{again if abs(series.drift) > DRIFT_REPEATED else ''} "
            "(heat? --cooldown SECONDS lets the machine rest)"
            for series in self.drifts
        ]
        if self.exceeds_limit:
            found.append(
                f"{self.test.name}: {self.reached:.0f} % of the limit that was measured beside it{again}: "
                "the two did not see the same machine, so the share is withheld"
            )
        if self.peer and self.ratio_is_strange:
            share = f", which would be {self.peer_reached:.0f} % of the limit" if self.peer_reached else ""
            found.append(
                f"{self.test.name}: {self.times:.3g} times as fast as {self.peer.target}{share}{again}: the two did "
                "not have the same machine, so the ratio is withheld"
            )
        if self.others is not None and self.others > OTHERS_LIMIT:
            found.append(f"{self.test.name}: others used {self.others:.0f} % of a CPU meanwhile")
        return found


@dataclass(frozen=True)
class Settings:
    """How every test is run. ``cooldown``: seconds of rest before each repetition."""

    repetitions: int = 5
    warm_up: bool = True
    cooldown: float = 0.0
    n_batch: int = 512


class Runner:
    """Runs tests on one loaded engine and, where there is one, on a peer. ``progress`` is told of each step."""

    def __init__(
        self,
        engine: Engine,
        n_ctx: int,
        settings: Settings,
        peer: Peer | None,
        progress: Callable[[str], None],
        meter: Meter | None = None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._own = Own(engine, n_ctx, settings.n_batch)
        self._peer = peer
        self._progress = progress
        self._meter = meter

    def run(self, test: Case) -> Result:
        """Measure one test, once more where the figures are strange."""
        result = self._run(test)
        if not result.is_strange:
            return result
        again = self._run(test)
        again.repeated = True
        return again

    def _run(self, test: Case) -> Result:
        vocab = self._engine.config.vocab_size
        depth, prompt, generated = (
            random_tokens(n, vocab, _SEED + i) for i, n in enumerate((test.depth, test.n_prompt, test.n_gen))
        )
        pids = (self._peer.pid,) if self._peer else ()
        result = Result(
            test=test,
            n_threads=self._engine.threads_for(test.n_prompt or 1),
            n_batch=self._settings.n_batch,
            work=work(self._engine, test, self._settings.n_batch),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            own=Series(self._own.name, test.n_tokens),
            before=read_state(pids),
        )
        pairs: list[tuple[Target, Series]] = [(self._own, result.own)]
        if self._peer:
            result.peer = Series(self._peer.name, test.n_tokens)
            pairs.append((self._peer, result.peer))
        for target, series in pairs:
            self._progress(f"{test.name}: {target.name} warms up")
            target.prepare(depth)
            if self._settings.warm_up:
                series.warm_up_seconds = target.run(prompt, generated[:1])
        self._repeat(result, pairs, prompt, generated)
        result.migrations = self._own.migrations if self._engine.backend == "native" else None
        return result

    def _repeat(
        self, result: Result, pairs: list[tuple[Target, Series]], prompt: Sequence[int], generated: Sequence[int]
    ) -> None:
        limits = Limits(self._engine, result.test)
        pids = (self._peer.pid,) if self._peer else ()
        before, start = read_state(pids), time.perf_counter()
        for repetition in range(self._settings.repetitions):
            # who goes first changes, so that neither always finds the machine as the other left it
            for target, series in pairs if repetition % 2 == 0 else reversed(pairs):
                self._progress(f"{result.test.name}: {target.name} {repetition + 1}/{self._settings.repetitions}")
                time.sleep(self._settings.cooldown)
                if target is self._own:
                    limits.measure()
                meter = self._meter if target is self._own else None
                with nullcontext() if meter is None else meter.metered():
                    series.seconds.append(target.run(prompt, generated))
        limits.measure()
        result.limit = limits.limit
        result.energy = self._meter.take() if self._meter is not None else None
        result.before, result.after = before, read_state(pids)
        result.others = others_percent(before, result.after, time.perf_counter() - start)
