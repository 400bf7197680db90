"""A whole sweep: block after block, each run kept as soon as it is over, on from where a killed one was."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from q4engine.errors import Q4Error
from q4engine.sweep.build_maker import make_builds, without
from q4engine.sweep.combination import Combination
from q4engine.sweep.estimate import in_words, seconds_of
from q4engine.sweep.one_run import make_run
from q4engine.sweep.order import block_order
from q4engine.sweep.plan_file import Plan
from q4engine.sweep.results import STATES, Results, Run
from q4engine.sweep.scored_models import score_models
from q4engine.sweep.stopping import enough, spent
from q4engine.sweep.type_cache import TypeCache


class Listener(Protocol):
    """Is told how a sweep goes on."""

    def note(self, text: str) -> None:
        """A line for the user."""

    def at(self, done: int, of: int, left: str, what: str) -> None:
        """So many runs are kept of those planned; ``left``: time, in words; ``what`` runs now."""


@dataclass(frozen=True)
class Summary:
    """How many runs are of each state, why the sweep ended, and how many could not be made, as a model is not there."""

    states: Mapping[str, int]
    ended: str
    absent: int

    @property
    def is_whole(self) -> bool:
        return not self.absent and not self.states["failed"] and not self.states["timeout"]


class Sweep:
    """Runs a plan, of one machine, into its results. ``machine``: facts to keep with each run.

    ``make``: makes a run, as `make_run`, on another machine.
    """

    def __init__(
        self,
        plan: Plan,
        results: Results,
        types: TypeCache,
        machine: Mapping[str, Any],
        listener: Listener,
        make: Callable[..., Run] | None = None,
    ) -> None:
        self._plan = plan
        self._results = results
        self._types = types
        self._machine = machine
        self._listener = listener
        self._make = make
        here = plan.combinations[0]["machine"]
        self._runs = {(run.combination, run.block): run for run in results.runs() if run.combination["machine"] == here}
        self._absent: dict[Combination, str] = {}
        self._builds: Mapping[str, Mapping[str, Any]] = {}
        self._is_prepared = False

    def go(self, repeat: Sequence[str] = ()) -> Summary:
        """Makes all runs that are not there, and again those whose state is one of ``repeat``.

        Q4Error where results cannot be written: what was made until then is kept.
        """
        self.prepare()
        self._repeat(repeat)
        ended = ""
        for block in itertools.count():
            ended = enough(self._plan.pace, block, self._runs.values())
            if ended:
                break
            n_before = len(self._runs)
            for combination in block_order(self._plan.combinations, self._plan.pace.seed, block):
                if (combination, block) in self._runs or combination in self._absent:
                    continue
                if ended := spent(self._plan.pace, self._runs.values()):
                    break
                self._run(combination, block, 0)
            if ended:
                break
            if len(self._runs) > n_before:
                self._listener.note(self._told_of(block))
        return self._summary(ended)

    def is_done(self, repeat: Sequence[str]) -> bool:
        """Whether every run is there that may be wanted."""
        wanted = ((each, block) for each in self._plan.combinations for block in range(self._plan.pace.blocks))
        return all(key in self._runs and self._runs[key].state not in repeat for key in wanted)

    def set_aside(self, why: str) -> None:
        """Nothing more is run, and a line says why."""
        name = self._plan.combinations[0].text("machine")
        self._listener.note(
            f"error: {name}: {why}; its unfinished runs are not made, the same command goes on with them"
        )
        self._absent |= dict.fromkeys(self._plan.combinations, why)

    def prepare(self) -> None:
        """Names the plan in the results, and makes builds and types that are wanted before anything is timed."""
        if self._is_prepared:
            return
        self._is_prepared = True
        paths = {path for each in self._plan.combinations if (path := self._plan.model_path(each)) is not None}
        found = {path.resolve(): path.stat() for path in sorted(paths) if path.is_file()}
        self._results.begin(self._plan.name, self._plan.settings(), found)
        self._make_builds()
        for each in self._plan.combinations:
            self.model(each)
        self._score()

    def _make_builds(self) -> None:
        """Builds that do not exist here are said and left out; of one that fails nothing is run."""
        made = make_builds(self._plan, self._listener.note)
        for name, why in made.skipped.items():
            self._listener.note(f"skipped: build {name}: {why}")
        for name, why in made.failed.items():
            self._listener.note(f"error: build {name}: {why}; what needs it is not run")
            self._absent |= {each: why for each in self._plan.combinations if each.text("build") == name}
        self._plan, self._builds = without(self._plan, made), made.facts

    def _score(self) -> None:
        """Perplexities that are wanted and not there yet."""
        text, known = self._plan.text, self._results.perplexities()
        if text is None:
            return
        models: dict[tuple[str, str], Path] = {}
        for each in self._plan.combinations:
            key = each.text("model"), each.text("type")
            if key not in known and (path := self.model(each)) is not None:
                models[key] = path
        self._results.add_perplexities(score_models(text, models, self._plan.pace.timeout, self._listener.note))

    def model(self, combination: Combination) -> Path | None:
        """The file to run. Where there is none the combination is set aside, and a line says so once."""
        path = self._plan.model_path(combination)
        if path is None or combination in self._absent:
            return None
        try:
            found = self._types.model(path, combination.text("type"))
            if not found.is_file():
                raise Q4Error(f"{found}: is no file" if found.exists() else f"{found}: no such file")
            return found
        except Q4Error as error:
            if str(error) not in self._absent.values():
                self._listener.note(f"error: {error}; what needs it is not run, the same command goes on with it")
            self._absent[combination] = str(error)
            return None

    def _repeat(self, states: Sequence[str]) -> None:
        again = [
            run for run in self._runs.values() if run.state in states and run.combination in self._plan.combinations
        ]
        for run in again:
            if run.combination not in self._absent:
                self._run(run.combination, run.block, run.attempt + 1)

    def _run(self, combination: Combination, block: int, attempt: int) -> None:
        model = self.model(combination)
        if combination in self._absent:
            return
        self._listener.at(len(self._runs), self._n_planned(), self._left(), f"block {block + 1}: {combination}")
        time.sleep(self._plan.pace.cooldown)
        try:
            run = (self._make or make_run)(self._plan, combination, model, block, attempt, self._machine)
        except Q4Error as error:
            if self._make is None:
                raise
            self.set_aside(str(error))
            return
        if model is not None and not model.is_file() and self.model(combination) is None:
            return  # removed meanwhile: the run says nothing
        if facts := self._builds.get(combination.text("build")):
            run = replace(run, engine={**run.engine, "build": facts})
        self._results.add(run)
        self._runs[combination, block] = run

    def _n_planned(self) -> int:
        return max(len(self._runs), self._plan.pace.blocks * len(self._plan.combinations))

    def _left(self) -> str:
        """In words, for all blocks that may come."""
        each = seconds_of(self._plan, self._runs.values())
        pace, seconds = self._plan.pace, 0.0
        for combination in self._plan.combinations:
            made = sum((combination, block) in self._runs for block in range(pace.blocks))
            seconds += (pace.blocks - made) * each[combination]
        if pace.budget is not None:
            seconds = min(seconds, max(0.0, pace.budget - sum(run.seconds for run in self._runs.values())))
        return ("at most " if pace.target is not None else "") + in_words(seconds)

    def _told_of(self, block: int) -> str:
        found = [run for run in self._runs.values() if run.block == block]
        others = [f"{n} {state}" for state in STATES[1:] if (n := sum(run.state == state for run in found))]
        doubtful = f", {', '.join(others)}" if others else ""
        left = f"; {self._left()} left" if block + 1 < self._plan.pace.blocks else ""
        return f"block {block + 1} of {self._plan.pace.blocks}: {len(found)} runs{doubtful}{left}"

    def _summary(self, ended: str) -> Summary:
        mine = set(self._plan.combinations)
        states = {
            state: sum(run.state == state for run in self._runs.values() if run.combination in mine) for state in STATES
        }
        absent = sum(
            (each, block) not in self._runs for each in self._absent for block in range(self._plan.pace.blocks)
        )
        return Summary(states, ended, absent)


def planned(plan: Plan) -> Iterator[tuple[int, Combination]]:
    """Every block and combination in the order in which they would run, without a target's earlier end."""
    for block in range(plan.pace.blocks):
        yield from ((block, each) for each in block_order(plan.combinations, plan.pace.seed, block))
