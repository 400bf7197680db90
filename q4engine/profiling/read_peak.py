"""How fast the machine reads at best, outside of any call: the packed weights on the engine's own threads, or memory
as large as what another engine reads."""

from __future__ import annotations

import os

from q4engine.engine import Engine

SECONDS = 0.5
"""What measuring may take."""
_FIRST_BYTES = 64 << 20
_LOOKS = 5


def read_peak_gbps(engine: Engine) -> float | None:
    """10⁹ bytes a second, the fastest of a few reads; None without packed weights, or where it would take too long."""
    if engine.native is None:
        return None
    from q4engine import _native

    # wakes threads and clock, and tells how much of the weights can be read in the time
    n_bytes, seconds = _native.probe_read(engine.native, _FIRST_BYTES)
    if not n_bytes or not 0 < seconds <= SECONDS / 4:
        return None
    share = SECONDS / (2 * _LOOKS)
    most = max(n_bytes, int(n_bytes / seconds * share))
    spent, best = seconds, 0.0
    for _ in range(_LOOKS):
        n_bytes, seconds = _native.probe_read(engine.native, most)
        spent += seconds
        best = max(best, n_bytes / seconds)
        if spent + seconds > SECONDS:
            break
    return best / 1e9


_LEAST_MEMORY, _MOST_MEMORY = 32 << 20, 512 << 20
_MEMORY_LOOKS = 4


def memory_peak_gbps(n_bytes: int, n_threads: int) -> float | None:
    """10⁹ bytes a second of memory as large as this (32 to 512 MB, a quarter of what is free at most), which the caches
    hold as little or as much of as of a model of that size. None where the machine has no room or no such threads."""
    from q4engine import _native

    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    n_bytes = min(max(n_bytes, _LEAST_MEMORY), _MOST_MEMORY, free // 4)
    try:
        return _native.probe_memory(n_bytes, n_threads, _MEMORY_LOOKS) / 1e9
    except (MemoryError, ValueError):
        return None
