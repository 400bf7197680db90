"""Synthetic captures in the formats of other tools, each with the verdicts that a person wrote for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import synthetic_captures as captures
from synthetic_captures import decode, prefill
from synthetic_cases import (
    BACKEND,
    CANNOT,
    COARSE,
    COMPUTE,
    MEMORY,
    Case,
    Expected,
    Names,
    counts,
)

from analysis import cores

STALLS = counts(2.0, be=0.6, m=0.5)
RUN = [*prefill(512, 0.9, counts(0.9, be=0.2, m=0.1, mix=0.7)), *decode(40, 0.05, counts(0.05, be=0.6, m=0.5, mix=0.5))]
SHORT = decode(40, 0.02, counts(0.02, be=0.6, m=0.5))
PERF_NAMES = {"CPU_CYCLES": "cycles", "STALL_BACKEND": "stalled-cycles-backend", "STALL_BACKEND_MEM": "r4005"}

_Write = Callable[[Path, Names], Path]


def _perf_total(counted: Mapping[str, float], running: Mapping[str, float] | None = None) -> _Write:
    named = {PERF_NAMES.get(event, event): value for event, value in counted.items()}
    shares = {PERF_NAMES.get(event, event): share for event, share in (running or {}).items()}
    return lambda folder, _: captures.write_perf_total(folder / "synthetic-perf.csv", named, 2.0, shares)


def _perf_interval(calls: list[captures.Call], bin_s: float, **how: object) -> _Write:
    def write(folder: Path, names: Names) -> Path:
        captures.write_markers(folder / "synthetic-markers.csv", captures.relabelled(calls, names))
        return captures.write_perf_interval(folder / "synthetic-perf-i.csv", calls, bin_s, **how)  # type: ignore[arg-type]

    return write


def _perf_json(folder: Path, _: Names) -> Path:
    lines = [
        json.dumps({"counter-value": f"{value:.6f}", "unit": "", "event": PERF_NAMES[event], "pcnt-running": 100.0})
        for event, value in STALLS.items()
    ]
    return _text(
        folder / "synthetic-perf.json", [line.replace("}", ', "event-runtime" : 2000000000}') for line in lines]
    )


def _perf_text(folder: Path, _: Names) -> Path:
    rows = [f"{value:>20,.0f}      {PERF_NAMES[event]:<30} (74.98%)" for event, value in STALLS.items()]
    head = ["", " Performance counter stats for 'synthetic':", ""]
    return _text(folder / "synthetic-perf.txt", [*head, *rows, "", "       2.000000000 seconds time elapsed", ""])


def _perf_not_supported(folder: Path, _: Names) -> Path:
    path = captures.write_perf_total(folder / "synthetic-perf.csv", counts(2.0, be=0.6), 2.0)
    return _text(path, [*path.read_text().splitlines(), "<not supported>,,STALL_BACKEND_MEM,0,100.00,,"])


def _per_cpu(folder: Path, _: Names) -> Path:
    lines = []
    for cpu, scale in ((0, 0.25), (1, 0.75)):
        lines += [
            f"CPU{cpu},{value * scale:.0f},,{PERF_NAMES[event]},2000000000,100.00,," for event, value in STALLS.items()
        ]
    return _text(folder / "synthetic-perf-a.csv", lines)


def _big_little(folder: Path, _: Names) -> Path:
    shares = {"armv8_cortex_a720": counts(2.0, be=0.6, m=0.5), "armv8_cortex_a520": counts(2.0, be=0.3, m=0.1, mix=0.6)}
    lines = [
        f"{value:.0f},,{pmu}/{event.lower()}/,2000000000,100.00,,"
        for pmu, counted in shares.items()
        for event, value in counted.items()
    ]
    return _text(folder / "synthetic-perf-big-little.csv", lines)


def _simpleperf(folder: Path, _: Names) -> Path:
    names = {
        "CPU_CYCLES": "cpu-cycles",
        "STALL_BACKEND": "raw-stall-backend",
        "STALL_BACKEND_MEM": "raw-stall-backend-mem",
    }
    rows = [f"{value:.0f},{names[event]},1.000000,G/sec,(100%)," for event, value in STALLS.items()]
    head = "Performance counter statistics,"
    return _text(folder / "synthetic-simpleperf.csv", [head, *rows, "Total test time,2.000000,seconds,"])


def _topdown_metrics(backend: float, memory: float) -> _Write:
    shares = {"Backend Bound": backend, "Frontend Bound": 10.0, "Retiring": 85.0 - backend, "Bad Speculation": 5.0}
    deeper = {"Backend Memory Bound": memory, "Backend Core Bound": 100.0 - memory}

    def write(folder: Path, _: Names) -> Path:
        rows = [f",Topdown_L1,1,1,{name},{value},%" for name, value in shares.items()]
        rows += [f",Topdown_Backend,1,2,{name},{value},%" for name, value in deeper.items()]
        return _text(folder / "synthetic-topdown.csv", ["time,group,stage,level,metric,value,units", *rows])

    return write


def _topdown_events(folder: Path, _: Names) -> Path:
    rows = [f"1,,{event},{value:.0f}" for event, value in STALLS.items()]
    return _text(folder / "synthetic-topdown-events.csv", ["run,time,event,value", *rows])


def _streamline(calls: list[captures.Call], bin_s: float) -> _Write:
    return lambda folder, _: captures.write_streamline(folder / "synthetic-streamline", calls, bin_s)


def _text(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


MARKED = {"markers": "synthetic-markers.csv", "offset_s": 1.0, "core": cores.load("neoverse-n2-r0p3")}
STREAMED = [
    *prefill(512, 0.9, counts(0.9, be=0.2, fe=0.02, m=0.1, ipc=2.0, l2=1.0)),
    *decode(40, 0.05, counts(0.05, be=0.6, fe=0.02, m=0.5, ipc=0.8, l2=30)),
]

FORMAT_CASES = (
    Case("perf CSV", _perf_total(STALLS), (Expected(MEMORY, MEMORY, confidence="medium"),)),
    Case(
        "perf CSV, multiplexed to uselessness",
        _perf_total(STALLS, dict.fromkeys(STALLS, 12.5)),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "perf CSV, multiplexed in halves",
        _perf_total(STALLS, dict.fromkeys(STALLS, 50.0)),
        (Expected(MEMORY, MEMORY, confidence="low"),),
    ),
    Case(
        "perf CSV, one event never scheduled",
        _perf_total(STALLS, {"STALL_BACKEND_MEM": 0.0}),
        (Expected(BACKEND, BACKEND),),
    ),
    Case("perf CSV, memory stalls not supported", _perf_not_supported, (Expected(BACKEND, BACKEND),)),
    Case("perf CSV per CPU, added up", _per_cpu, (Expected(MEMORY, MEMORY),)),
    Case("perf CSV of two kinds of core", _big_little, (Expected(MEMORY, MEMORY), Expected(COMPUTE, COMPUTE))),
    Case(
        "perf intervals cut by markers",
        _perf_interval(RUN, 0.005),
        (Expected(COMPUTE, COMPUTE), Expected(MEMORY, MEMORY, step=MEMORY)),
        MARKED,
    ),
    Case(
        "perf intervals, named by the PMU",
        _perf_interval(RUN, 0.005, pmu="armv8_neoverse_n2"),
        (Expected(COMPUTE, COMPUTE), Expected(MEMORY, MEMORY)),
        MARKED,
    ),
    Case(
        "perf intervals as long as a token",
        _perf_interval(SHORT, 0.02),
        (Expected(MEMORY, MEMORY, step=COARSE),),
        MARKED,
    ),
    Case(
        "perf intervals as long as the phase",
        _perf_interval(SHORT, 0.2),
        (Expected(COARSE, COARSE, COARSE, COARSE, step=COARSE),),
        MARKED,
    ),
    Case("perf JSON", _perf_json, (Expected(MEMORY, MEMORY),)),
    Case("perf text, multiplexed in three quarters", _perf_text, (Expected(MEMORY, MEMORY, confidence="low"),)),
    Case("simpleperf", _simpleperf, (Expected(MEMORY, MEMORY),)),
    Case(
        "topdown-tool metrics, memory",
        _topdown_metrics(60, 80),
        (Expected(MEMORY, topdown=MEMORY, confidence="medium"),),
    ),
    Case(
        "topdown-tool metrics, retiring",
        _topdown_metrics(10, 50),
        (Expected("not back-end limited: retiring", topdown="not back-end limited: retiring"),),
    ),
    Case("topdown-tool events", _topdown_events, (Expected(MEMORY, MEMORY, confidence="medium"),)),
    Case(
        "Streamline export",
        _streamline(STREAMED, 0.001),
        (Expected(COMPUTE, COMPUTE, CANNOT), Expected(MEMORY, MEMORY, CANNOT, step=MEMORY)),
        {"core": cores.load("cortex-x4")},
    ),
)
