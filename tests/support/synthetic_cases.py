"""Synthetic captures with the verdicts that a person wrote for them: a table, read top to bottom.

Nothing here was measured. Every case writes one capture and lists what each of its phases has to be called, in order.
The numbers are chosen so that the answer can be checked in the head against the thresholds: back end 15 %, memory 40 %
of it and 10 % of cycles, core 20 %, mix 50 %, L2 refills 5, roofline 65 and 35 %, slots 20 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import synthetic_captures as captures
from synthetic_captures import Call, decode, prefill

GHZ = 2.0
PEAK = 40.0
N2, N2_OLD, N3, V1, V2 = "0x410fd493", "0x410fd490", "0x410fd8e0", "0x411fd402", "0x410fd4f0"
A76, A520 = "0x414fd0b1", "0x410fd800"

Names = Mapping[str, str]


@dataclass(frozen=True)
class Expected:
    """combined, stalls, roofline, top-down: the outcomes. confidence: of the combined verdict. step: of every step.

    waiting: the outcome of the rule of that name, where the case is about it.
    """

    combined: str
    stalls: str = "not measured"
    roofline: str = "not measured"
    topdown: str = "not measured"
    confidence: str | None = None
    step: str | None = None
    waiting: str | None = None


@dataclass(frozen=True)
class Case:
    """write(folder, names) gives the capture, labels replaced by `names`; options are fields of judging.Options."""

    name: str
    write: Callable[[Path, Names], Path]
    expected: tuple[Expected, ...]
    options: Mapping[str, object] | None = None


def counts(seconds: float, **shares: float) -> dict[str, float]:
    """Counts of `seconds` at GHZ from ratios: be, fe, mc and m as in pmu.md, ipc, mix, l2 per 1000 instructions, gbps.

    l2_gbps: refills of the L2 as a bandwidth.  Keys in capitals are counts per cycle.
    """
    cycles = seconds * GHZ * 1e9
    instructions = cycles * shares.get("ipc", 1.5)
    result = {"CPU_CYCLES": cycles}
    if "be" in shares:
        result["STALL_BACKEND"] = cycles * shares["be"]
    if "fe" in shares:
        result["STALL_FRONTEND"] = cycles * shares["fe"]
    if "m" in shares:
        result["STALL_BACKEND_MEM"] = cycles * shares["be"] * shares["m"]
    if "ipc" in shares or "l2" in shares:
        result["INST_RETIRED"] = instructions
    if "mix" in shares:
        spec = {"ASE_SPEC": 0.8, "VFP_SPEC": 0.05, "DP_SPEC": 0.15}
        result |= {event: instructions * shares["mix"] * part for event, part in spec.items()}
        result["INST_SPEC"] = instructions
    if "l2" in shares:
        result["L2D_CACHE_REFILL"] = instructions * shares["l2"] / 1000
    if "gbps" in shares:
        result["L3D_CACHE_REFILL"] = seconds * shares["gbps"] * 1e9 / 64
    if "l2_gbps" in shares:
        result["L2D_CACHE_REFILL"] = seconds * shares["l2_gbps"] * 1e9 / 64
    return result | {name: cycles * share for name, share in shares.items() if name.isupper()}


def own(
    calls: Sequence[Call],
    midr: str | None = N2,
    groups: captures.Groups | None = None,
    pmus: Names | None = None,
    **header: object,
) -> Callable[[Path, Names], Path]:
    """One of our captures of these calls, by a core of this MIDR."""
    keys: dict[str, object] = {"midr": midr} if midr else {}

    def write(folder: Path, names: Names) -> Path:
        relabelled = captures.relabelled(calls, names)
        return captures.write_capture(folder / "synthetic.csv", relabelled, keys | header, groups, pmus)

    return write


def tokens(n: int = 20, seconds: float = 0.02, **shares: float) -> list[Call]:
    """`n` calls of one token, counts from ratios (see `counts`)."""
    return decode(n, seconds, counts(seconds, **shares))


def prompt(tokens: int = 512, seconds: float = 0.9, **shares: float) -> list[Call]:
    """One call of a whole prompt, counts from ratios (see `counts`)."""
    return prefill(tokens, seconds, counts(seconds, **shares))


def _swinging(low: float, high: float) -> list[Call]:
    """Tokens whose memory share swings from one to the next."""
    calls = []
    for i in range(20):
        calls += [replace(call, n_past=512 + i) for call in tokens(1, be=0.6, m=low if i % 2 else high)]
    return calls


def _slowed(calls: Sequence[Call], slow: int) -> list[Call]:
    """The last `slow` calls at two thirds of the frequency."""
    n = len(calls)
    return [replace(call, frequency=2e9 if i < n - slow else 1.3e9) for i, call in enumerate(calls)]


def _moved(calls: Sequence[Call], moved: int) -> list[Call]:
    return [replace(call, migrations=1 if i < moved else 0) for i, call in enumerate(calls)]


def _alternating(calls: Sequence[Call]) -> list[Call]:
    """Group g0 counts in even calls, g1 in odd ones."""
    return [replace(call, running={"g0": float(i % 2 == 0), "g1": float(i % 2)}) for i, call in enumerate(calls)]


def _half(calls: Sequence[Call], share: float) -> list[Call]:
    return [replace(call, running={"g0": share}) for call in calls]


STALL_GROUPS = {"g0": ["CPU_CYCLES", "STALL_BACKEND"], "g1": ["STALL_BACKEND_MEM"]}
BIG_LITTLE = {"g0": ["CPU_CYCLES", "STALL_BACKEND", "STALL_BACKEND_MEM"], "g1": ["CPU_CYCLES", "STALL_FRONTEND"]}
PMUS = {"g0": "armv8_cortex_a720", "g1": "armv8_cortex_a520"}
ROOF = {"read_peak_gbps": PEAK}

MEMORY, COMPUTE, MIXED = "memory-bound", "compute-bound", "mixed"
ALONE, UNCLEAR = "compute-bound, by stalls alone", "core-bound, cause unclear"
FRONT, RETIRING, SPECULATION = "front-end-bound", "not back-end limited: retiring", "bad-speculation-bound"
NOT_BACKEND, DISAGREE = "not back-end limited", "rules disagree"
BACKEND, WAITING = "back-end-bound, memory or core unknown", "waiting-bound"
UNMEASURED, CANNOT, COARSE = "not measured", "cannot tell", "insufficient resolution"

SLOTS_OF_N2 = {
    "STALL_SLOT_BACKEND": 0.5,
    "STALL_SLOT_FRONTEND": 3.0,
    "STALL_SLOT": 3.5,
    "OP_RETIRED": 1.9,
    "OP_SPEC": 2.0,
    "BR_MIS_PRED": 0.0,
}
MODEL = {"bytes_per_token": 600e6}

STALL_CASES = (
    Case(
        "memory-bound tokens",
        own(tokens(be=0.6, m=0.5)),
        (Expected(MEMORY, MEMORY, step=MEMORY, confidence="medium"),),
    ),
    Case(
        "memory-bound tokens, by two rules",
        own(tokens(be=0.6, m=0.5, gbps=32), **ROOF),
        (Expected(MEMORY, MEMORY, MEMORY, confidence="high"),),
    ),
    Case("compute-bound prompt", own(prompt(be=0.25, m=0.1, mix=0.7)), (Expected(COMPUTE, COMPUTE),)),
    Case(
        "the example of the field: 10 % in prefill, 50 % in decode",
        own([*prompt(be=0.2, m=0.1, mix=0.7), *tokens(be=0.6, m=0.5, mix=0.5)]),
        (Expected(COMPUTE, COMPUTE), Expected(MEMORY, MEMORY)),
    ),
    Case(
        "a prompt of few tokens that is memory-bound",
        own(prompt(4, 0.025, be=0.7, m=0.6, mix=0.6, gbps=31), **ROOF),
        (Expected(MEMORY, MEMORY, MEMORY),),
    ),
    Case(
        "tokens that are compute-bound",
        own(tokens(be=0.35, m=0.12, mix=0.65, gbps=10), **ROOF),
        (Expected(COMPUTE, COMPUTE, COMPUTE, confidence="high", step=COMPUTE),),
    ),
    Case(
        "tokens at 60 % of the bandwidth that stall in the core",
        own(tokens(be=0.4, m=0.15, mix=0.6, gbps=24), **ROOF),
        (Expected(DISAGREE, COMPUTE, MIXED, confidence="low"),),
    ),
    Case("front end", own(tokens(be=0.05, fe=0.4)), (Expected(FRONT, FRONT),)),
    Case("retiring", own(prompt(be=0.08, fe=0.05, ipc=3.2)), (Expected(RETIRING, RETIRING),)),
    Case("little stalls, front end not counted", own(tokens(be=0.08)), (Expected(NOT_BACKEND, NOT_BACKEND),)),
    Case("between the thresholds", own(tokens(be=0.5, m=0.3)), (Expected(MIXED, MIXED),)),
    Case("much of little", own(tokens(be=0.17, m=0.5)), (Expected(MIXED, MIXED),)),
    Case("no instruction mix", own(prompt(be=0.3, m=0.1)), (Expected(ALONE, ALONE),)),
    Case(
        "no instruction mix, but a low bandwidth",
        own(prompt(be=0.3, m=0.1, gbps=4), **ROOF),
        (Expected(COMPUTE, ALONE, COMPUTE),),
    ),
    Case(
        "mix of loads, many L2 refills",
        own(tokens(be=0.5, m=0.1, mix=0.2, l2=20)),
        (Expected(UNCLEAR, UNCLEAR, CANNOT),),
    ),
    Case(
        "mix of loads, few L2 refills",
        own(tokens(be=0.5, m=0.1, mix=0.2, l2=1)),
        (Expected(COMPUTE, COMPUTE, CANNOT),),
    ),
    Case("many L2 refills alone", own(tokens(be=0.5, m=0.1, l2=20)), (Expected(UNCLEAR, UNCLEAR, CANNOT),)),
    Case(
        "memory stalls at a low bandwidth",
        own(tokens(be=0.6, m=0.6, gbps=4), **ROOF),
        (Expected(DISAGREE, MEMORY, COMPUTE, confidence="low"),),
    ),
    Case(
        "memory share that swings over the threshold",
        own(_swinging(0.3, 0.53)),
        (Expected(MEMORY, MEMORY, confidence="low"),),
    ),
    Case(
        "close to the threshold, one call", own(prompt(be=0.6, m=0.41)), (Expected(MEMORY, MEMORY, confidence="low"),)
    ),
    Case("two tokens", own(tokens(2, be=0.6, m=0.5)), (Expected(MEMORY, MEMORY, confidence="medium"),)),
    Case("core that nobody named", own(tokens(be=0.6, m=0.5), None), (Expected(MEMORY, MEMORY),)),
    Case(
        "only the newer memory-stall event",
        own(tokens(be=0.6, STALL_BACKEND_MEMBOUND=0.36), A520),
        (Expected(MEMORY, MEMORY),),
    ),
)

MISSING_CASES = (
    Case("no counters at all", own([replace(call, counts={}) for call in tokens()]), (Expected(UNMEASURED),)),
    Case("cycles alone", own(tokens()), (Expected(UNMEASURED),)),
    Case("back-end stalls alone", own(tokens(be=0.6)), (Expected(BACKEND, BACKEND, confidence="medium"),)),
    Case(
        "no memory stalls, but a high bandwidth",
        own(tokens(be=0.6, gbps=32), **ROOF),
        (Expected(MEMORY, BACKEND, MEMORY, confidence="medium"),),
    ),
    Case("A76 has no memory-stall event", own(tokens(be=0.6, fe=0.02), A76), (Expected(BACKEND, BACKEND),)),
    Case(
        "A76 whose L3 under-counts",
        own(tokens(be=0.6, gbps=8, l2_gbps=32), A76, **ROOF),
        (Expected(BACKEND, BACKEND, CANNOT),),
    ),
    Case(
        "A76 whose L3 under-counts, and a model larger than any cache",
        own(tokens(be=0.6, gbps=8, l2_gbps=32), A76, **ROOF, **MODEL),
        (Expected(MEMORY, BACKEND, MEMORY, confidence="medium"),),
    ),
    Case(
        "A76 with a high lower bound", own(tokens(be=0.6, gbps=30), A76, **ROOF), (Expected(MEMORY, BACKEND, MEMORY),)
    ),
    Case(
        "A76 with a low upper bound",
        own(tokens(be=0.6, l2_gbps=8), A76, **ROOF),
        (Expected(COMPUTE, BACKEND, COMPUTE),),
    ),
    Case("refills without a peak", own(tokens(gbps=30)), (Expected(CANNOT, roofline=CANNOT),)),
    Case("refills above the peak", own(tokens(gbps=60), **ROOF), (Expected(CANNOT, roofline=CANNOT),)),
    Case("stalls above all cycles", own(tokens(be=1.4, m=0.5)), (Expected(CANNOT, CANNOT),)),
    Case(
        "no cycles",
        own([replace(c, counts=dict.fromkeys(c.counts, 0.0)) for c in tokens(be=0.6)]),
        (Expected(CANNOT, CANNOT),),
    ),
    Case(
        "emulated counts",
        own(
            [replace(c, counts={"INST_RETIRED": 1e7, "ASE_SPEC": 5e6, "L3D_CACHE_REFILL": 1e6}) for c in tokens()],
            None,
            {"emulated": ["INST_RETIRED", "ASE_SPEC", "L3D_CACHE_REFILL"]},
            {"emulated": "emulated"},
            **(ROOF | {"emulated": "yes"}),
        ),
        (Expected(UNMEASURED),),
    ),
)

SAMPLING_CASES = (
    Case(
        "one group, half of the time",
        own(_half(tokens(be=0.6, m=0.5), 0.5)),
        (Expected(MEMORY, MEMORY, confidence="medium"),),
    ),
    Case("one group, a twentieth of the time", own(_half(tokens(be=0.6, m=0.5), 0.05)), (Expected(CANNOT, CANNOT),)),
    Case(
        "groups that take turns over forty calls",
        own(_alternating(tokens(40, be=0.6, m=0.5)), groups=STALL_GROUPS),
        (Expected(MEMORY, MEMORY, confidence="low"),),
    ),
    Case(
        "groups that take turns over four calls",
        own(_alternating(tokens(4, be=0.6, m=0.5)), groups=STALL_GROUPS),
        (Expected(BACKEND, BACKEND),),
    ),
    Case(
        "throttled most of the time",
        own(_slowed(tokens(be=0.6, m=0.5), 14)),
        (Expected(CANNOT, CANNOT, CANNOT, CANNOT),),
    ),
    Case(
        "throttled at the end",
        own(_slowed(tokens(be=0.6, m=0.5), 4)),
        (Expected(MEMORY, MEMORY, confidence="medium"),),
    ),
    Case(
        "some calls changed CPU",
        own(_moved(tokens(be=0.6, m=0.5), 4)),
        (Expected(MEMORY, MEMORY, confidence="medium"),),
    ),
    Case(
        "most calls changed CPU, all of one kind",
        own(_moved(tokens(be=0.6, m=0.5), 15)),
        (Expected(MEMORY, MEMORY, confidence="low"),),
    ),
    Case(
        "big.LITTLE: each kind of core for itself",
        own(tokens(be=0.6, m=0.5, fe=0.3), None, BIG_LITTLE, PMUS),
        (Expected(MEMORY, MEMORY), Expected(UNMEASURED)),
    ),
    Case(
        "big.LITTLE: the bandwidth of one kind of core says nothing of the machine's",
        own(tokens(gbps=4), None, {"g0": ["L3D_CACHE_REFILL"], "g1": ["CPU_CYCLES"]}, PMUS, **ROOF),
        (Expected(CANNOT, roofline=CANNOT), Expected(UNMEASURED)),
    ),
    Case(
        "big.LITTLE: calls that wandered between kinds",
        own(_moved(tokens(be=0.6, m=0.5, fe=0.3), 15), None, BIG_LITTLE, PMUS),
        (Expected(CANNOT, CANNOT, CANNOT, CANNOT), Expected(CANNOT, CANNOT, CANNOT, CANNOT)),
    ),
)

SLOT_CASES = (
    Case(
        "N2 before r0p3: a slot too many a cycle",
        own(tokens(**SLOTS_OF_N2), N2_OLD),
        (Expected(RETIRING, topdown=RETIRING),),
    ),
    Case(
        "N2 r0p3: the same counts mean the front end",
        own(tokens(**SLOTS_OF_N2), N2),
        (Expected(FRONT, topdown=FRONT),),
    ),
    Case(
        "V1: slots say back end, stalls say which",
        own(tokens(be=0.6, m=0.5, STALL_SLOT_BACKEND=4.0), V1),
        (Expected(MEMORY, MEMORY, topdown=MEMORY, confidence="medium"),),
    ),
    Case(
        "V1: slots say back end, nothing says which",
        own(tokens(STALL_SLOT_BACKEND=4.0), V1),
        (Expected(BACKEND, topdown=BACKEND),),
    ),
    Case(
        "V2: mispredicted branches",
        own(
            tokens(
                STALL_SLOT_BACKEND=1.0,
                STALL_SLOT_FRONTEND=1.2,
                STALL_SLOT=2.2,
                OP_RETIRED=3,
                OP_SPEC=5,
                BR_MIS_PRED=0.05,
            ),
            V2,
        ),
        (Expected(SPECULATION, topdown=SPECULATION),),
    ),
    Case(
        "N3: level 2 says memory",
        own(
            tokens(be=0.6, m=0.5, STALL_SLOT_BACKEND=3.0, STALL_BACKEND_MEMBOUND=0.45, STALL_BACKEND_CPUBOUND=0.15), N3
        ),
        (Expected(MEMORY, MEMORY, topdown=MEMORY, confidence="high"),),
    ),
    Case(
        "N3: level 2 says core",
        own(
            prompt(
                be=0.4, m=0.1, mix=0.7, STALL_SLOT_BACKEND=2.0, STALL_BACKEND_MEMBOUND=0.08, STALL_BACKEND_CPUBOUND=0.32
            ),
            N3,
        ),
        (Expected(COMPUTE, COMPUTE, topdown=COMPUTE),),
    ),
    Case(
        "N3: level 2 is even",
        own(tokens(be=0.4, m=0.3, STALL_SLOT_BACKEND=2.0, STALL_BACKEND_MEMBOUND=0.2, STALL_BACKEND_CPUBOUND=0.2), N3),
        (Expected(MIXED, MIXED, topdown=MIXED),),
    ),
    Case(
        "slots told by the machine",
        own(
            tokens(STALL_SLOT_BACKEND=0.3, STALL_SLOT_FRONTEND=5, STALL_SLOT=5.3, OP_RETIRED=4, OP_SPEC=4),
            None,
            slots=10,
        ),
        (Expected(FRONT, topdown=FRONT),),
    ),
)
