"""A sweep over most axes at once, killed at random moments, on a full disk and without one of its models.

    python tests/bench/sweep_killed.py FOLDER [--kills 20] [--longest 8]

The plan has 2 synthetic models × 2 types × threads 1, 2 × 6 prompt lengths × 2 engines × 2 builds: 192 runs of some
tokens. It is killed by SIGKILL up to --longest seconds after each of its starts, then left to its end. Fewer lengths
follow with a model that is taken away on the way and (as root) on a file system of its own that fills up. A line says
of each what holds; exit code 1 where something does not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny  # noqa: E402

from q4engine.sweep.plan_file import read_plan  # noqa: E402
from q4engine.sweep.results import Run, read_results  # noqa: E402
from q4engine.sweep.sweeping import planned  # noqa: E402

PLAN = """
repetitions = 1
samples = 1
[axes]
model = ["one.gguf", "two.gguf"]
type = ["q4_0", "q8_0"]
threads = [1, 2]
prompt = {prompts}
generate = 1
engine = ["native", "numpy"]
build = ["this", "other"]
[builds.other]
python = "{python}"
"""
SMALL = 1 << 20
"""Bytes of the file system that fills up: for the quantised models and all results."""


def write_plan(folder: Path, prompts: list[int]) -> Path:
    folder.mkdir()
    write_tiny(folder / "one.gguf", TINY_LLAMA)
    write_tiny(folder / "two.gguf", TINY_QWEN2)
    path = folder / "plan.toml"
    path.write_text(PLAN.format(prompts=prompts, python=sys.executable))
    return path


def command(plan: Path, results: Path) -> list[str]:
    return [sys.executable, "-m", "q4engine", "sweep", str(plan), "-o", str(results)]


def sweep(plan: Path, results: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(plan, results), capture_output=True, text=True)


def say(what: str, holds: bool) -> bool:
    print(f"{'holds' if holds else 'DOES NOT HOLD'}: {what}", flush=True)
    return holds


def in_order(plan: Path, runs: list[Run]) -> bool:
    """Whether these are the plan's first runs, each once."""
    return [(run.block, run.combination) for run in runs] == list(planned(read_plan(plan)))[: len(runs)]


def whole(plan: Path, results: Path) -> bool:
    """Whether every run of the plan is there once, in any order, with a result."""
    runs = read_results(results)
    wanted = set(planned(read_plan(plan)))
    keys = [(run.block, run.combination) for run in runs]
    return len(keys) == len(wanted) and set(keys) == wanted and {run.state for run in runs} <= {"done", "noisy"}


def wait_for_runs(started: subprocess.Popen[bytes], results: Path, count: int) -> None:
    """Until so many are there, or the sweep has ended."""
    while started.poll() is None:
        if results.exists() and results.stat().st_size and len(read_results(results)) >= count:
            return
        time.sleep(0.1)


def fill(path: Path) -> None:
    """Takes all room that the file system has."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def killed(folder: Path, kills: int, longest: float) -> bool:
    plan, results, chance = write_plan(folder, [1, 2, 3, 4, 6, 8]), folder / "plan.sqlite", random.Random(11)
    n = len(read_plan(plan).combinations)
    orders, counts = [], []
    start = time.monotonic()
    for _ in range(kills):
        with (folder / "log").open("ab") as log:
            started = subprocess.Popen(command(plan, results), stderr=log)
            time.sleep(chance.uniform(0.2, longest))
            started.send_signal(signal.SIGKILL)
            started.wait()
        runs = read_results(results) if results.exists() and results.stat().st_size else []
        orders.append(in_order(plan, runs))
        counts.append(len(runs))
    print(f"runs that were there after each kill: {', '.join(map(str, counts))}")
    done = sweep(plan, results)
    runs = read_results(results)
    print(f"{len(runs)} runs of {n} after {time.monotonic() - start:.0f} s")
    first = say(f"killed {kills} times, what was made stood in the plan's order each time", all(orders))
    return first & say(
        f"left to its end, all {n} runs are there once in the plan's order",
        done.returncode == 0 and in_order(plan, runs) and whole(plan, results),
    )


def without_a_model(folder: Path) -> bool:
    plan, results = write_plan(folder, [1, 2, 3]), folder / "plan.sqlite"
    model, kept = folder / "two.gguf", folder / "kept"
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(command(plan, results), stderr=log)
        wait_for_runs(started, results, 1)
        model.rename(kept)
        code = started.wait()
    said = [line for line in (folder / "log").read_text().splitlines() if line.startswith("error: ")]
    before = read_results(results)
    first = say(
        f"a model that is taken away is one line ({said[0] if said else 'none'}), the other's runs are all there",
        len(said) == 1 and code == 1 and sum("one.gguf" in run.combination.text("model") for run in before) == 48,
    )
    kept.rename(model)
    done = sweep(plan, results)
    after = read_results(results)
    return first & say(
        "where it is there again the same command makes what is missing, and nothing twice",
        done.returncode == 0 and after[: len(before)] == before and whole(plan, results),
    )


def on_a_full_disk(folder: Path) -> bool:
    if os.geteuid() != 0:
        print("not tried: a file system that fills up (root)")
        return True
    plan, disk = write_plan(folder, [1]), folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", disk], check=True)
    try:
        results = disk / "plan.sqlite"
        with (folder / "log").open("w") as log:
            started = subprocess.Popen(command(plan, results), stderr=log)
            wait_for_runs(started, results, 3)
            fill(disk / "filler")
            code = started.wait()
        before = read_results(results)
        said = [line for line in (folder / "log").read_text().splitlines() if line.startswith("error: ")]
        first = say(
            f"a full disk is one line ({said[-1] if said else 'none'}), the {len(before)} runs until then are kept",
            code == 1 and len(said) == 1 and 3 <= len(before) < 32 and in_order(plan, before),
        )
        (disk / "filler").unlink()
        done = sweep(plan, results)
        after = read_results(results)
        return first & say(
            "with room again the same command makes the rest",
            done.returncode == 0 and after[: len(before)] == before and whole(plan, results),
        )
    finally:
        subprocess.run(["umount", disk], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds from a start to its kill, at most")
    args = parser.parse_args()
    args.folder.mkdir(parents=True)
    folder = args.folder.resolve()
    held = killed(folder / "killed", args.kills, args.longest)
    held &= without_a_model(folder / "model")
    held &= on_a_full_disk(folder / "full")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
