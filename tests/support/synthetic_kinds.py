"""More synthetic captures with answers written by hand, by kind: waiting, front end, zeros, ratios alone, cores.

Nothing here was measured. The numbers can be checked in the head against `analysis/verdicts/thresholds.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from synthetic_cases import (
    A76,
    ALONE,
    BACKEND,
    CANNOT,
    COMPUTE,
    DISAGREE,
    FRONT,
    MEMORY,
    MIXED,
    N2,
    NOT_BACKEND,
    RETIRING,
    ROOF,
    SPECULATION,
    UNMEASURED,
    V1,
    V2,
    WAITING,
    Case,
    Expected,
    Names,
    own,
    prompt,
    tokens,
)

A53, A55, A510, V3AE, M1 = "0x410fd034", "0x411fd050", "0x410fd461", "0x410fd830", "0x611f0230"
E1, N1, A77 = "0x410fd4a0", "0x413fd0c1", "0x411fd0d0"

_Write = Callable[[Path, Names], Path]
Rows = Sequence[tuple[str, int, int]]


def _waits(rows: Rows, n_calls: int = 10, switches: int = 0, counts: Mapping[str, int] | None = None) -> _Write:
    """Calls of 1000 ns whose threads hold these rows: operation, thread, nanoseconds. counts: of each call."""
    events = counts or {}

    def write(folder: Path, names: Names) -> Path:
        label = names.get("decode", "decode")
        lines = ["# q4engine capture", "# format_version: 1", "# emulated: no", "# counters: no PMU here"]
        lines.append(
            "call,phase,n_past,n_eval,op,layer,thread,start_ns,duration_ns,context_switches"
            + "".join(f",{event}@g0" for event in events)
        )
        for call in range(n_calls):
            start, blanks = 1000 * call, "," * len(events)
            whole = "".join(f",{count}" for count in events.values())
            lines.append(f"{call},{label},{call},1,,,,{start},1000,{switches}{whole}")
            lines += [f"{call},{label},{call},1,{op},0,{thread},{start},{ns},{blanks}" for op, thread, ns in rows]
        return _text(folder / "synthetic-waits.csv", lines)

    return write


def _both(*rows: tuple[str, int]) -> Rows:
    return [(op, thread, ns) for op, ns in rows for thread in (0, 1)]


def _text(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _perf(counts: Mapping[str, object], seconds: float = 2.0, share: str = "") -> _Write:
    """`perf stat`'s text. A count may be a text as it stands there."""

    def write(folder: Path, _: Names) -> Path:
        rows = [
            f"{count if isinstance(count, str) else format(round(float(str(count))), ','):>20}      {event:<30} {share}"
            for event, count in counts.items()
        ]
        head = ["", " Performance counter stats for 'synthetic':", ""]
        return _text(folder / "synthetic-perf.txt", [*head, *rows, "", f"   {seconds:.9f} seconds time elapsed", ""])

    return write


def _lines(name: str, *lines: str) -> _Write:
    return lambda folder, _: _text(folder / name, lines)


def _topdown(unit: str = "%", **shares: float) -> _Write:
    """topdown-tool's CSV of ratios alone, no counts."""
    rows = [f",Group,1,1,{name.replace('_', ' ')},{value},{unit}" for name, value in shares.items()]
    return _lines("synthetic-topdown.csv", "time,group,stage,level,metric,value,units", *rows)


def _perf_metrics(**shares: float) -> _Write:
    """perf's CSV since 6.5: groups of metrics, without counts of their own."""
    rows = [f",,,,,,{value},%  tma_{name}" for name, value in shares.items()]
    return _lines("synthetic-perf-metrics.csv", "1000.00,msec,task-clock,1000000000,100.00,1.000,CPUs utilized", *rows)


WAITING_CASES = (
    Case(
        "half of the time at barriers",
        _waits(_both(("gemv", 500), ("barrier", 500))),
        (Expected(WAITING, waiting=WAITING, confidence="high", step=UNMEASURED),),
    ),
    Case(
        "barriers just enough", _waits(_both(("gemv", 580), ("barrier", 420))), (Expected(WAITING, confidence="low"),)
    ),
    Case(
        "barriers not enough",
        _waits(_both(("gemv", 650), ("barrier", 350))),
        (Expected(UNMEASURED, waiting="not waiting"),),
    ),
    Case("no barrier at all", _waits([("gemv", 0, 1000)]), (Expected(UNMEASURED, waiting="not waiting"),)),
    Case(
        "one thread behind two others",
        _waits([("gemv", 0, 100), ("barrier", 0, 900), ("gemv", 1, 100), ("barrier", 1, 900), ("gemv", 2, 1000)]),
        (Expected(WAITING, waiting=WAITING),),
    ),
    Case(
        "one of two behind, which alone is half",
        _waits([("gemv", 0, 50), ("barrier", 0, 950), ("gemv", 1, 1000)]),
        (Expected(WAITING, waiting=WAITING),),
    ),
    Case(
        "start-up",
        _waits([("begin", 0, 450), ("gemv", 0, 450), ("end", 0, 100)]),
        (Expected(WAITING, waiting=WAITING),),
    ),
    Case(
        "contended: other programs",
        _waits(_both(("gemv", 500), ("barrier", 500)), switches=4),
        (Expected(WAITING, waiting=WAITING),),
    ),
    Case(
        "contended, three calls",
        _waits(_both(("gemv", 400), ("barrier", 600)), n_calls=3, switches=9),
        (Expected(WAITING, waiting=WAITING, confidence="medium"),),
    ),
    Case(
        "waiting leads over memory stalls of spinning threads",
        _waits(
            _both(("gemv", 400), ("barrier", 600)),
            counts={"CPU_CYCLES": 4000, "STALL_BACKEND": 2400, "STALL_BACKEND_MEM": 1200},
        ),
        (Expected(WAITING, MEMORY, waiting=WAITING),),
    ),
    Case(
        "waiting leads over compute stalls",
        _waits(
            _both(("gemv", 400), ("barrier", 600)),
            counts={"CPU_CYCLES": 4000, "STALL_BACKEND": 1000, "STALL_BACKEND_MEM": 100},
        ),
        (Expected(WAITING, ALONE, waiting=WAITING),),
    ),
    Case(
        "little waiting beside memory stalls",
        _waits(
            _both(("gemv", 900), ("barrier", 100)),
            counts={"CPU_CYCLES": 4000, "STALL_BACKEND": 2400, "STALL_BACKEND_MEM": 1200},
        ),
        (Expected(MEMORY, MEMORY, waiting="not waiting"),),
    ),
    Case(
        "a program that sleeps",
        _perf({"task-clock": "400.00 msec", "context-switches": 100}, 2.0),
        (Expected(WAITING, waiting=WAITING, confidence="medium"),),
    ),
    Case(
        "a program that runs",
        _perf({"task-clock": "1990.00 msec"}, 2.0),
        (Expected(UNMEASURED, waiting="not waiting"),),
    ),
    Case("more CPUs than one, threads unknown", _perf({"task-clock": "3000.00 msec"}, 2.0), (Expected(UNMEASURED),)),
)

FRONT_CASES = (
    Case("front end leads: 45 % against 28 %", own(tokens(be=0.285, fe=0.45, m=0.19)), (Expected(FRONT, FRONT),)),
    Case("front end leads over memory stalls", own(tokens(be=0.3, fe=0.5, m=0.6)), (Expected(FRONT, FRONT),)),
    Case(
        "front end leads by little", own(tokens(be=0.30, fe=0.31, m=0.1)), (Expected(FRONT, FRONT, confidence="low"),)
    ),
    Case("back end leads by much", own(tokens(be=0.6, fe=0.2, m=0.5)), (Expected(MEMORY, MEMORY),)),
    Case("both ends stall, the back end more", own(tokens(be=0.45, fe=0.3, m=0.1)), (Expected(ALONE, ALONE),)),
    Case("both ends stall, no memory event", own(tokens(be=0.4067, fe=0.3084)), (Expected(BACKEND, BACKEND),)),
    Case("front end leads where no memory event exists", own(tokens(be=0.2, fe=0.4), A76), (Expected(FRONT, FRONT),)),
    Case("front end of a prompt", own(prompt(be=0.18, fe=0.35, m=0.3)), (Expected(FRONT, FRONT),)),
    Case(
        "front end and a low bandwidth agree",
        own(tokens(be=0.2, fe=0.5, m=0.1, gbps=2), **ROOF),
        (Expected(FRONT, FRONT, COMPUTE, confidence="high"),),
    ),
    Case(
        "front end and a high bandwidth do not",
        own(tokens(be=0.2, fe=0.5, m=0.1, gbps=36), **ROOF),
        (Expected(DISAGREE, FRONT, MEMORY, confidence="low"),),
    ),
    Case(
        "front-end slots lead over back-end slots",
        own(
            tokens(
                STALL_SLOT_BACKEND=2.0,
                STALL_SLOT_FRONTEND=4.0,
                STALL_SLOT=6.0,
                OP_RETIRED=2,
                OP_SPEC=2,
                BR_MIS_PRED=0.0,
            ),
            V1,
        ),
        (Expected(FRONT, topdown=FRONT),),
    ),
    Case(
        "perf text, front end",
        _perf({"cycles": 100000, "stall_frontend": 45000, "stall_backend": 28500, "stall_backend_mem": 5500}, 1.0),
        (Expected(FRONT, FRONT, confidence="medium"),),
    ),
)

_DEAD = {"cycles": 10_000_000_000, "instructions": 0, "stall_backend": 0, "stall_backend_mem": 0, "stall_frontend": 0}
ZERO_CASES = (
    Case("no instructions in ten thousand million cycles", _perf(_DEAD), (Expected(CANNOT, CANNOT),)),
    Case(
        "no instructions beside stalls", _perf(_DEAD | {"stall_backend": 5_000_000_000}), (Expected(BACKEND, BACKEND),)
    ),
    Case("an event that A76 lacks counted 0", own(tokens(be=0.5, m=0.0, ipc=0.3), A76), (Expected(BACKEND, BACKEND),)),
    Case(
        "an event that A76 lacks counted much", own(tokens(be=0.5, m=0.7, ipc=0.3), A76), (Expected(BACKEND, BACKEND),)
    ),
    Case("an event that A77 lacks", own(tokens(be=0.5, m=0.05), A77), (Expected(BACKEND, BACKEND),)),
    Case("an event that N1 lacks", own(tokens(be=0.5, m=0.05), N1), (Expected(BACKEND, BACKEND),)),
    Case("an event that E1 lacks", own(tokens(be=0.5, m=0.9), E1), (Expected(BACKEND, BACKEND),)),
    Case(
        "no memory stalls among millions, nobody named the core",
        own(tokens(be=0.5, m=0.0), None),
        (Expected(BACKEND, BACKEND),),
    ),
    Case(
        "no back-end stalls in a thousand million cycles", own(tokens(40, be=0.0, fe=0.1)), (Expected(CANNOT, CANNOT),)
    ),
    Case("more stalls than cycles", own(tokens(be=1.3, m=0.2)), (Expected(CANNOT, CANNOT),)),
    Case(
        "more memory stalls than stalls: the back end stalls at least as much as it says",
        own(tokens(be=0.4, m=1.5)),
        (Expected(BACKEND, BACKEND, confidence="low"),),
    ),
    Case("more memory stalls than few stalls", own(tokens(be=0.1, fe=0.3, m=5)), (Expected(CANNOT, CANNOT),)),
    Case("slots above the width", own(tokens(STALL_SLOT_BACKEND=9.5), V1), (Expected(CANNOT, topdown=CANNOT),)),
    Case("L3 refills of a core without L3 event", own(tokens(gbps=30), "0x410fd800", **ROOF), (Expected(UNMEASURED),)),
    Case(
        "zero cycles beside instructions",
        _perf({"cycles": 0, "instructions": 10**9, "stall_backend": 10**8}),
        (Expected(CANNOT, CANNOT, topdown=CANNOT),),
    ),
    Case(
        "r4005 by name of the PMU",
        _perf(
            {
                "armv8_cortex_a76/cycles/": 10**10,
                "armv8_cortex_a76/stall_backend/": 5 * 10**9,
                "armv8_cortex_a76/r4005/": 0,
            }
        ),
        (Expected(BACKEND, BACKEND),),
    ),
)

METRIC_CASES = (
    Case(
        "ratios alone: back end",
        _topdown(Backend_Bound=70, Bad_Speculation=3, Frontend_Bound=12, Retiring=15),
        (Expected(BACKEND, topdown=BACKEND, confidence="medium"),),
    ),
    Case(
        "ratios alone: front end",
        _topdown(Backend_Bound=11.8, Bad_Speculation=17.9, Frontend_Bound=55.7, Retiring=14.9),
        (Expected(FRONT, topdown=FRONT),),
    ),
    Case(
        "ratios alone: front end above a back end that stalls",
        _topdown(Backend_Bound=25, Bad_Speculation=5, Frontend_Bound=45, Retiring=25),
        (Expected(FRONT, topdown=FRONT),),
    ),
    Case(
        "ratios alone: mispredicted branches",
        _topdown(Backend_Bound=10, Bad_Speculation=55, Frontend_Bound=15, Retiring=20),
        (Expected(SPECULATION, topdown=SPECULATION),),
    ),
    Case(
        "ratios alone: core",
        _topdown(Backend_Bound=60, Backend_Memory_Bound=10, Backend_Core_Bound=90),
        (Expected(ALONE, topdown=ALONE),),
    ),
    Case(
        "ratios alone: even",
        _topdown(Backend_Bound=60, Backend_Memory_Bound=52, Backend_Core_Bound=48),
        (Expected(MIXED, topdown=MIXED),),
    ),
    Case(
        "ratios alone: stalled cycles",
        _topdown(Backend_Stalled_Cycles=89.2, Frontend_Stalled_Cycles=0.02),
        (Expected(BACKEND, BACKEND, confidence="medium"),),
    ),
    Case(
        "ratios alone: front end stalled",
        _topdown(Backend_Stalled_Cycles=20, Frontend_Stalled_Cycles=50),
        (Expected(FRONT, FRONT),),
    ),
    Case(
        "ratios alone: neither stalls",
        _topdown(Backend_Stalled_Cycles=5, Frontend_Stalled_Cycles=3),
        (Expected(RETIRING, RETIRING),),
    ),
    Case("ratios alone: impossible", _topdown(Backend_Bound=170), (Expected(CANNOT, topdown=CANNOT),)),
    Case("ratios alone: a mix tells nothing", _topdown(Load_Operations_Percentage=40), (Expected(UNMEASURED),)),
    Case(
        "perf's metric groups: back end",
        _perf_metrics(backend_bound=70.1, bad_speculation=2.7, frontend_bound=12.5, retiring=14.6),
        (Expected(BACKEND, topdown=BACKEND),),
    ),
    Case(
        "perf's metric groups: retiring",
        _perf_metrics(backend_bound=9.0, bad_speculation=1.0, frontend_bound=5.0, retiring=85.0),
        (Expected(RETIRING, topdown=RETIRING),),
    ),
)

CORE_CASES = (
    Case("V2 without the branch term", own(tokens(STALL_SLOT_BACKEND=5.6), V2), (Expected(BACKEND, topdown=BACKEND),)),
    Case("N2 without the branch term", own(tokens(STALL_SLOT_BACKEND=3.4), N2), (Expected(BACKEND, topdown=BACKEND),)),
    Case(
        "N2 without the branch term, stalls say memory",
        own(tokens(be=0.6, m=0.5, STALL_SLOT_BACKEND=3.4), N2),
        (Expected(MEMORY, MEMORY, topdown=MEMORY),),
    ),
    Case("V3AE by its stalls", own(tokens(be=0.8, m=0.6), V3AE), (Expected(MEMORY, MEMORY),)),
    Case(
        "A55 by its loads and stores",
        own(tokens(be=0.6, STALL_BACKEND_LD=0.3, STALL_BACKEND_ST=0.06), A55),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "A55 by raw codes",
        _perf(
            {
                "armv8_cortex_a55/cycles/": 10**9,
                "armv8_cortex_a55/stall_backend/": 6 * 10**8,
                "armv8_cortex_a55/re7/": 3 * 10**8,
                "armv8_cortex_a55/re8/": 10**7,
            }
        ),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "A55: few load stalls",
        own(tokens(be=0.4, STALL_BACKEND_LD=0.03, STALL_BACKEND_ST=0.01, mix=0.7), A55),
        (Expected(COMPUTE, COMPUTE),),
    ),
    Case(
        "A510 by its loads and stores",
        own(tokens(be=0.6, STALL_BACKEND_LD=0.2, STALL_BACKEND_ST=0.1), A510),
        (Expected(MEMORY, MEMORY),),
    ),
    Case("A53 counts no stalls", own(tokens(ipc=0.4, l2_gbps=3), A53, **ROOF), (Expected(COMPUTE, roofline=COMPUTE),)),
    Case("A53: Arm's stall codes are none of its own", own(tokens(be=0.6, m=0.5), A53), (Expected(UNMEASURED),)),
    Case("M1: Arm's stall codes are none of its own", own(tokens(be=0.6, m=0.5), M1), (Expected(UNMEASURED),)),
    Case(
        "a peak that a person stated",
        own(tokens(gbps=32)),
        (Expected(MEMORY, roofline=MEMORY, confidence="low"),),
        {"read_peak": 40e9},
    ),
    Case(
        "a stated peak beside measured stalls",
        own(tokens(be=0.6, m=0.5, gbps=32)),
        (Expected(MEMORY, MEMORY, MEMORY, confidence="high"),),
        {"read_peak": 40e9},
    ),
    Case(
        "a peak that the capture holds",
        own(tokens(gbps=32), **ROOF),
        (Expected(MEMORY, roofline=MEMORY, confidence="medium"),),
    ),
    Case("x86: no verdict from Arm's stalls", own(tokens(be=0.6), None, arch="x86_64"), (Expected(BACKEND, BACKEND),)),
)


def _cgroups(folder: Path, _: Names) -> Path:
    shares = {"A": (1e9, 4e8, 3e8), "B": (1e9, 5e7, 5e6)}
    lines = [
        json.dumps(
            {
                "counter-value": f"{value:.6f}",
                "unit": "",
                "cgroup": group,
                "event": event,
                "event-runtime": 10**9,
                "pcnt-running": 100.0,
            }
        )
        for group, values in shares.items()
        for event, value in zip(("cycles", "stalled-cycles-backend", "r4005"), values, strict=True)
    ]
    return _text(folder / "synthetic-cgroups.json", lines)


READING_CASES = (
    Case("two control groups", _cgroups, (Expected(MEMORY, MEMORY), Expected(NOT_BACKEND, NOT_BACKEND))),
    Case(
        "French: decimal commas between commas",
        _lines(
            "synthetic-fr.csv",
            "1000000000,,cycles,1000000,100,00,,",
            "400000000,,stall_backend,1000000,100,00,,",
            "300000000,,stall_backend_mem,1000000,100,00,,",
        ),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "German: dots in thousands, commas in shares",
        _perf(
            {"cycles": "1.000.000.000", "stall_backend": "400.000.000", "stall_backend_mem": "300.000.000"},
            share="(83,33%)",
        ),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "semicolons",
        _lines("synthetic.csv", "1000000000;;cycles;1000000;100.00;;", "100000000;;stall_backend;1000000;100.00;;"),
        (Expected(NOT_BACKEND, NOT_BACKEND),),
    ),
    Case(
        "stalls listed twice under two names",
        _perf({"cycles": 10**9, "stall_backend": 4 * 10**8, "stalled-cycles-backend": 4 * 10**8, "r4005": 3 * 10**8}),
        (Expected(MEMORY, MEMORY),),
    ),
    Case(
        "shares too small for a verdict",
        _perf({"cycles": 10**9, "stall_backend": 10**8, "stall_frontend": 5 * 10**7}, share="[ 8.33%]"),
        (Expected(CANNOT, CANNOT),),
    ),
    Case("cycles never counted", _perf({"cycles": "<not counted>", "stall_backend": 10**8}), (Expected(UNMEASURED),)),
    Case(
        "nothing supported",
        _perf({"cycles": "<not supported>", "stall_backend": "<not supported>"}),
        (Expected(UNMEASURED),),
    ),
    Case(
        "a compute-bound program with its mix",
        _perf(
            {
                "cycles": 10**9,
                "stall_backend": 2 * 10**8,
                "stall_backend_mem": 10**7,
                "inst_spec": 2 * 10**9,
                "ase_spec": 12 * 10**8,
                "vfp_spec": 10**7,
                "dp_spec": 10**8,
            }
        ),
        (Expected(COMPUTE, COMPUTE),),
    ),
)

KIND_CASES = (*WAITING_CASES, *FRONT_CASES, *ZERO_CASES, *METRIC_CASES, *CORE_CASES, *READING_CASES)
