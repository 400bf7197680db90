"""Ratios of a phase or a step, each with how it was counted: what an engineer reads beside the verdict.

Every ratio is a formula (analysis.formula) over event counts and four parameters that are no events: `SLOTS` a cycle,
`SECONDS`, `TOKENS`, and `LINE`, the 64 bytes of a cache line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from analysis.cores import Core, CoreFormula
from analysis.formula import Formula, NoEvidence, NotMeasured, Outcome, Unknown, parse
from analysis.phase import (
    FOREIGN,
    IMPOSSIBLE,
    METRIC_PREFIX,
    NOT_COUNTED,
    NOT_SUPPORTED,
    OK,
    Count,
    Phase,
    Step,
    scopes_with_all,
)

LINE_BYTES = 64
PARAMETERS = ("SLOTS", "SECONDS", "TOKENS", "LINE")
_PARAMETER_TEXT = {
    "SLOTS": "slots per cycle (see caps/slots of the PMU in sysfs)",
    "SECONDS": "the length of the phase",
    "TOKENS": "the number of tokens",
    "LINE": "the cache line",
}

Subject = Phase | Step


@dataclass(frozen=True)
class Ratio:
    """One value and how far its events were counted.

    value: a float, or why there is none.  events: what it was made of.
    running: smallest share of the span, 0..1, in which one of them was counted; None where the capture does not tell.
    together: True where all were counted in the same moments (one group, or all throughout).
    windows: about how many separate stretches of counting the least counted event has.
    remark: what the value leaves out, '' for nothing.  doubt: why it is worth little, '' where it is not.
    error: standard error over repeated runs, in the value's unit; NaN where not known.
    """

    value: Outcome
    events: tuple[str, ...] = ()
    running: float | None = None
    together: bool = True
    windows: float = math.inf
    remark: str = ""
    doubt: str = ""
    error: float = math.nan

    @property
    def known(self) -> bool:
        return not isinstance(self.value, Unknown)

    def number(self) -> float:
        """The value where it is known, else NaN."""
        return math.nan if isinstance(self.value, Unknown) else self.value


@dataclass(frozen=True)
class Metric:
    """One row of the table below: alternatives are tried in order, `core:NAME` is the core file's own formula.

    printed: names under which tools print the value in percent, taken where no event gives it.
    """

    key: str
    label: str
    unit: str
    alternatives: tuple[str, ...]
    printed: tuple[str, ...] = ()
    section: str = "stalls"


_MIX = "mix"
_PERCENT = "share"
_SLACK = 0.05
"""A ratio of parts may pass 1 by scaling noise only."""


def _per_instruction(key: str, label: str, event: str, *printed: str) -> Metric:
    forms = (f"1000 * {event} / INST_RETIRED", f"1000 * {event} / INST_SPEC")
    return Metric(key, f"{label} / 1000 instructions", "", forms, printed, "cache")


def _refills(level: str, event: str, *printed: str) -> tuple[Metric, ...]:
    return (
        _per_instruction(f"{level.lower()}_mpki", f"{level} refills", event, *printed),
        Metric(f"{level.lower()}_per_token", f"{level} refills / token", "", (f"{event} / TOKENS",), section="cache"),
        Metric(
            f"{level.lower()}_gbps", f"{level} refills", "GB/s", (f"{event} * LINE / SECONDS / 1e9",), section="traffic"
        ),
        Metric(
            f"{level.lower()}_mb_per_token",
            f"{level} refills",
            "MB/token",
            (f"{event} * LINE / TOKENS / 1e6",),
            section="traffic",
        ),
    )


# In order of preference. The second and third hold L1 misses that hit the L2, so their share is no lower bound.
MEMORY_STALLS = ("STALL_BACKEND_MEM", "STALL_BACKEND_MEMBOUND", "(STALL_BACKEND_LD + STALL_BACKEND_ST)")

METRICS: tuple[Metric, ...] = (
    Metric("ipc", "IPC", "instructions/cycle", ("INST_RETIRED / CPU_CYCLES",), ("ipc",), "flow"),
    Metric(
        "be",
        "back-end stalls / cycles",
        _PERCENT,
        ("STALL_BACKEND / CPU_CYCLES",),
        ("backend_stalled_cycles", "Backend Stalled Cycles"),
    ),
    Metric(
        "fe",
        "front-end stalls / cycles",
        _PERCENT,
        ("STALL_FRONTEND / CPU_CYCLES",),
        ("frontend_stalled_cycles", "Frontend Stalled Cycles"),
    ),
    Metric("m", "memory stalls / back-end stalls", _PERCENT, tuple(f"{e} / STALL_BACKEND" for e in MEMORY_STALLS)),
    Metric("mc", "memory stalls / cycles", _PERCENT, tuple(f"{e} / CPU_CYCLES" for e in MEMORY_STALLS)),
    Metric("ase", "Advanced SIMD", _PERCENT, ("ASE_SPEC / INST_SPEC",), ("simd_percentage",), _MIX),
    Metric("sve", "SVE", _PERCENT, ("SVE_INST_SPEC / INST_SPEC",), ("sve_percentage",), _MIX),
    Metric("vfp", "scalar floating point", _PERCENT, ("VFP_SPEC / INST_SPEC",), ("scalar_fp_percentage",), _MIX),
    Metric("dp", "integer data processing", _PERCENT, ("DP_SPEC / INST_SPEC",), ("integer_dp_percentage",), _MIX),
    Metric("loads", "loads", _PERCENT, ("LD_SPEC / INST_SPEC",), ("load_percentage",), _MIX),
    Metric("stores", "stores", _PERCENT, ("ST_SPEC / INST_SPEC",), ("store_percentage",), _MIX),
    Metric(
        "branches",
        "branches",
        _PERCENT,
        ("(BR_IMMED_SPEC + BR_INDIRECT_SPEC) / INST_SPEC", "PC_WRITE_SPEC / INST_SPEC", "BR_RETIRED / INST_RETIRED"),
        ("branch_percentage",),
        _MIX,
    ),
    _per_instruction("l1i_mpki", "L1I refills", "L1I_CACHE_REFILL", "l1i_cache_mpki"),
    _per_instruction("branch_mpki", "mispredicted branches", "BR_MIS_PRED", "branch_mpki"),
    *_refills("L1D", "L1D_CACHE_REFILL", "l1d_cache_mpki"),
    *_refills("L2D", "L2D_CACHE_REFILL", "l2_cache_mpki"),
    *_refills("L3D", "L3D_CACHE_REFILL"),
    *_refills("LL", "LL_CACHE_MISS_RD", "ll_cache_read_mpki"),
)
BY_KEY: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}
MIX_KEYS = tuple(metric.key for metric in METRICS if metric.section == _MIX)


@cache
def _events_of_metrics() -> frozenset[str]:
    formulas = (parse(text) for spec in METRICS for text in spec.alternatives)
    return frozenset(name for formula in formulas for name in formula.names) - frozenset(PARAMETERS)


def events_read(core: Core) -> frozenset[str]:
    """Every event that a metric or one of the core's formulas reads."""
    names = {name for entry in core.formulas.values() for name in entry.formula.names}
    return _events_of_metrics() | (names - set(PARAMETERS))


def tokens_of(subject: Subject) -> int:
    """Tokens evaluated in the phase or step, 0 where not known."""
    return subject.n_tokens if isinstance(subject, Phase) else subject.n_eval


def metric(subject: Subject, key: str, core: Core) -> Ratio:
    """The metric `key` of METRICS. Shares are 0..1, whatever the source printed."""
    spec = BY_KEY[key]
    best = first = measure(subject, parse(spec.alternatives[0]), core)
    if not first.known:
        others = (measure(subject, parse(text), core) for text in spec.alternatives[1:])
        best = next((ratio for ratio in others if ratio.known), first)
    if not best.known:
        return printed(subject, spec.printed, 100 if spec.unit == _PERCENT else 1) or best
    return possible(best) if spec.unit == _PERCENT else best


def possible(ratio: Ratio) -> Ratio:
    """The ratio, a share, or why it cannot be one."""
    if isinstance(ratio.value, float) and not -_SLACK <= ratio.value <= 1 + _SLACK:
        names = ", ".join(event.removeprefix(METRIC_PREFIX) for event in ratio.events)
        text = f"{names}: a share of {100 * ratio.value:.0f} % is impossible, so a count is wrong"
        return replace(ratio, value=NoEvidence(text))
    return ratio


def table(subject: Subject, core: Core) -> dict[str, Ratio]:
    """Every metric of METRICS by key."""
    return {spec.key: metric(subject, spec.key, core) for spec in METRICS}


def core_formula(subject: Subject, name: str, core: Core, slots: int | None, titles: Iterable[str] = ()) -> Ratio:
    """The core file's formula `name` as a share 0..1, or the percentage that a tool printed under one of `titles`."""
    entry = core.formulas.get(name)
    lacking = Ratio(NotMeasured((), f"not measured: {core.title} has no counters for {name.replace('_', ' ')}"))
    ratio = _strongest(subject, entry, core, slots) if entry else lacking
    if isinstance(ratio.value, Unknown):
        return printed(subject, titles) or ratio
    return possible(replace(ratio, value=ratio.value / 100))


def _strongest(subject: Subject, entry: CoreFormula, core: Core, slots: int | None) -> Ratio:
    """The published formula, else its weaker form where only a correction was not counted."""
    full = measure(subject, entry.formula, core, slots)
    if full.known or entry.weaker is None:
        return full
    weaker = measure(subject, entry.weaker, core, slots)
    left_out = ", ".join(event for event in entry.formula.names if event not in entry.weaker.names)
    return replace(weaker, remark=f"without the term of {left_out}, which was not counted") if weaker.known else full


def measure(subject: Subject, formula: Formula, core: Core, slots: int | None = None) -> Ratio:
    """A formula over the subject's counts, taken from one group of events where some group has them all."""
    events = formula.names_but(PARAMETERS)
    if events and subject.counts.keys().isdisjoint(events):
        return _of_none(events, core.title, core.absent, core.seldom)
    counts = subject.together(*events) if events else {}
    if counts is None:
        missing = tuple(event for event in events if not _counted(subject, event))
        untrue = [subject.counts[event] for event in missing if _status(subject, event) == IMPOSSIBLE]
        if untrue:
            return Ratio(NoEvidence("; ".join(dict.fromkeys(count.why for count in untrue))), events)
        if not missing:
            return Ratio(NoEvidence(_why_apart(subject, events)), events)
        return Ratio(NotMeasured(missing, _why_missing(subject, missing, core)), events)
    parameters = _parameters(subject, slots or core.slots)
    outcome = formula.evaluate({**{event: counts[event].value for event in events}, **parameters})
    if isinstance(outcome, NotMeasured):
        named = [_PARAMETER_TEXT.get(name, name) for name in outcome.events]
        outcome = NotMeasured(outcome.events, f"not measured: {', '.join(named)} is not known")
    remark, doubt = _left_out_scopes(subject, events)
    return Ratio(
        outcome,
        events,
        _running(counts),
        counted_as_one(counts),
        _windows(counts, subject),
        remark,
        doubt or _readings_differ(subject, formula, events, counts, parameters),
        _error(outcome, counts),
    )


@lru_cache(1024)
def _of_none(events: tuple[str, ...], core: str, absent: frozenset[str], seldom: frozenset[str]) -> Ratio:
    """Of events none of which is in the capture. core: its title. absent, seldom: what it does not or may not have."""
    reasons = (f"{event} ({_reason_of_none(event in absent, event in seldom, core)})" for event in events)
    return Ratio(NotMeasured(events, f"not measured: {'; '.join(reasons)}"), events)


_LEVELS = {"": "everywhere", "u": "in user space alone, :u", "k": "in the kernel alone, :k"}
_WHERE = {"cpu": "CPU", "core": "core", "thread": "thread", "socket": "socket", "die": "die", "node": "node"}
_MOST_LEFT_OUT = 0.1
"""The share of the counts that may lie on scopes that lack an event of a ratio, and the rest still speaks for all."""


def _why_apart(subject: Subject, events: tuple[str, ...]) -> str:
    """Why events that were all counted make no ratio."""
    levels = {event: subject.counts[event].level for event in events}
    if len(set(levels.values())) > 1:
        told = [f"{event} was counted {_LEVELS.get(level, f'at :{level} alone')}" for event, level in levels.items()]
        return f"{', '.join(told)}: these make no ratio"
    return f"{', '.join(events)} were never counted on the same {_scope_kind(subject)}"


def _scope_kind(subject: Subject) -> str:
    kinds = {_WHERE.get(scope.partition(":")[0], "scope") for scope in subject.parts}
    return kinds.pop() if len(kinds) == 1 else "scope"


def _left_out_scopes(subject: Subject, events: tuple[str, ...]) -> tuple[str, str]:
    """(remark, doubt) on the scopes that lack one of the events: a doubt where they hold much of what was counted."""
    if not subject.parts or len(events) < 2:
        return "", ""
    whole = scopes_with_all(subject.parts, events)
    out = [scope for scope in subject.parts if scope not in whole]
    if not out:
        return "", ""
    lacking = [event for event in events if not all(subject.parts[scope].counted(event) for scope in out)]
    text = f"over {len(whole)} of {len(subject.parts)} {_scope_kind(subject)}s: the others lack {' or '.join(lacking)}"
    shares = [
        sum(part.counts[event].value for scope, part in subject.parts.items() if part.counted(event) and scope in out)
        / (subject.counts[event].value or math.inf)
        for event in events
    ]
    return ("", text) if max(shares) > _MOST_LEFT_OUT else (text, "")


_ALIKE = 2.0
"""Readings of one ratio by several groups of events differ by less than this factor."""


def _readings_differ(
    subject: Subject,
    formula: Formula,
    events: tuple[str, ...],
    used: Mapping[str, Count],
    parameters: Mapping[str, float | None],
) -> str:
    """That the same ratio by another group of events, counted for as long, is quite another one; '' where it is not."""
    if len(events) < 2 or len(subject.groups) < 2 or any(count.group is None for count in used.values()):
        return ""
    least = 0.5 * (_running(used) or 0.0)
    found = []
    for group in subject.groups.values():
        if all(event in group and group[event].status == OK for event in events):
            counts = {event: group[event] for event in events}
            value = formula.evaluate({**{event: count.value for event, count in counts.items()}, **parameters})
            if isinstance(value, float) and not (_running(counts) or math.inf) < least:
                found.append(value)
    low, high = min(found, default=0.0), max(found, default=0.0)
    if len(found) < 2 or high < _ALIKE * low or high - low < _SLACK:
        return ""
    return f"{' / '.join(events)} was read more than once and differs: {low:.3g} to {high:.3g}"


def _error(outcome: Outcome, counts: Mapping[str, Count]) -> float:
    """As of a quotient of independent counts, which is the most that it can be."""
    known = [count.error for count in counts.values() if math.isfinite(count.error)]
    return abs(outcome) * math.hypot(*known) if known and isinstance(outcome, float) else math.nan


def printed(subject: Subject, titles: Iterable[str], scale: float = 100.0) -> Ratio | None:
    """A ratio that a tool printed, over `scale` (a percentage as its share); None where it printed no such title."""
    for title in titles:
        count = subject.counts.get(METRIC_PREFIX + title)
        if count is not None and count.status == IMPOSSIBLE:
            return Ratio(NoEvidence(count.why), (METRIC_PREFIX + title,))
        if count is not None and count.status == OK and math.isfinite(count.value):
            ratio = Ratio(count.value / scale, (METRIC_PREFIX + title,), count.running, doubt=count.doubt)
            return possible(ratio) if scale == 100 else ratio
    return None


def counted_as_one(counts: Mapping[str, Count]) -> bool:
    """Whether a ratio of these is exact: one group, or every one counted all the time (as far as the capture tells)."""
    groups = {count.group for count in counts.values()}
    if len(groups) == 1 and None not in groups:
        return True
    return all(count.running is None or count.running > 0.999 for count in counts.values())


def _counted(subject: Subject, event: str) -> bool:
    count = subject.counts.get(event)
    return count is not None and count.status == OK and math.isfinite(count.value)


def _status(subject: Subject, event: str) -> str:
    count = subject.counts.get(event)
    return count.status if count is not None else NOT_COUNTED


def _parameters(subject: Subject, slots: int | None) -> dict[str, float | None]:
    seconds, tokens = subject.duration_s, tokens_of(subject)
    return {
        "SLOTS": float(slots) if slots else None,
        "SECONDS": seconds if seconds > 0 else None,
        "TOKENS": float(tokens) if tokens > 0 else None,
        "LINE": float(LINE_BYTES),
    }


def _why_missing(subject: Subject, missing: tuple[str, ...], core: Core) -> str:
    return f"not measured: {'; '.join(f'{event} ({_reason(subject, event, core)})' for event in missing)}"


def _reason(subject: Subject, event: str, core: Core) -> str:
    count = subject.counts.get(event)
    if count is not None and count.status == FOREIGN:
        return count.why
    if count is None:
        return _reason_of_none(core.lacks(event), event in core.seldom, core.title)
    if count.status == NOT_SUPPORTED:
        return "refused by the kernel or the core"
    return "its group was never scheduled" if count.status == NOT_COUNTED else "no usable count"


def _reason_of_none(is_absent: bool, is_seldom: bool, core: str) -> str:
    if is_seldom:
        return f"few {core}s have it"
    return f"{core} does not have it" if is_absent else "not in the capture"


def _running(counts: Mapping[str, Count]) -> float | None:
    shares = [count.running for count in counts.values() if count.running is not None]
    return min(shares) if shares else None


# perf rotates multiplexed groups every perf_event_mux_interval_ms, 4 ms unless changed in sysfs.
_ROTATION_S = 0.004


def _windows(counts: Mapping[str, Count], subject: Subject) -> float:
    """Stretches of counting of the least counted event: calls where groups rotate by call, else perf's own rotation."""
    steps = subject.steps if isinstance(subject, Phase) else [subject]
    by_call = any(step.call is not None for step in steps)
    duration_s = subject.duration_s

    def windows(count: Count) -> float:
        if count.running is None or count.running > 0.999:
            return math.inf
        if by_call and count.group is not None:
            return count.samples
        return duration_s * count.running / _ROTATION_S if math.isfinite(duration_s) else math.inf

    return min((windows(count) for count in counts.values()), default=math.inf)


def describe(outcome: Outcome, unit: str) -> str:
    """A value for people: shares in percent, else three digits and the unit if it is one of traffic; or why none."""
    if not isinstance(outcome, float):
        return str(outcome)
    if unit == _PERCENT:
        return f"{100 * outcome:.1f} %"
    shown = f"{outcome:,.0f}" if abs(outcome) >= 1000 else f"{outcome:.3g}"
    return f"{shown} {unit}" if unit in ("GB/s", "MB/token") else shown
