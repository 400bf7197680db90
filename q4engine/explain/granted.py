"""What the system grants a program: huge pages for its weights, and the clocks of its CPUs."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from q4engine.machine import huge_pages, read_text

SMAPS = Path("/proc/self/smaps")
_KB = re.compile(r"^(AnonHugePages|FilePmdMapped): +([0-9]{1,15}) kB$", re.MULTILINE)
_OWN_CHOICE = ("intel_pstate", "amd-pstate", "amd-pstate-epp")
"""Drivers whose CPUs choose their clock themselves, whatever the governor is called."""


@dataclass(frozen=True)
class Pages:
    """setting: always, madvise or never, None where the kernel has no huge pages. weights: bytes that a token reads.
    huge: bytes of this process that are in huge pages, None where that is not told."""

    setting: str | None
    weights: int
    huge: int | None

    @property
    def small(self) -> float:
        """Share of the weights that is in small pages, 0..1."""
        return 1.0 if not self.huge else max(0.0, 1.0 - self.huge / max(1, self.weights))


def read_pages(weights: int, smaps: Path = SMAPS, setting: Path | None = None) -> Pages:
    """As it is now. smaps: of the process, proc(5)."""
    text = read_text(smaps)
    huge = None if text is None else 1024 * sum(int(number) for _, number in _KB.findall(text))
    return Pages(huge_pages() if setting is None else huge_pages(setting), weights, huge)


@dataclass(frozen=True)
class Clock:
    """Of a CPU, frequencies in kHz, None where not told. highest: that the hardware has. lowest, allowed: bounds that
    somebody, or the kernel's cooling, has set."""

    governor: str | None = None
    driver: str | None = None
    highest: int | None = None
    lowest: int | None = None
    allowed: int | None = None

    @property
    def chooses(self) -> bool:
        """Whether the CPU itself does."""
        return self.driver in _OWN_CHOICE


def read_clocks(available: Collection[int], cpus: Path) -> dict[int, Clock]:
    """Of those CPUs that tell. cpus: sysfs of the CPUs (cpufreq.rst)."""
    found = {}
    for cpu in available:
        folder = cpus / f"cpu{cpu}" / "cpufreq"
        if folder.is_dir():
            found[cpu] = Clock(
                governor=read_text(folder / "scaling_governor") or None,
                driver=read_text(folder / "scaling_driver") or None,
                highest=_khz(folder / "cpuinfo_max_freq"),
                lowest=_khz(folder / "scaling_min_freq"),
                allowed=_khz(folder / "scaling_max_freq"),
            )
    return found


def _khz(file: Path) -> int | None:
    text = read_text(file) or ""
    return int(text) if re.fullmatch("[1-9][0-9]{0,11}", text) else None
