"""Every number that a verdict depends on, in one place. Arm publishes none of them: they are this project's own.

`THRESHOLDS` is what the rules read; reports print each beside its ratio, so a verdict can be checked without this file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Shares are 0..1 unless the name says otherwise."""

    # Rule 1, stalls. Below `backend` the back end is not what limits the core.
    backend: float = 0.15
    # The share of back-end stalls that memory must explain, and of all cycles, since a large share of little is little.
    memory_of_backend: float = 0.40
    memory_of_cycles: float = 0.10
    # At or below this share the stalls are the core's own. It lies well above zero because the event leaves out
    # L1 misses that hit the L2, so "none" never reads 0.
    core_of_backend: float = 0.20
    # A first guess: dot-product GEMM kernels are mostly ASE, and a loop that waits for L2 hits is mostly loads.
    compute_mix: float = 0.50
    # L2 refills per 1000 instructions: a blocked GEMM stays near 1, a stream of 64-byte lines through LD1 near 30.
    few_l2_mpki: float = 5.0
    # Front-end stalls that deserve the name where the back end is idle.
    frontend: float = 0.15

    # Rule 2, roofline: shares of the measured read peak.
    roof_memory: float = 0.65
    roof_compute: float = 0.35
    # Above this share the peak or the refill count is wrong. A few percent above 1 are noise.
    roof_possible: float = 1.10
    # Refill bytes below this share of the bytes that the model must read: the event misses traffic.
    refills_of_model: float = 0.70
    # Weights smaller than this may stay in a last-level or system cache, so they prove no traffic from memory.
    model_exceeds_caches: float = 256e6

    # Rule 3, top-down: shares of slots; level 2 needs a lead of this much of the back-end stalls.
    slots_backend: float = 0.20
    level2_lead: float = 0.10

    # Multiplexing. Events counted together give exact ratios, but of the part of the time that was counted.
    running_together: float = 0.10
    running_apart: float = 0.30
    running_good: float = 0.90
    # Events counted apart saw different moments; from this many turns each, the moments are alike enough.
    windows_apart: float = 10.0
    # Waiting: from this share of the threads' time on it leads, for counters of waiting threads count the waiting.
    waiting_leads: float = 0.40
    # Counters stand still without a CPU, so there it leads only where it is the larger part.
    waiting_off_cpu: float = 0.50
    # From here on it is worth a word, and the counts of the rest are worth less.
    waiting_matters: float = 0.20
    # Context switches a call from which on other programs are the likely cause of waiting.
    switches_per_call: float = 1.0

    # Cycles a second, in 10⁹: fewer on the mean of the CPUs, and fewer in all than one busy CPU has: nothing ran.
    idle_ghz: float = 0.1
    one_busy_ghz: float = 0.6

    # The share of the CPUs' time that others took. Threads wait for the one that lost its CPU, so a little matters.
    taken_matters: float = 0.05

    # Resolution: intervals of the capture per phase and per token.
    bins_per_phase: float = 10.0
    bins_per_token: float = 3.0

    # Samples: steps for a bootstrap interval that means something.
    steps_for_interval: int = 8

    # Drift. A step slower than this share of its phase's own top frequency ran throttled.
    frequency_kept: float = 0.90
    frequency_steady: float = 0.95
    # Below this share of usable steps the rest no longer speaks for the phase.
    steps_kept: float = 0.50

    # A ratio within this much of its threshold (relative) could fall on the other side next time.
    close_margin: float = 0.10


THRESHOLDS = Thresholds()
