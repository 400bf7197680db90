"""Builds the plugin, says how qemu is to load it, and reads what it leaves."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from host import BUILD, ToolError, find_program, run

FOLDER = Path(__file__).resolve().parent
CALL, THREAD = 0, 1
"""Kinds of marks: either end of a call of the executor, and the boundaries of one thread within it."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
_SHAPE = re.compile(r"(\d+)([KM]?)/(\d+)", re.IGNORECASE)


def parse_cache(text: str) -> tuple[int, int]:
    """Bytes and ways of ``64K/4`` or ``2M/16``; (0, 0) for ``none``. ValueError otherwise."""
    if text.lower() == "none":
        return 0, 0
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"cache '{text}': expected SIZE/WAYS such as 64K/4, or none")
    return int(match[1]) * _UNITS[match[2].upper()], int(match[3])


@dataclass(frozen=True)
class Caches:
    """The simulated caches, as bytes and ways, and their line in bytes. L1 and L2 are a thread's own, the L3 shared.

    Every level takes in what it is asked for, reads and writes alike, and drops the line used longest ago.
    """

    l1: tuple[int, int] = (64 << 10, 4)
    l2: tuple[int, int] = (1 << 20, 8)
    l3: tuple[int, int] = (4 << 20, 16)
    line: int = 64

    def levels(self) -> list[tuple[int, int]]:
        return [level for level in (self.l1, self.l2, self.l3) if level[0]]

    def __str__(self) -> str:
        sizes = [f"L{i} {size >> 10} KiB {ways} ways" for i, (size, ways) in enumerate(self.levels(), 1)]
        return f"{', '.join(sizes)}, lines of {self.line} bytes"


@dataclass(frozen=True)
class Mark:
    """One line of the plugin's file: what the thread that made the mark has counted since the program started."""

    kind: int
    thread: int
    stamp: int
    counts: Mapping[str, int]


def build() -> Path:
    """The plugin for this machine's qemu, built where one of its sources is newer."""
    sources = sorted(FOLDER.glob("*.c"))
    plugin = BUILD / "emulate" / "libemulate.so"
    newest = max(path.stat().st_mtime for path in (*sources, *FOLDER.glob("*.h")))
    if not plugin.exists() or plugin.stat().st_mtime < newest:
        compiler = find_program("cc", "gcc", "clang")
        if compiler is None:
            raise ToolError("no C compiler for the qemu plugin; Debian's package is gcc")
        plugin.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden"]
        run([compiler, *flags, *sources, "-o", plugin])
    return plugin


def option(plugin: Path, out: Path, caches: Caches) -> str:
    """The value of qemu's ``-plugin`` or of its environment variable QEMU_PLUGIN."""
    if "," in f"{plugin}{out}":
        raise ToolError(f"{out}: qemu takes no comma in the names of its files")
    shapes = (f"l{i}={size}/{ways}" for i, (size, ways) in enumerate((caches.l1, caches.l2, caches.l3), 1))
    return f"{plugin},out={out},{','.join(shapes)},line={caches.line}"


def problem(qemu: str, caches: Caches) -> str | None:
    """Why the plugin refuses caches of these shapes, in its own words; None where it takes them."""
    prefix = "emulate plugin: "
    # It is loaded before the program, which is none here.
    command = [qemu, "-plugin", option(build(), BUILD / "emulate" / "unused", caches), "/"]
    said = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
    return next((line.removeprefix(prefix) for line in said if line.startswith(prefix)), None)


def read_marks(path: Path) -> list[Mark]:
    """What the plugin left, in the order of time. ToolError where there is nothing or a line was cut off."""
    lines = path.read_text().splitlines() if path.exists() else []
    if len(lines) < 2:
        raise ToolError("the emulated program made no marks: nothing was counted")
    names = lines[0].split()[3:]
    marks = []
    for number, line in enumerate(lines[1:], 2):
        fields = [int(field) for field in line.split()]
        if len(fields) != 3 + len(names):
            raise ToolError(f"{path}, line {number}: {len(fields)} numbers, expected {3 + len(names)}")
        kind, thread, stamp, *counts = fields
        marks.append(Mark(kind, thread, stamp, dict(zip(names, counts, strict=True))))
    return marks
