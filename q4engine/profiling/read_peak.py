"""How fast the machine reads at best: the packed weights, on the engine's own threads, outside of any call."""

from __future__ import annotations

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
