"""The report for a terminal: per phase the verdict, the rules that made it, and the numbers an engineer argues from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from analysis import breakdown, metrics
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.reports import breakdown_rows, summary
from analysis.terminal import aligned, fitted, wrapped
from analysis.verdicts import Outcome, Verdict

_MOST_OPERATIONS, _MOST_TENSORS = 8, 6
_LEVELS = ("L1D", "L2D", "L3D", "LL")
EMULATED = "EMULATED: an emulator's counts and simulated caches, no stalls and no true time; never beside measured ones"
_PERCENTS = {
    "observer_cost_percent": "counting cost",
    "steal_percent": "the hypervisor took",
    "run_delay_percent": "threads ready without a CPU",
}
HEADER_KEYS = ("model", "n_threads", "kernels", "cpu", "governor", *_PERCENTS)


def render(capture: Capture) -> str:
    """The whole report, ending in a line break."""
    lines = fitted([title(capture)])
    for phase in capture.judged():
        lines += wrapped("  ", summary.of_phase(phase, capture).line, "    ")
    lines += heading(capture)
    for phase in capture.judged():
        lines += ["", *_phase(phase, capture)]
    if not capture.judged():
        lines += ["", "nothing but warm-up in this capture"]
    return "\n".join(lines) + "\n"


def title(capture: Capture) -> str:
    """The capture's name and format."""
    return f"{printable(str(capture.path), 500)}  ({capture.table.meta.get('format')})"


def heading(capture: Capture) -> Iterator[str]:
    """What the capture says of itself, and everything that was dropped or doubtful."""
    facts = known_facts(capture)
    if facts:
        yield from wrapped("  ", " · ".join(facts))
    if capture.is_emulated:
        yield from fitted([f"  {EMULATED}"])
    for note in capture.notes:
        yield from wrapped("  note: ", printable(note, 1000))


def known_facts(capture: Capture) -> list[str]:
    """What is known beside the counts, as short phrases."""
    facts = [_fact(key, capture.header[key]) for key in HEADER_KEYS if key in capture.header]
    for phase in capture.judged():
        context = phase.context
        facts.append(f"core {context.core.title}")
        if context.read_peak:
            facts.append(f"read peak {context.read_peak / 1e9:.2f} GB/s")
        if context.model_bytes:
            facts.append(f"model {context.model_bytes / 1e6:.1f} MB a token")
    return list(dict.fromkeys(facts))


def _fact(key: str, value: object) -> str:
    if key in _PERCENTS and isinstance(value, float):
        return f"{_PERCENTS[key]} {value:.1f} %"
    shown = f"{value:g}" if isinstance(value, float) else printable(str(value).replace(",", ", "), 300)
    return f"{key.removeprefix('n_')} {shown}"


def span_of(phase: JudgedPhase) -> str:
    """Tokens, time and speed of a phase, as far as they are known."""
    parts = []
    if phase.phase.n_tokens > 0:
        parts.append(f"{phase.phase.n_tokens} token{'s' if phase.phase.n_tokens > 1 else ''}")
    if math.isfinite(phase.time(phase.phase.duration_s)):
        parts.append(f"{phase.phase.duration_s:.3f} s")
    if math.isfinite(phase.tokens_per_second):
        parts.append(f"{phase.tokens_per_second:.1f} tokens/s")
    return ", ".join(parts)


def token_summary(phase: JudgedPhase) -> str:
    """How many steps had which verdict; '' for a phase of fewer than two steps."""
    if len(phase.steps) < 2:
        return ""
    counted = Counter(str(judgement.combined.outcome) for _, judgement in phase.steps)
    return ", ".join(f"{n} {outcome}" for outcome, n in counted.most_common())


def _phase(phase: JudgedPhase, capture: Capture) -> Iterator[str]:
    combined = phase.judgement.combined
    span = span_of(phase)
    yield from fitted([f"{phase.title}{'  ' + span if span else ''}"])
    found = summary.of_phase(phase, capture)
    sure = f" (confidence: {found.confidence})" if found.confidence else ""
    yield from wrapped("  => ", f"{found.verdict}{sure}")
    counted = breakdown_rows.has_counts(phase)
    if not counted:
        yield from wrapped("     counters:  ", without_counts(capture))
    for verdict in phase.judgement.rules if counted else [phase.judgement.waiting]:
        if verdict is not phase.judgement.waiting or verdict.outcome is not Outcome.NOT_MEASURED:
            yield from _rule(verdict, combined)
    for reason in combined.reasons:
        yield from wrapped("     less sure: ", reason)
    for remark in combined.remarks:
        yield from wrapped("     remark: ", remark)
    numbers = [*(metric_lines(phase) if counted else []), *breakdown_rows.lines(phase)]
    if counted:
        numbers += [("missing", text) for text in missing(phase)]
    for name, text in numbers:
        yield from wrapped(f"     {name + ':':<10} ", text)
    by_step = token_summary(phase)
    if by_step and counted:
        yield from wrapped("     by step:   ", by_step)
    yield from _breakdown(phase, capture)
    yield from _projection(phase, capture)


def without_counts(capture: Capture) -> str:
    """Why no rule that reads counts can speak, in one sentence."""
    reason = capture.header.get("counters", "available")
    why = "nothing that the rules read was counted" if reason == "available" else str(reason)
    return f"none: {printable(why, 300)}; stalls, roofline and top-down are not measured"


def _breakdown(phase: JudgedPhase, capture: Capture) -> Iterator[str]:
    """Operations and tensors as one table, where the capture has them."""
    found = breakdown.of_phase(phase, capture.table)
    if found is None:
        return
    first, *others = breakdown_rows.head(found)
    table = [[f"by operation{first}", *others], *breakdown_rows.rows(found, found.operations[:_MOST_OPERATIONS])]
    if found.tensors:
        tensors = breakdown_rows.rows(found, found.tensors[:_MOST_TENSORS])
        table += [["by tensor", *("" for _ in others)], *tensors]
    yield from aligned(table, (0, -1) if found.of_time else (0,), "     ")


def _projection(phase: JudgedPhase, capture: Capture) -> Iterator[str]:
    """The projection on an assumed machine, where one was assumed."""
    found = breakdown_rows.projected(phase, capture)
    if found is None:
        return
    yield from wrapped("     ", breakdown_rows.projection_title(found))
    yield from aligned(breakdown_rows.projection_rows(found), (0, -1), "     ")


def _rule(verdict: Verdict, combined: Verdict) -> Iterator[str]:
    """A rule's verdict, and of its reasons and remarks those that the combined verdict does not show."""
    sure = f" (confidence: {verdict.confidence})" if verdict.is_finding else ""
    yield from wrapped(f"     {verdict.rule + ':':<10} ", verdict.text + sure)
    for reason in verdict.reasons:
        if reason not in combined.reasons:
            yield from wrapped("       less sure: ", reason)
    for remark in verdict.remarks:
        if remark not in combined.remarks:
            yield from wrapped("       remark: ", remark)


def missing(phase: JudgedPhase) -> list[str]:
    """Why metrics have no value: each reason once, with the events that it concerns."""
    by_reason: dict[str, list[str]] = {}
    for ratio in phase.metrics.values():
        for part in [] if ratio.known else str(ratio.value).removeprefix("not measured: ").split("; "):
            event, _, reason = part.partition(" (")
            by_reason.setdefault(reason.removesuffix(")") or part, []).append(event if reason else "")
    return [f"{', '.join(dict.fromkeys(events))}: {why}" if any(events) else why for why, events in by_reason.items()]


def metric_lines(phase: JudgedPhase) -> list[tuple[str, str]]:
    """IPC, shares, instruction mix, refills, misses and traffic as (name, text), as far as they were measured."""
    ratios = phase.metrics

    def value(key: str) -> str:
        spec = metrics.BY_KEY[key]
        return metrics.describe(ratios[key].value, spec.unit) if ratios[key].known else ""

    def per_level(*parts: tuple[str, str]) -> str:
        levels = []
        for level in _LEVELS:
            shown = [value(f"{level.lower()}_{key}") + after for key, after in parts if value(f"{level.lower()}_{key}")]
            levels += [f"{level} {', '.join(shown)}"] if shown else []
        return "; ".join(levels)

    def listed(keys: Iterable[str]) -> str:
        return ", ".join(f"{metrics.BY_KEY[key].label} {value(key)}" for key in keys if value(key))

    clock = phase.evidence.frequency
    lines = [
        ("IPC", value("ipc") and value("ipc") + (f" at {clock / 1e9:.2f} GHz" if math.isfinite(clock) else "")),
        ("shares", listed(("be", "fe", "m", "mc"))),
        ("mix", listed(metrics.MIX_KEYS)),
        ("refills", per_level(("mpki", " / 1000 instructions"), ("per_token", " / token"))),
        ("misses", listed(("l1i_mpki", "branch_mpki"))),
        ("traffic", per_level(("gbps", ""), ("mb_per_token", ""))),
    ]
    return [(name, text) for name, text in lines if text]
