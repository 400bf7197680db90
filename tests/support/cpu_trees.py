"""Trees as sysfs has them of CPUs of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NO_GROUPS = Path("/nonexistent")


def machine(
    folder: Path,
    capacities: Sequence[int] = (),
    frequencies: Sequence[int] = (),
    siblings: Sequence[str] = (),
) -> Path:
    for name, values in (
        ("cpu_capacity", capacities),
        ("cpufreq/cpuinfo_max_freq", frequencies),
        ("topology/thread_siblings_list", siblings),
    ):
        for cpu, value in enumerate(values):
            file = folder / f"cpu{cpu}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{value}\n")
    return folder
