"""A sweep on several machines: each runs its own combinations, beside the others; this one's are made here."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from q4engine.errors import Q4Error
from q4engine.sweep.other_machines import HERE
from q4engine.sweep.plan_file import Plan
from q4engine.sweep.remote import Remote
from q4engine.sweep.results import STATES, Results
from q4engine.sweep.sweeping import Listener, Summary, Sweep
from q4engine.sweep.type_cache import TypeCache


@dataclass
class _Lane:
    """A machine's part of the plan, and what came of it."""

    name: str
    sweep: Sweep
    summary: Summary | None = None
    error: BaseException | None = None

    def go(self, repeat: Sequence[str]) -> None:
        """In a thread: what goes wrong is raised where all are waited for."""
        try:
            self.summary = self.sweep.go(repeat)
        except BaseException as error:
            self.error = error


@dataclass(frozen=True)
class _Named:
    """Notes with the machine's name before them; progress is that of the machine that works here."""

    name: str
    listener: Listener
    turn: threading.Lock
    over: threading.Event

    def note(self, text: str) -> None:
        with self.turn:
            is_named = self.name == HERE or text.startswith("error: ")
            if not self.over.is_set():  # what is cut off then has gone nowhere
                self.listener.note(text if is_named else f"{self.name}: {text}")

    def at(self, done: int, of: int, left: str, what: str) -> None:
        if self.name == HERE:
            with self.turn:
                self.listener.at(done, of, left, what)


def parts(plan: Plan) -> dict[str, Plan]:
    """The plan of each machine, in the order in which the plan names them."""
    found: dict[str, list[Any]] = {}
    for each in plan.combinations:
        found.setdefault(each.text("machine") or HERE, []).append(each)
    return {name: replace(plan, combinations=tuple(mine)) for name, mine in found.items()}


def sweep_all(
    plan: Plan, results: Results, types: TypeCache, facts: Mapping[str, Any], listener: Listener, repeat: Sequence[str]
) -> Summary:
    """Runs the plan on all its machines. A machine that goes away costs its own unfinished runs alone.

    What travels does so before anything is timed. Q4Error where results cannot be written.
    """
    turn, over = threading.Lock(), threading.Event()
    lanes = []
    with ExitStack() as stack:
        for name, mine in parts(plan).items():
            named = _Named(name, listener, turn, over)
            if name == HERE:
                lanes.append(_Lane(name, Sweep(mine, results, types, facts, named)))
                continue
            remote = stack.enter_context(Remote(plan.machines[name], listener.note))
            lanes.append(_Lane(name, Sweep(mine, results, types, {}, named, remote.make)))
            lanes[-1].sweep.prepare()
            if not lanes[-1].sweep.is_done(repeat):
                _reach(remote, mine, lanes[-1].sweep)
        others = [threading.Thread(target=each.go, args=(repeat,), daemon=True) for each in lanes if each.name != HERE]
        for thread in others:
            thread.start()
        try:
            for lane in lanes:
                if lane.name == HERE:
                    lane.summary = lane.sweep.go(repeat)
            for thread in others:
                thread.join()
        finally:
            over.set()
    for lane in lanes:
        if lane.error is not None:
            raise lane.error
    return _together([lane.summary for lane in lanes if lane.summary is not None])


def _reach(remote: Remote, plan: Plan, sweep: Sweep) -> None:
    """Starts what makes runs there, and sends the models of the plan. Where that fails the machine is set aside."""
    try:
        remote.start()
        for each in plan.combinations:
            if (path := sweep.model(each)) is not None:
                remote.send_model(path)
    except Q4Error as error:
        sweep.set_aside(str(error))


def _together(summaries: Sequence[Summary]) -> Summary:
    states = {state: sum(each.states[state] for each in summaries) for state in STATES}
    ended = "; ".join(dict.fromkeys(each.ended for each in summaries if each.ended))
    return Summary(states, ended, sum(each.absent for each in summaries))
