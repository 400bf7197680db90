"""Synthetic captures of several CPUs, threads, levels of privilege and runs, with answers written by hand.

Nothing here was measured. What is to be got right: percentages are weighted, ratios taken over scopes that have all of
their events, levels and contradicting readings never mixed, impossible counts set aside, variance believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from synthetic_cases import (
    ALONE,
    BACKEND,
    CANNOT,
    FRONT,
    MEMORY,
    MIXED,
    NOT_BACKEND,
    RETIRING,
    WAITING,
    Case,
    Expected,
    Names,
)

_Write = Callable[[Path, Names], Path]
Shares = tuple[float, float, float, float]
"""Back end, bad speculation, front end, retiring: percent of slots."""
CLASSES = ("tma_backend_bound", "tma_bad_speculation", "tma_frontend_bound", "tma_retiring")
BACK, FORE, BUSY = (80.0, 4.0, 6.0, 10.0), (6.0, 4.0, 80.0, 10.0), (10.0, 5.0, 10.0, 75.0)


def _file(name: str, lines: Sequence[str]) -> _Write:
    def write(folder: Path, _: Names) -> Path:
        path = folder / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def rows(*given: tuple[str, float | str, str], share: str = "100.00") -> list[str]:
    """perf's CSV. Each is (scope with its comma or '', count, event)."""
    return [
        f"{scope}{value if isinstance(value, str) else round(value)},,{event},1000000000,{share},,"
        for scope, value, event in given
    ]


def csv(*given: tuple[str, float | str, str]) -> _Write:
    return _file("synthetic-scopes.csv", rows(*given))


def _shares(scope: str, shares: Shares) -> list[str]:
    return [f"{scope},,,,,,{value},%  {name}" for name, value in zip(CLASSES, shares, strict=True)]


def _by_scope(*given: tuple[str, float | None, Shares]) -> _Write:
    """Shares of slots of each scope, and its cycles where they were counted."""
    lines = []
    for scope, cycles, shares in given:
        lines += rows((f"{scope},", 7 if cycles is None else cycles, "page-faults" if cycles is None else "cycles"))
        lines += _shares(f"{scope},", shares)
    return _file("synthetic-shares.csv", lines)


def _by_interval(*given: tuple[float | None, Shares]) -> _Write:
    lines = []
    for second, (cycles, shares) in enumerate(given, 1):
        time = f"{second:6d}.000000000,"
        lines += rows((time, 7 if cycles is None else cycles, "page-faults" if cycles is None else "cycles"))
        lines += _shares(time, shares)
    return _file("synthetic-intervals.csv", lines)


def _columns(title: str, *lines: tuple[str, float, float, float, float]) -> _Write:
    """`--topdown` of old: a line of names, then scopes with retiring, bad speculation, front end and back end."""
    names = "retiring      bad speculation       frontend bound        backend bound"
    head = [f" Performance counter stats for '{title}':", "", f"                           {names}"]
    shown = [f"{scope:<20}" + "".join(f"{value:>20.1f}%" for value in values) for scope, *values in lines]
    return _file("synthetic-columns.txt", ["", *head, *shown, "", "       1.000000000 seconds time elapsed", ""])


def _text(*given: str, runs: int = 1) -> _Write:
    title = " Performance counter stats for 'synthetic'" + (f" ({runs} runs)" if runs > 1 else "") + ":"
    return _file("synthetic-text.txt", ["", title, "", *given, "", "       1.000000000 seconds time elapsed", ""])


WEIGHED_CASES = (
    Case(
        "the busy CPU decides, not the idle ones",
        _by_scope(("CPU0", 4e9, BUSY), ("CPU1", 1e7, BACK), ("CPU2", 1e7, BACK), ("CPU3", 1e7, BACK)),
        (Expected(RETIRING, topdown=RETIRING, confidence="medium"),),
    ),
    Case(
        "the busy core decides",
        _by_scope(("S0-D0-C0,2", 5e9, FORE), ("S0-D0-C1,2", 1e8, BACK), ("S0-D0-C2,2", 1e8, BACK)),
        (Expected(FRONT, topdown=FRONT, confidence="medium"),),
    ),
    Case(
        "the busy interval decides",
        _by_interval((4e9, BACK), (1e7, BUSY), (1e7, BUSY), (1e7, BUSY)),
        (Expected(BACKEND, topdown=BACKEND),),
    ),
    Case(
        "an idle interval weighs nothing", _by_interval((4e9, BACK), (0, BUSY)), (Expected(BACKEND, topdown=BACKEND),)
    ),
    Case(
        "no weights, and CPUs that agree",
        _by_scope(("CPU0", None, BACK), ("CPU1", None, (70.0, 5.0, 10.0, 15.0))),
        (Expected(BACKEND, topdown=BACKEND, confidence="low"),),
    ),
    Case(
        "no weights, and CPUs that do not agree",
        _by_scope(("CPU0", None, BACK), ("CPU1", None, FORE)),
        (Expected(CANNOT, CANNOT, CANNOT, CANNOT),),
    ),
    Case(
        "no weights for one CPU of two that do not agree",
        _by_scope(("CPU0", 1e9, BACK), ("CPU1", None, FORE)),
        (Expected(CANNOT, CANNOT, CANNOT, CANNOT),),
    ),
    Case(
        "no weights, and intervals that agree",
        _by_interval(*[(None, BACK)] * 5),
        (Expected(BACKEND, topdown=BACKEND, confidence="low"),),
    ),
    Case(
        "no weights, and intervals that do not agree",
        _by_interval((None, BACK), (None, FORE), (None, BACK), (None, FORE)),
        (Expected(CANNOT, CANNOT, CANNOT, CANNOT),),
    ),
    Case(
        "old columns of cores that agree",
        _columns(
            "system wide",
            ("S0-D0-C0           2", 15.1, 5.4, 14.2, 65.3),
            ("S0-D0-C1           2", 14.1, 4.4, 11.2, 70.3),
        ),
        (Expected(BACKEND, topdown=BACKEND, confidence="low"),),
    ),
    Case(
        "old columns with a share that cannot be",
        _columns(
            "system wide",
            ("S0-D0-C0           2", 15.1, 5.4, 14.2, 65.3),
            ("S0-D0-C1           2", 14.1, 4.4, 11.2, 170.3),
        ),
        (Expected(CANNOT, topdown=CANNOT),),
    ),
    Case(
        "shares of slots that sum to 220 %",
        _columns(
            "synthetic",
            ("", 70.0, 50.0, 40.0, 60.0),
        ),
        (Expected(CANNOT, topdown=CANNOT),),
    ),
    Case(
        "shares of slots that sum to 40 %",
        _columns(
            "synthetic",
            ("", 10.0, 5.0, 5.0, 20.0),
        ),
        (Expected(CANNOT, topdown=CANNOT),),
    ),
    Case(
        "one control group busy, one idle, each for itself",
        _file(
            "synthetic-cgroups.csv",
            [
                "1000000000,,cycles,a,1000000000,100.00,,",
                "800000000,,stall_backend,a,1000000000,100.00,,",
                "600000000,,stall_backend_mem,a,1000000000,100.00,,",
                "1000000,,cycles,b,1000000000,100.00,,",
                "50000,,stall_backend,b,1000000000,100.00,,",
            ],
        ),
        (Expected(MEMORY, MEMORY), Expected(NOT_BACKEND, NOT_BACKEND)),
    ),
)

RAGGED_CASES = (
    Case(
        "stalls were counted on one of three CPUs",
        csv(
            ("CPU0,", 2e9, "cycles"),
            ("CPU0,", 18e8, "stall_backend"),
            ("CPU1,", 2e9, "cycles"),
            ("CPU1,", "<not counted>", "stall_backend"),
            ("CPU2,", 16e9, "cycles"),
            ("CPU2,", "<not supported>", "stall_backend"),
        ),
        (Expected(BACKEND, BACKEND, confidence="low"),),
    ),
    Case(
        "an idle CPU lacks an event",
        csv(
            ("CPU0,", 2e9, "cycles"),
            ("CPU0,", 1e8, "stall_backend"),
            ("CPU1,", 1e6, "cycles"),
            ("CPU1,", "<not counted>", "stall_backend"),
        ),
        (Expected(NOT_BACKEND, NOT_BACKEND, confidence="medium"),),
    ),
    Case(
        "cycles on one CPU, stalls on the other",
        csv(
            ("CPU0,", 2e9, "cycles"),
            ("CPU0,", "<not counted>", "stall_backend"),
            ("CPU1,", "<not counted>", "cycles"),
            ("CPU1,", 1e9, "stall_backend"),
        ),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "threads of which one was never counted",
        csv(
            ("worker-11,", 2e9, "cycles"),
            ("worker-11,", 12e8, "stall_backend"),
            ("worker-11,", 8e8, "stall_backend_mem"),
            ("worker-12,", "<not counted>", "cycles"),
            ("worker-12,", "<not counted>", "stall_backend"),
            ("worker-12,", "<not counted>", "stall_backend_mem"),
        ),
        (Expected(MEMORY, MEMORY, confidence="medium"),),
    ),
)

LEVEL_CASES = (
    Case(
        "stalls of user space over all cycles",
        csv(("", 1e9, "cycles"), ("", 4e8, "stall_backend:u")),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "stalls of the kernel over all cycles",
        csv(("", 1e9, "cycles"), ("", 4e8, "stall_backend:k")),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "stalls of the hypervisor over those of users",
        csv(("", 1e9, "cycles:u"), ("", 4e8, "stall_backend:h")),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "user space's own cycles are there too",
        csv(("", 2e9, "cycles"), ("", 1e9, "cycles:u"), ("", 1e8, "stall_backend:u")),
        (Expected(NOT_BACKEND, NOT_BACKEND),),
    ),
    Case(
        "all of user space",
        csv(("", 1e9, "cycles:u"), ("", 4e8, "stall_backend:u"), ("", 3e8, "r4005:u")),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "precise events count the same",
        csv(("", 1e9, "cycles:pp"), ("", 4e8, "stall_backend"), ("", 3e8, "r4005:p")),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "user and kernel are all",
        csv(("", 6e8, "cycles:u"), ("", 4e8, "cycles:k"), ("", 5e7, "stall_backend")),
        (Expected(NOT_BACKEND, NOT_BACKEND),),
    ),
    Case(
        "memory stalls of user space alone",
        csv(("", 1e9, "cycles"), ("", 4e8, "stall_backend"), ("", 3e8, "r4005:u")),
        (Expected(BACKEND, BACKEND),),
    ),
)

TWICE_CASES = (
    Case(
        "listed twice, and they contradict",
        _text(
            "  1,000,000,000      cycles", "    400,000,000      stall_backend", "    100,000,000      stall_backend"
        ),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "listed twice, and they are alike",
        _text(
            "  1,000,000,000      cycles", "    400,000,000      stall_backend", "    401,000,000      stall_backend"
        ),
        (Expected(BACKEND, BACKEND),),
    ),
    Case(
        "two groups without shares",
        _text(
            "  1,000,000,000      cycles",
            "    400,000,000      stall_backend",
            "  1,000,000,000      cycles",
            "    300,000,000      stall_backend_mem",
        ),
        (Expected(MEMORY, MEMORY, confidence="medium"),),
    ),
    Case(
        "two names that contradict",
        csv(("", 1e9, "cycles"), ("", 4e8, "stall_backend"), ("", 5e7, "stalled-cycles-backend")),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "two groups of half the time, each with its own cycles",
        _text(
            "  1,000,000,000      cycles              (50.00%)",
            "     50,000,000      stall_backend       (50.00%)",
            "  4,000,000,000      cycles              (50.00%)",
            "    400,000,000      stall_frontend      (50.00%)",
        ),
        (Expected(RETIRING, RETIRING),),
    ),
)

VARIANCE_CASES = (
    Case(
        "runs that differ by more than the margin",
        _text(
            "  1,000,000,000      cycles             ( +-  6.50% )",
            "    400,000,000      stall_backend      ( +-  4.00% )",
            "    200,000,000      stall_backend_mem  ( +- 14.00% )",
            runs=5,
        ),
        (Expected(MEMORY, MEMORY, confidence="low"),),
    ),
    Case(
        "runs that differ by less than the margin",
        _text(
            "  1,000,000,000      cycles             ( +-  0.50% )",
            "    400,000,000      stall_backend      ( +-  0.40% )",
            "    200,000,000      stall_backend_mem  ( +-  0.30% )",
            runs=5,
        ),
        (Expected(MEMORY, MEMORY, confidence="medium"),),
    ),
    Case(
        "variance in CSV",
        _file(
            "synthetic-variance.csv",
            [
                "1000000000,,cycles,4.50%,1000000000,100.00,,",
                "180000000,,stall_backend,9.00%,1000000000,100.00,,",
            ],
        ),
        (Expected(BACKEND, BACKEND, confidence="low"),),
    ),
)

LIMIT_CASES = (
    Case(
        "99 refills a cycle",
        csv(("", 1e9, "cycles"), ("", 99e9, "l3d_cache_refill")),
        (Expected(CANNOT, roofline=CANNOT),),
    ),
    Case(
        "refills that no memory delivers",
        _file(
            "synthetic.csv", [*rows(("", 9e15, "l3d_cache_refill")), "1000000000,ns,duration_time,1000000000,100.00,,"]
        ),
        (Expected(CANNOT, roofline=CANNOT),),
        {"read_peak": 40e9},
    ),
    Case(
        "more last-level misses than accesses",
        csv(("", 1e9, "ll_cache_rd"), ("", 2e9, "ll_cache_miss_rd")),
        (Expected(CANNOT, roofline=CANNOT),),
    ),
)


def _parts(**shares: float) -> _Write:
    """perf's metrics of x86, by any name, in percent of slots, beside cycles."""
    return _file("x86.csv", [*rows(("", 4e9, "cycles")), *(f",,,,,,{v},%  {name}" for name, v in shares.items())])


_LEVEL_1 = {"tma_backend_bound": 70, "tma_bad_speculation": 3, "tma_frontend_bound": 12, "tma_retiring": 15}
X86_CASES = (
    Case(
        "x86: memory by its second level",
        _parts(**_LEVEL_1, tma_memory_bound=58, tma_core_bound=12),
        (Expected(MEMORY, topdown=MEMORY),),
    ),
    Case(
        "x86: core by its second level",
        _parts(**_LEVEL_1, tma_memory_bound=8, tma_core_bound=62),
        (Expected(ALONE, topdown=ALONE),),
    ),
    Case(
        "x86: even by its second level",
        _parts(**_LEVEL_1, tma_memory_bound=36, tma_core_bound=34),
        (Expected(MIXED, topdown=MIXED),),
    ),
    Case(
        "x86: the second level alone",
        _parts(tma_memory_bound=58, tma_core_bound=12),
        (Expected(MEMORY, topdown=MEMORY),),
    ),
    Case(
        "x86: fetching by the second level alone",
        _parts(tma_memory_bound=5, tma_core_bound=5, tma_fetch_latency=50, tma_fetch_bandwidth=20),
        (Expected(FRONT, topdown=FRONT),),
    ),
    Case(
        "x86: a second level that does not sum to the first",
        _parts(**_LEVEL_1, tma_memory_bound=90, tma_core_bound=62),
        (Expected(BACKEND, topdown=BACKEND),),
    ),
    Case(
        "x86: AMD's names, with slots lost to the other thread",
        _parts(
            backend_bound=60,
            bad_speculation=3,
            frontend_bound=12,
            retiring=10,
            smt_contention=15,
            backend_bound_memory=50,
            backend_bound_cpu=10,
        ),
        (Expected(MEMORY, topdown=MEMORY),),
    ),
    Case(
        "x86: two kinds of core, each for itself",
        _text(
            "    TopdownL1 (cpu_core)        #     70.0 %  tma_backend_bound",
            "                                #      5.0 %  tma_bad_speculation",
            "                                #     10.0 %  tma_frontend_bound",
            "                                #     15.0 %  tma_retiring",
            "    TopdownL1 (cpu_atom)        #     10.0 %  tma_backend_bound",
            "                                #      5.0 %  tma_bad_speculation",
            "                                #     70.0 %  tma_frontend_bound",
            "                                #     15.0 %  tma_retiring",
        ),
        (Expected(BACKEND, topdown=BACKEND), Expected(FRONT, topdown=FRONT)),
    ),
)


def _machine(cpus: int, cycles: float, clock: str = "cpu-clock") -> _Write:
    """`perf stat -a` for a second: cycles of all CPUs, 60 % of them back-end stalls, 40 % memory stalls."""
    shown = [
        f"{1000 * cpus:>14,}.00 msec {clock}",
        f"{round(cycles):>18,}      cycles",
        f"{round(0.6 * cycles):>18,}      stall_backend",
        f"{round(0.4 * cycles):>18,}      stall_backend_mem",
    ]
    head = ["", " Performance counter stats for 'system wide':", ""]
    return _file("synthetic-machine.txt", [*head, *shown, "", "       1.000000000 seconds time elapsed", ""])


IDLE_CASES = (
    Case("an idle machine", _machine(8, 1.6e8), (Expected(WAITING, MEMORY, waiting=WAITING),)),
    Case("an idle machine, by task-clock", _machine(8, 4e8, "task-clock"), (Expected(WAITING, MEMORY),)),
    Case("a busy machine", _machine(8, 1.6e10), (Expected(MEMORY, MEMORY),)),
    Case("one busy CPU of 64", _machine(64, 3e9), (Expected(MEMORY, MEMORY),)),
    Case("a slow clock", _machine(1, 3e8, "task-clock"), (Expected(MEMORY, MEMORY),)),
    Case(
        "idle CPUs, each for itself",
        _file(
            "synthetic-idle.csv",
            [
                *(f"CPU{n},1000.00,msec,cpu-clock,1000000000,100.00,," for n in range(4)),
                *rows(*((f"CPU{n},", 2e7, event) for n in range(4) for event in ("cycles", "stall_backend"))),
                "1000000000,ns,duration_time,1000000000,100.00,,",
            ],
        ),
        (Expected(WAITING, BACKEND, waiting=WAITING),),
    ),
)

SCOPE_CASES = (
    *WEIGHED_CASES,
    *RAGGED_CASES,
    *LEVEL_CASES,
    *TWICE_CASES,
    *VARIANCE_CASES,
    *LIMIT_CASES,
    *X86_CASES,
    *IDLE_CASES,
)
