"""Runs of another machine: what they need is sent there once, then one connection asks for them and takes them in."""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from analysis import sweep_file
from q4engine import __version__
from q4engine.errors import Q4Error, shown
from q4engine.sweep.combination import Combination
from q4engine.sweep.device_agent import PROTOCOL
from q4engine.sweep.link import Link, MachineGone, beside, sha256
from q4engine.sweep.other_machines import HERE, Machine
from q4engine.sweep.plan_file import Plan
from q4engine.sweep.results import STATES, Run, Sample

_AGENT = "q4engine.sweep.device_agent"
_START_SECONDS = 120.0
_MORE_SECONDS = 60.0  # behind a run's own time-out
_MOST_LINE = 64 << 20


class Remote:
    """One machine, reached. ``make`` is as `one_run.make_run`. Use as a context manager.

    MachineGone where it is not reached any more; Q4Error where something there is not as it must be.
    """

    def __init__(self, machine: Machine, tell: Callable[[str], None]) -> None:
        self.machine = machine
        self._link = Link(machine)
        self._tell = tell
        self._models: dict[Path, str] = {}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self._agent: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._has_answered = False
        self.facts: Mapping[str, Any] = {}

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Sends the bundle where it is not there, and starts what makes runs."""
        python = shlex.quote(self.machine.python)
        if self.machine.bundle is not None:
            python = f"{shlex.quote(self._send_bundle(self.machine.bundle))}/*/python3"
        folder = shlex.quote(self.machine.folder)
        script = f"mkdir -p {folder} && exec {python} -P -m {_AGENT} {folder}"
        try:
            self._agent = subprocess.Popen(
                self._link.command(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
            )
        except OSError as error:
            raise MachineGone(f"{self._link.command('')[0]} cannot be started: {error.strerror}") from None
        threading.Thread(target=self._listen, args=(self._agent,), daemon=True).start()
        said = self._hello()
        if said.get("agent") != PROTOCOL or said.get("q4engine") != __version__:
            raise Q4Error(f"has q4engine {shown(said.get('q4engine'))}, expected {__version__} as here")
        self.facts = said["machine"] if isinstance(said.get("machine"), dict) else {}

    def send_model(self, path: Path) -> None:
        """Sends a model that is not there yet."""
        if path not in self._models:
            name = f"models/{sha256(path)[:16]}-{path.name}"
            if self._link.send(path, f"{self.machine.folder}/{name}"):
                self._tell(f"{self.machine.name}: {path.name} sent")
            self._models[path] = name

    def make(
        self, plan: Plan, combination: Combination, model: Path | None, block: int, attempt: int, _: object
    ) -> Run:
        """The run, made there."""
        if model is not None:
            self.send_model(model)
        request = {
            "plan": _data(plan, combination), "model": self._models[model] if model else "", "block": block,
            "attempt": attempt,
        }  # fmt: skip
        self._ask(request)
        answer = self._answer(plan.pace.timeout + _MORE_SECONDS)
        if "error" in answer:
            raise Q4Error(str(answer["error"]))
        try:
            run = Run(
                combination, block, str(answer["state"]), str(answer["reason"]), attempt, str(answer["started"]),
                float(answer["seconds"]), [_sample(*each) for each in answer["samples"]],
                [_sample(*each) for each in answer["components"]], self.facts, dict(answer["engine"]),
                dict(answer["conditions"]), [(int(n), float(seconds)) for n, seconds in answer["tokens"]],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, OverflowError):
            raise Q4Error(f"said {shown(answer, 200)}, expected a run") from None
        if not _can_be_kept(run):
            raise Q4Error(f"said {shown(answer, 200)}, expected a run with times and numbers that can be")
        return run

    def close(self) -> None:
        """Ends the connection, and with it what runs there."""
        if self._agent is not None:
            with contextlib.suppress(OSError):
                if self._agent.stdin:
                    self._agent.stdin.close()
            try:
                self._agent.wait(2)
            except subprocess.TimeoutExpired:
                self._agent.kill()
                self._agent.wait()
            self._agent = None
        self._log.close()

    def _send_bundle(self, bundle: Path) -> str:
        """The folder there that it was unpacked to; its name tells its content, so that it travels once."""
        known_by = sha256(bundle)[:16]
        folder = f"{self.machine.folder}/bundle-{known_by}"
        quoted = shlex.quote(folder)
        if self._link.say(f"test -e {quoted}/whole && echo there || echo absent").endswith("there"):
            return folder
        self._tell(f"{self.machine.name}: sending {bundle.name}")
        own = beside(folder)
        part, packed, inside = (shlex.quote(each) for each in (own, f"{own}.tar.gz", own.rpartition("/")[2]))
        self._link.send(bundle, f"{own}.tar.gz")
        unpacked = f"mkdir -p {part} && tar -xzf {packed} -C {part} && touch {part}/whole"
        # another sweep may have brought the same meanwhile: then this one's goes into that folder, and away
        named = f"mv {part} {quoted} && rm -rf {quoted}/{inside} && test -e {quoted}/whole"
        self._link.say(f"{unpacked} && rm {packed} && {named} || {{ rm -rf {part} {packed}; exit 1; }}", 600.0)
        return folder

    def _listen(self, agent: subprocess.Popen[bytes]) -> None:
        """In a thread of its own, so that waiting for an answer has an end. An empty line: the connection is over."""
        assert agent.stdout is not None
        with agent.stdout as lines:
            while line := lines.readline(_MOST_LINE):
                self._lines.put(line)
        self._lines.put(b"")

    def _hello(self) -> dict[str, Any]:
        """The first line that is an object: a shell's own greeting may come before."""
        while True:
            line = self._line(_START_SECONDS)
            with contextlib.suppress(ValueError, RecursionError):
                if isinstance(said := json.loads(line), dict) and "agent" in said:
                    self._has_answered = True
                    return said

    def _ask(self, request: Mapping[str, Any]) -> None:
        assert self._agent is not None and self._agent.stdin is not None
        try:
            self._agent.stdin.write(json.dumps(request).encode() + b"\n")
            self._agent.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _answer(self, seconds: float) -> dict[str, Any]:
        line = self._line(seconds)
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            raise MachineGone(f"said {shown(line[:200])}, expected a run") from None
        return answer if isinstance(answer, dict) else {}

    def _line(self, seconds: float) -> bytes:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise MachineGone(f"did not answer within {seconds:.0f} s") from None
        if not line:
            raise self._gone()
        return line

    def _gone(self) -> MachineGone:
        assert self._agent is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._agent.wait(5)
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace").strip().splitlines()
        what = "went away" if self._has_answered else "does not answer"
        return MachineGone(what + (f": {shown(said[-1], 200)}" if said else ""))


def _sample(phase: str, tokens: int, seconds: float, name: str = "") -> Sample:
    return Sample(str(phase), int(tokens), float(seconds), str(name))


def _can_be_kept(run: Run) -> bool:
    """Whether the file of results holds the values of another machine and is read again."""
    kept = [*run.samples, *run.components]
    counts = [*(each.tokens for each in kept), *(n for n, _ in run.tokens)]
    times = [run.seconds, *(each.seconds for each in kept), *(seconds for _, seconds in run.tokens)]
    numbers = len({n for n, _ in run.tokens}), len({(each.phase, each.name) for each in run.components})
    return (
        run.state in STATES
        and all(0 <= count <= sweep_file.MOST_COUNTED for count in counts)
        and all(0 <= seconds <= sweep_file.MOST_SECONDS for seconds in times)
        and all(each.seconds >= sweep_file.LEAST_SECONDS for each in run.samples)
        and numbers == (len(run.tokens), len(run.components))
    )


def _data(plan: Plan, combination: Combination) -> dict[str, Any]:
    """A plan of this one run alone, as a file would have it."""
    values = {name: value for name, value in combination.as_dict().items() if value is not None}
    kept = {
        key: plan.data[key]
        for key in ("engines", "samples", "warm_up", "timeout", "components", "tokens")
        if key in plan.data
    }
    return {**kept, "axes": {**values, "machine": HERE}, "repetitions": 1}
