"""Threads and CPUs that ``q4engine tune`` found best, kept per machine and model in the user's cache."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import outputs
from q4engine import machine
from q4engine.cpus import MAX_CPU, MAX_THREADS, SYSFS_CPU, cpu_quota
from q4engine.errors import Q4Error
from q4engine.home import expanded

_KIND = "q4engine tuned"
_VERSION = 1
_LONGEST = 1 << 16
_HEAD, _PIECE = 1 << 16, 1 << 12


@dataclass(frozen=True)
class Choice:
    """``threads`` for generation, ``threads_batch`` for prompts; ``cpus`` to pin them to, in this order, or None."""

    threads: int
    threads_batch: int
    cpus: tuple[int, ...] | None = None

    @property
    def flags(self) -> str:
        """As they are typed: ``-t 2 -tb 4 -C 4,5,6,7``."""
        pinned = "" if self.cpus is None else f" -C {','.join(map(str, self.cpus))}"
        return f"-t {self.threads} -tb {self.threads_batch}{pinned}"


def keep(model: Path, tuned: Choice, found: object = None) -> Path:
    """Writes them down for this machine and model; where. ``found``: what they were chosen by, for people.

    Q4Error where that fails; what was kept before stays then.
    """
    path = place_of(model)
    data = {
        "kind": _KIND, "version": _VERSION, "threads": tuned.threads, "threads_batch": tuned.threads_batch,
        "cpus": tuned.cpus, "model": model.name, "machine": machine_facts(), "found": found,
    }  # fmt: skip
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        outputs.write(path, json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise Q4Error(f"{path}: cannot be written: {error.strerror}") from None
    return path


def find(model: Path) -> Choice | None:
    """What was kept for this machine and model; None where nothing was. Q4Error where it is damaged."""
    try:
        path = place_of(model)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            text = file.read(_LONGEST)
    except (OSError, Q4Error):  # no home, no such file, or a model that cannot be read, which loading says better
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("kind") != _KIND or data.get("version") != _VERSION:
        raise Q4Error(f"{path}: no flags that q4engine tune has kept")
    threads, batch, cpus = (data.get(name) for name in ("threads", "threads_batch", "cpus"))
    if not (_counts(threads, batch) and (cpus is None or _are_cpus(cpus))):
        raise Q4Error(f"{path}: threads or CPUs that are none")
    return Choice(threads, batch, None if cpus is None else tuple(cpus))  # type: ignore[arg-type]


def _counts(*values: object) -> bool:
    return all(type(value) is int and 1 <= value <= MAX_THREADS for value in values)


def _are_cpus(values: object) -> bool:
    usable = os.sched_getaffinity(0)
    return (
        isinstance(values, list)
        and 0 < len(values) == len(set(map(repr, values)))
        and all(type(value) is int and 0 <= value <= MAX_CPU and value in usable for value in values)
    )


def place_of(model: Path) -> Path:
    """The file for this machine and model. OSError where the model cannot be read, Q4Error where there is no home."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if Path(cache).is_absolute() else expanded("~/.cache")  # as the XDG specification says
    here = hashlib.sha256(json.dumps(machine_facts(), sort_keys=True).encode()).hexdigest()[:16]
    return base / "q4engine" / "tuned" / f"{here}-{_digest(model)[:32]}.json"


def machine_facts(cpus: Path = SYSFS_CPU) -> dict[str, object]:
    """What the best flags depend on besides the model: cores, those that may be used, their time, kernels."""
    usable = sorted(os.sched_getaffinity(0))
    speeds = [machine.read_text(cpus / f"cpu{cpu}" / "cpu_capacity") for cpu in usable]
    return {
        "cpu": machine.cpu_name(),
        "usable": usable,
        "capacities": speeds if any(speeds) else None,
        "quota": cpu_quota(),
        "features": os.environ.get("Q4_CPU_FEATURES"),
    }


def _digest(model: Path) -> str:
    """Of a file's size, beginning, middle and end: wherever it lies, without reading it whole."""
    digest = hashlib.sha256()
    if not model.is_file():  # opening a pipe would wait for its writer
        raise OSError(errno.EINVAL, "no regular file")
    with model.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(f"{size}\n".encode())
        for start, length in _pieces(size):
            file.seek(start)
            digest.update(file.read(length))
    return digest.hexdigest()


def _pieces(size: int) -> Sequence[tuple[int, int]]:
    return (0, _HEAD), (size // 2, _PIECE), (max(0, size - _PIECE), _PIECE)
