"""Laws of speed-up, fitted by least squares: Amdahl's, and Gunther's universal law, each with how far it is off.

Amdahl (1967): S(n) = n / (1 + serial (n - 1)). Gunther (1993): S(n) = n / (1 + serial (n - 1) + crosstalk n (n - 1)).
Both are lines in n / S(n) - 1, so that NumPy's least squares will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

HOLDS = 0.05
"""A law holds where no speed-up is further from it than this share."""
_LAWS = (("Amdahl", 1), ("Gunther (USL)", 2))


@dataclass(frozen=True)
class Law:
    """``serial``: share of the work that does not divide. ``crosstalk``: that grows with every pair of threads.

    ``residual``: of the speed-up that is furthest off, as a share of the law's.
    """

    name: str
    serial: float
    crosstalk: float
    residual: float

    @property
    def holds(self) -> bool:
        return self.residual <= HOLDS

    @property
    def most(self) -> float:
        """What it promises of any number of threads; infinite without a limit."""
        if self.crosstalk > 0:
            best = max(1.0, float(np.sqrt(max(0.0, 1 - self.serial) / self.crosstalk)))
            return self.at(best)
        return 1 / self.serial if self.serial > 0 else float("inf")

    def at(self, threads: float) -> float:
        """The speed-up with so many threads."""
        return threads / (1 + self.serial * (threads - 1) + self.crosstalk * threads * (threads - 1))


def laws(gains: Mapping[int, float]) -> list[Law]:
    """Of speed-ups over one thread, by the number of threads. One law for three numbers, both for four.

    Fewer say nothing: a law always goes through as many points as it has numbers.
    """
    counts = sorted(gains)
    found = []
    for name, n_numbers in _LAWS:
        if counts[:1] == [1] and len(counts) >= n_numbers + 2 and all(gains[count] > 0 for count in counts):
            found.append(_fitted(name, n_numbers, np.array(counts, float), np.array([gains[n] for n in counts])))
    return found


def _fitted(name: str, n_numbers: int, threads: np.ndarray, gains: np.ndarray) -> Law:
    """No number is below 0: one that would be is left out, and the other fitted alone."""
    columns = [threads - 1, threads * (threads - 1)][:n_numbers]
    wanted = threads / gains - 1
    numbers = [0.0] * n_numbers
    kept = list(range(n_numbers))
    while kept:
        found = np.linalg.lstsq(np.stack([columns[at] for at in kept], axis=1), wanted, rcond=None)[0]
        if (found >= 0).all():
            for at, value in zip(kept, found.tolist(), strict=True):
                numbers[at] = float(value)
            break
        kept.pop(int(np.argmin(found)))
    law = Law(name, numbers[0], numbers[1] if n_numbers > 1 else 0.0, 0.0)
    off = float(np.abs(gains / np.array([law.at(n) for n in threads.tolist()]) - 1).max())
    return Law(name, law.serial, law.crosstalk, off)
