"""How the threads of a phase waited: at barriers, before the first operation, after the last, or without a CPU.

From times alone: the rows of operations in our own captures, else the CPU time that any tool tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from analysis.calls import Calls
from analysis.phase import OK, Count, Phase, Step

# A thread is behind the others where it waits less than this share of what they wait,
_BEHIND = 0.25
# and they wait at least this share of the time.
_WORTH_NAMING = 0.05


@dataclass(frozen=True)
class Taken:
    """Shares, 0..1, NaN where not known. stolen: of the time in which the CPUs had work, what the hypervisor took.

    delayed: of the threads' time, what they were ready without a CPU.  of_phase: in phases of this label, not in the
    whole run.
    """

    stolen: float = math.nan
    delayed: float = math.nan
    of_phase: bool = False

    @property
    def most(self) -> float:
        return max((share for share in (self.stolen, self.delayed) if math.isfinite(share)), default=math.nan)


@dataclass(frozen=True)
class Waits:
    """Shares are of the threads' time, 0..1. by_kind: `barrier`, `begin`, `end`; {} without rows of operations.

    off_cpu: at least this share without a CPU, NaN where not known.  switches: context switches a call, NaN likewise.
    taken: what others had of the CPUs.
    behind: the thread for which the others wait, None where there is none.  n_threads: 0 where not known.
    """

    by_kind: Mapping[str, float]
    off_cpu: float = math.nan
    switches: float = math.nan
    behind: int | None = None
    n_threads: int = 0
    taken: Taken = Taken()

    @property
    def in_calls(self) -> float:
        """Waiting that the rows of operations show, NaN without such rows."""
        return sum(self.by_kind.values()) if self.by_kind else math.nan


def of_phase(
    phase: Phase, steps: Sequence[Step], calls: Calls | None, n_threads: int = 0, taken: Taken = Taken()
) -> Waits | None:
    """The waiting in these steps of the phase, None where nothing tells. n_threads: 0 where not known."""
    numbers = [step.call for step in steps if step.call is not None]
    seconds = sum(step.duration_s for step in steps) if steps else phase.duration_s
    if not seconds > 0:
        return None
    threads = n_threads or (calls.n_threads if calls is not None else 0)
    off_cpu = _off_cpu(phase.counts, phase.duration_s, threads)
    if calls is None or not numbers:
        known = math.isfinite(off_cpu) or math.isfinite(taken.most)
        return Waits({}, off_cpu, n_threads=threads, taken=taken) if known else None
    by_kind = {kind: total / seconds for kind, total in calls.waiting(numbers).items()}
    switches = calls.switches(numbers)
    if not by_kind and not math.isfinite(off_cpu) and not math.isfinite(taken.most):
        return None
    return Waits(by_kind, off_cpu, switches, _behind(calls.barrier_by_thread(numbers), seconds), threads, taken)


def threads_of(header: Mapping[str, object], steps: Sequence[Step]) -> int:
    """How many threads walked most of these steps' time by a capture's header, 0 where it does not tell.

    Calls of `batch_tokens` tokens and more may have a number of their own, `n_threads_batch`.
    """
    few, many, border = (header.get(key) for key in ("n_threads", "n_threads_batch", "batch_tokens"))
    threads = int(few) if isinstance(few, float) and few >= 1 else 0
    if threads and isinstance(many, float) and many >= 1 and isinstance(border, float):
        batched = sum(step.duration_s for step in steps if step.n_eval is not None and step.n_eval >= border)
        return int(many) if batched > 0.5 * sum(step.duration_s for step in steps) else threads
    return threads


_LONGEST_MSEC = 1e8
"""A clock without a unit that shows more is in nanoseconds: a day of CPU time is more than any capture has."""


def cpu_seconds(counts: Mapping[str, Count], clock: str = "task-clock") -> float:
    """CPU time of all threads, NaN where not counted. Our captures have nanoseconds, other tools milliseconds too."""
    count = counts.get(clock)
    if count is None or count.status != OK:
        return math.nan
    if count.unit:
        return count.value * {"ns": 1e-9, "sec": 1.0}.get(count.unit, 1e-3)
    return count.value * (1e-9 if count.group is not None or count.value > _LONGEST_MSEC else 1e-3)


def _off_cpu(counts: Mapping[str, Count], duration_s: float, n_threads: int) -> float:
    """Where the threads are not known only a whole machine's idleness shows: less than one CPU in use."""
    used = cpu_seconds(counts) / duration_s if duration_s > 0 else math.nan
    share = 1 - used / max(1, n_threads)
    return max(0.0, share) if math.isfinite(share) and (n_threads or share > 0) else math.nan


def _behind(barrier_by_thread: Mapping[int, float], seconds: float) -> int | None:
    if len(barrier_by_thread) < 2:
        return None
    slowest = min(barrier_by_thread, key=lambda thread: barrier_by_thread[thread])
    others = median(waited for thread, waited in barrier_by_thread.items() if thread != slowest)
    is_behind = others >= _WORTH_NAMING * seconds and barrier_by_thread[slowest] < _BEHIND * others
    return slowest if is_behind else None
