"""``python -m fuzz --guided``: cases chosen by Atheris, which keeps those that run new lines of Python.

What libFuzzer makes of the bytes of a case are its random numbers, so the targets are those of every run. Atheris
(``pip install atheris``: CPython on x86-64; there are no wheels for Arm) is needed by nothing else here. What was found
interesting stays in build/fuzz/guided/TARGET and is begun with the next time; a case that fails lies beside it, and

    python -m fuzz.guided TARGET FILE

repeats it. Options of libFuzzer go there too. Such cases have no seeds, and are not counted with the others.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType

OURS = ("q4engine.", "analysis.")
FOLDER = Path(__file__).resolve().parents[2] / "build" / "fuzz" / "guided"
LIMITS = ("-timeout=10", "-rss_limit_mb=1500", "-max_len=4096", "-len_control=0")
_ABSENT = "error: Atheris is not installed: pip install atheris (CPython on x86-64)"


class Drawn(random.Random):
    """Random numbers out of bytes, and zeros behind their end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def getrandbits(self, k: int) -> int:
        length = -(-k // 8)
        taken = self._data[self._at : self._at + length]
        self._at += length
        return int.from_bytes(taken.ljust(length, b"\0"), "little") >> (8 * length - k)

    def random(self) -> float:
        return self.getrandbits(53) / (1 << 53)


def run(names: Sequence[str], minutes: float) -> int:
    """Each target in a process of its own, which libFuzzer ends; 1 where one of them failed."""
    if importlib.util.find_spec("atheris") is None:
        print(_ABSENT, file=sys.stderr)
        return 1
    seconds = max(1, round(minutes * 60 / len(names)))
    command = [sys.executable, "-m", "fuzz.guided"]
    return max(
        min(1, abs(subprocess.run([*command, name, f"-max_total_time={seconds}", str(corpus(name))]).returncode))
        for name in names
    )


def corpus(name: str) -> Path:
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> int:
    name, *options = sys.argv[1:] or [""]
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print(_ABSENT, file=sys.stderr)
        return 1
    from fuzz.targets import TARGETS

    target = TARGETS[name]()
    # Not as they are imported: the loader of an editable installation is none that Atheris knows.
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and (each.__module__ or "").startswith(OURS):
            atheris.instrument_func(each)

    def case(data: bytes) -> None:
        with contextlib.suppress(*target.refused):
            target.case(Drawn(data))

    atheris.Setup([name, *LIMITS, f"-artifact_prefix={FOLDER}/{name}-", *options], case)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
