"""Synthetic fleets: captures of many devices with known answers. Nothing here was measured.

All devices are of one kind and do the same work; each is a little faster or slower than the others for good, and so is
each capture. One device may have a slow clock, one commit may need more cycles, some files may be no captures.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import synthetic_captures as captures
from synthetic_captures import decode, prefill
from synthetic_cases import GHZ, N2, PEAK, counts

from analysis.fleet.rows import COLUMNS, NUMBER, TEXT, WHOLE

START = datetime(2026, 3, 1, tzinfo=UTC)
BROKEN = (
    ("empty.csv", b""),
    ("cut.csv", b"# q4engine capture\n# format_version: 1\n"),
    ("noise.csv", b"\x00\x01\x02 no capture\n"),
    ("table.csv", b"a,b\n1,2\n"),
)
"""Files that are no captures."""


@dataclass(frozen=True)
class Plan:
    """devices and captures: how many.  calls: tokens generated in each, which its size goes with.

    slow: the number of a device whose clock is `clock` times that of the others, None for none.
    regression: the number of a commit from which on a token takes 1 / `faster` times the cycles.
    apart, noise: how far devices and captures lie apart (a standard deviation, of the logarithm of the speed).
    """

    devices: int = 20
    captures: int = 200
    calls: int = 12
    commits: int = 4
    days: float = 90.0
    slow: int | None = 7
    clock: float = 0.8
    regression: int | None = 3
    faster: float = 0.92
    apart: float = 0.01
    noise: float = 0.01
    seed: int = 1

    def each(self) -> list[tuple[int, int, datetime, float, float]]:
        """(device, commit, start, times as fast, clock) of each capture."""
        generator = np.random.default_rng(self.seed)
        own = np.exp(self.apart * generator.normal(size=self.devices))
        noise = np.exp(self.noise * generator.normal(size=self.captures))
        found = []
        for number in range(self.captures):
            device, place = number % self.devices, number / self.captures
            commit = min(self.commits - 1, int(place * self.commits))
            speed = own[device] * noise[number]
            clock = self.clock if device == self.slow else 1.0
            is_late = self.regression is not None and commit >= self.regression
            speed *= self.faster if is_late else 1.0
            found.append((device, commit, START + timedelta(days=self.days * place), float(speed), clock))
        return found


def name(device: int) -> str:
    return f"synthetic-{device:03}"


def commit_name(commit: int) -> str:
    return f"{0xC0FFEE0 + commit:012x}"


def write(folder: Path, plan: Plan, first: int = 0, last: int | None = None) -> list[Path]:
    """Captures `first` to `last` of the plan, in a folder for each device."""
    paths = []
    for number, each in list(enumerate(plan.each()))[first:last]:
        device, commit, start, speed, clock = each
        path = folder / name(device) / f"synthetic-{number:06}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(_write_one(path, plan, commit, start, speed, clock))
    return paths


def _write_one(path: Path, plan: Plan, commit: int, start: datetime, speed: float, clock: float) -> Path:
    """Cycles are as many as the speed takes, time is what they take at the clock."""
    prompt, token = 0.9 / speed, 0.02 / speed
    of_prompt = counts(prompt, be=0.2, m=0.1, fe=0.03, ipc=2.0 * speed, mix=0.7, l2=1.0)
    of_token = counts(token, be=0.6, m=0.5, fe=0.02, ipc=0.8 * speed, mix=0.5, l2=40)
    calls = [
        *prefill(512, prompt / clock, of_prompt, batches=2),
        *decode(plan.calls, token / clock, of_token),
    ]
    header = {
        "midr": N2,
        "cpu": "synthetic",
        "model": "synthetic Q4_0",
        "n_threads": 4,
        "commit": commit_name(commit),
        "read_peak_gbps": PEAK,
        "bytes_per_token": 600e6,
        "started": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    hertz = GHZ * 1e9 * clock
    calls = [replace(call, frequency=hertz) for call in calls]
    return captures.write_capture(path, calls, header)


def write_broken(folder: Path) -> list[Path]:
    """Files that are no captures, in a folder of their own."""
    (folder / "broken").mkdir(parents=True, exist_ok=True)
    for file, content in BROKEN:
        (folder / "broken" / file).write_bytes(content)
    return [folder / "broken" / file for file, _ in BROKEN]


def rows(plan: Plan, phase: str = "decode") -> pd.DataFrame:
    """What summarising the plan's captures would give, without the files, for rules over many fleets."""
    each = plan.each()
    clock = np.array([clock for *_, clock in each])
    speed = np.array([speed for *_, speed, _ in each])
    n = len(each)
    empty = {TEXT: "", NUMBER: np.nan, WHOLE: 0}
    frame = pd.DataFrame({column: [empty.get(kind, False)] * n for column, kind in COLUMNS.items()})
    frame["started"] = pd.to_datetime([start for _, _, start, _, _ in each], utc=True)
    frame["device"] = [name(device) for device, *_ in each]
    frame["commit"] = [commit_name(commit) for _, commit, *_ in each]
    frame["path"] = [f"synthetic-{number:06}" for number in range(n)]
    frame["state"], frame["machine"], frame["phase"], frame["threads"] = "judged", "synthetic", phase, 4.0
    frame["batch"], frame["depth"] = 1.0, 512.0
    frame["tokens_per_s"], frame["frequency_hz"] = 50 * speed * clock, GHZ * 1e9 * clock
    frame["ipc"], frame["be"] = 0.8 * speed, 0.6
    return frame


if __name__ == "__main__":  # DEVICES CAPTURES CALLS FOLDER [FIRST LAST]
    devices, number, calls, target, *between = sys.argv[1:]
    write(Path(target), Plan(int(devices), int(number), int(calls)), *map(int, between))
