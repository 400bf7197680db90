"""A command that counts tests, and what came of it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from host import REPO

_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed)")


@dataclass
class Result:
    """What one command reported."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        verdict = "FAILED" if self.failed else "ok"
        return f"{verdict:7}{self.name}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Check:
    """A command; `counts` says that the last line it prints counts tests, as pytest's and q4_kernel_test's do."""

    name: str
    command: Sequence[str | Path]
    counts: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = REPO  # where it runs

    def run(self, show: bool = True) -> Result:
        """Runs it and prints its output: while it runs, or (not `show`) all at once at the end."""
        lines = [f"\n==== {self.name}"]
        if show:
            print(lines[0], flush=True)
        # With it, output that is lost or late in a buffer would go unnoticed here and not on other machines.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = subprocess.Popen(
            [os.fspath(word) for word in self.command],
            cwd=self.folder,
            env={**inherited, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if show:
                print(lines[-1], flush=True)
        status = process.wait()
        if not show:
            print("\n".join(lines), flush=True)
        return self.judge(status, lines)

    def judge(self, status: int, lines: Sequence[str]) -> Result:
        result = Result(self.name)
        if self.counts:
            last = next((line for line in reversed(lines) if _COUNT.search(line)), "")
            for number, word in _COUNT.findall(last):
                if word == "passed":
                    result.passed += int(number)
                elif word in ("failed", "error"):
                    result.failed += int(number)
                else:
                    result.skipped += int(number)
            if status == 0 and result.passed == 0:
                print(f"{self.name}: no test ran", flush=True)
                result.failed = 1
        if status != 0 and result.failed == 0:
            print(f"{self.name}: exit code {status}", flush=True)
            result.failed = 1
        return result


def summary(results: Iterable[Result]) -> str:
    """The closing line: the tests of all checks."""
    results = list(results)
    return f"{sum(result.passed for result in results)} passed, {sum(result.failed for result in results)} failed"
