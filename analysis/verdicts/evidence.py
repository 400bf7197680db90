"""Which part of a phase is evidence: throttled, migrated and unresolved steps are set aside before any rule looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from analysis.cores import GENERIC, Core, load
from analysis.metrics import Subject
from analysis.phase import OK, Phase, Step, StepFacts, parts_over, summed
from analysis.verdicts.thresholds import THRESHOLDS, Thresholds
from analysis.verdicts.verdict import Confidence
from analysis.waits import Waits, cpu_seconds


@dataclass(frozen=True)
class Context:
    """What is known beside the counts.

    slots: of the PMU, where the capture or the user told.  read_peak: streaming read, bytes/s.
    peak_is_measured: the capture itself holds the peak; False where a person stated it.
    model_bytes: weights that one decoded token reads.  kv_bytes: of KV cache, per token and cached position.
    kv_windows: of these the bytes of layers that see at most so many positions, (window, bytes) each.
    emulated: counts from an emulator, whose time means nothing.  tells_running: False for formats that say nothing
    about multiplexing although their tools multiplex.  whole_machine: False for one of several scopes or PMUs.
    system_wide: whatever ran on the CPUs was counted, idleness as well.  n_cpus: that were counted, 0 where not told.
    """

    core: Core = field(default_factory=lambda: load(GENERIC))
    slots: int | None = None
    read_peak: float | None = None
    peak_is_measured: bool = True
    model_bytes: float | None = None
    kv_bytes: float = 0.0
    kv_windows: tuple[tuple[int, float], ...] = ()
    emulated: bool = False
    tells_running: bool = True
    whole_machine: bool = True
    mixed_cores: bool = False
    system_wide: bool = False
    n_cpus: int = 0
    thresholds: Thresholds = THRESHOLDS

    def kv_read(self, step: Step) -> float:
        """Bytes of KV cache that a step reads, each position that any of its tokens sees once."""
        cached = step.n_past + step.n_eval
        unseen = sum(each * max(0, step.n_past + 1 - window) for window, each in self.kv_windows)
        return self.kv_bytes * cached - unseen


@dataclass(frozen=True)
class Evidence:
    """subject: the phase or step over its usable part.  steps: the usable steps.  cap: no verdict is worth more.

    blocked: why nothing can be concluded at all, '' where something can.  unresolved: True where the reason is that
    the capture's intervals are too long for the span.  frequency: median of the usable steps in Hz, NaN if unknown.
    waits: how the threads waited in the usable steps, None where the capture does not tell.
    """

    subject: Subject
    steps: tuple[Step, ...]
    cap: Confidence = Confidence.HIGH
    reasons: tuple[str, ...] = ()
    blocked: str = ""
    unresolved: bool = False
    frequency: float = math.nan
    waits: Waits | None = None


_TELLING = frozenset(("freq_hz", "task-clock", "cpu-migrations"))
"""Counts without any of which nothing is known of a step's frequency and migrations."""


def facts(step: Step) -> StepFacts:
    """Frequency and migrations from the step's own counts, as perf and our captures give them."""
    if step.columns is not None and not step.columns.have_any(_TELLING):
        return StepFacts(math.nan, 0.0)
    step = step.passing()
    cycles, frequency = step.counts.get("CPU_CYCLES"), step.counts.get("freq_hz")
    moves = step.counts.get("cpu-migrations")
    value = math.nan
    if frequency is not None and frequency.status == OK:
        value = frequency.value
    elif cycles and cycles.status == OK and cpu_seconds(step.counts) > 0:
        value = cycles.value / cpu_seconds(step.counts)
    return StepFacts(value, moves.value if moves and moves.status == OK and moves.value > 0 else 0.0)


def _facts_of(phase: Phase, known: dict[int, StepFacts]) -> list[StepFacts]:
    """The facts of each step. known: by call number, beside the counts."""
    if not known and _TELLING.isdisjoint(phase.counts):
        return [StepFacts()] * len(phase.steps)
    return [known.get(-1 if step.call is None else step.call) or facts(step) for step in phase.steps]


def gather(phase: Phase, context: Context, known: dict[int, StepFacts] | None = None) -> Evidence:
    """The evidence of a phase. `known` has facts by call number where the capture keeps them beside the counts."""
    limits = context.thresholds
    # only a phase that markers cut out of longer intervals can be blurred by its neighbours
    blurred = _too_few_bins(phase, phase.bin_s, limits.bins_per_phase) if phase.steps else ""
    if blurred:
        return Evidence(phase, tuple(phase.steps), blocked=blurred, unresolved=True)
    by_step = _facts_of(phase, known or {})
    slow, speed_note = _throttled(by_step, limits)
    if len(slow) > (1 - limits.steps_kept) * len(phase.steps):
        return Evidence(phase, tuple(phase.steps), blocked=f"throttled: {speed_note}")
    moved = {index for index, fact in enumerate(by_step) if fact.migrations > 0}
    aside = slow | moved
    kept = [step for index, step in enumerate(phase.steps) if index not in aside] if aside else phase.steps
    if moved and len(kept) < limits.steps_kept * len(phase.steps):
        return _mostly_moved(phase, context, slow, len(moved))
    reasons = [f"frequency: {speed_note}"] if speed_note else []
    if moved:
        reasons.append(f"{len(moved)} of {len(phase.steps)} steps changed CPU and were set aside")
    subject = phase if len(kept) == len(phase.steps) else narrowed(phase, kept)
    speeds = [fact.frequency for index, fact in enumerate(by_step) if index not in aside and fact.frequency > 0]
    cap = Confidence.MEDIUM if reasons else Confidence.HIGH
    return Evidence(subject, tuple(kept), cap, tuple(reasons), frequency=median(speeds) if speeds else math.nan)


def gather_step(step: Step, phase: Phase, context: Context) -> Evidence:
    """The evidence of one step of a phase."""
    blurred = _too_few_bins(step, phase.bin_s, context.thresholds.bins_per_token)
    return Evidence(step, (step,), blocked=blurred, unresolved=bool(blurred))


def _too_few_bins(subject: Subject, bin_s: float, least: float) -> str:
    if not subject.duration_s < least * bin_s:  # no intervals, no limit: NaN compares False
        return ""
    return f"{subject.duration_s / bin_s:.1f} intervals of {1e3 * bin_s:g} ms, at least {least:g} needed"


def _throttled(by_step: Sequence[StepFacts], limits: Thresholds) -> tuple[set[int], str]:
    """Indices of the steps that ran slow against the phase's fastest quarter, and a sentence where speed drifted."""
    speeds = [(index, fact.frequency) for index, fact in enumerate(by_step) if fact.frequency > 0]
    if len(speeds) < 2:
        return set(), ""
    ordered = sorted((speed for _, speed in speeds), reverse=True)
    top = median(ordered[: max(1, len(ordered) // 4)])
    slow = {index for index, speed in speeds if speed < limits.frequency_kept * top}
    lowest = ordered[-1]
    spread = f"from {top / 1e9:.2f} to {lowest / 1e9:.2f} GHz"
    if slow:
        share = f"{100 * limits.frequency_kept:g} % of top speed"
        return slow, f"{len(slow)} of {len(by_step)} steps ran below {share}, {spread}"
    return set(), f"drifted {spread}" if lowest < limits.frequency_steady * top else ""


def _mostly_moved(phase: Phase, context: Context, slow: set[int], moved: int) -> Evidence:
    text = f"{moved} of {len(phase.steps)} steps changed CPU"
    if context.mixed_cores:
        return Evidence(phase, tuple(phase.steps), blocked=f"{text} on a machine with unlike cores")
    steps = [step for index, step in enumerate(phase.steps) if index not in slow]
    return Evidence(narrowed(phase, steps) if slow else phase, tuple(steps), Confidence.LOW, (text,))


def narrowed(phase: Phase, steps: Sequence[Step]) -> Phase:
    """The phase over `steps` only: counts, groups, tokens and time summed anew."""
    counts, groups = summed(steps)
    return replace(
        phase,
        n_tokens=sum(step.n_eval for step in steps),
        duration_s=sum(step.duration_s for step in steps),
        steps=list(steps),
        counts=counts,
        groups=groups,
        parts=parts_over(steps),
        averaged={},
    )
