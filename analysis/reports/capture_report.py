"""The report of one capture: verdicts, what they rest on, and every number an engineer argues from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from analysis import absent_counters, breakdown, metrics
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.phase import Step
from analysis.reports import breakdown_rows, capture_charts, roofline_chart, summary
from analysis.reports.model import EMULATED, Block, Card, Cell, Column, Fact, Fold, Report, Section, Table, Warn
from analysis.verdicts import Check, Outcome, Verdict

_MOST_OPERATIONS, _MOST_TENSORS, MOST_STEPS = 8, 6, 500
_LEVELS = ("L1D", "L2D", "L3D", "LL")
_PERCENTS = {
    "observer_cost_percent": "counting cost",
    "steal_percent": "the hypervisor took",
    "run_delay_percent": "threads ready without a CPU",
}
_FACTS, _DETAILS = ("model", "n_threads", "cpu"), ("kernels", "kv_form", "governor", *_PERCENTS)


def of_capture(capture: Capture, pages: bool = True) -> Report:
    """Everything that is known of a capture, as one report. pages: without, nothing that the text leaves out."""
    phases = capture.judged()
    cards = [summary.of_phase(phase, capture) for phase in phases]
    where = capture_charts.where(capture) if pages else []
    sections = [Section("", where, in_text=False)] if where and phases else []
    sections += [_phase(phase, capture, card, pages) for phase, card in zip(phases, cards, strict=True)]
    if not phases:
        sections.append(Section("nothing but warm-up in this capture", []))
    if pages and any(phase.phase.steps for phase in phases) and not capture.is_emulated:
        lengths, shares = capture_charts.lengths(capture), capture_charts.shares(capture)
        sections.append(Section("Steps over time", [lengths, shares, *_steps(capture)], in_text=False))
    if pages and phases:
        sections.append(Section("Roofline", _roofline(capture), in_text=False))
    return Report(
        title=printable(capture.path.name, 200),
        kind=f"What bounds it, {capture.table.meta.get('format')}",
        facts=known_facts(capture),
        details=[_fact(key, capture.header[key]) for key in _DETAILS if key in capture.header],
        cards=cards,
        sections=sections,
        warnings=[EMULATED] if capture.is_emulated else [],
        notes=[printable(note, 1000) for note in capture.notes],
        picture=[[chart] for chart in where],
    )


def source(capture: Capture) -> str:
    """The capture's whole path and format, and that there are no counters in it where there are none."""
    absent = [absent_counters.of_phase(phase.phase) for phase in capture.judged()]
    without = f", {absent[0].verdict}" if absent and absent[0] and all(absent) else ""
    return f"{printable(str(capture.path), 500)}  ({capture.table.meta.get('format')}{without})"


def _roofline(capture: Capture) -> list[Block]:
    found = roofline_chart.points(capture)
    peak = next((phase.context.read_peak for phase in capture.judged() if phase.context.read_peak), None)
    return [
        roofline_chart.of_points(capture, found),
        Fold("Bytes and work by phase and operation", [roofline_chart.table(found, peak)]),
    ]


def known_facts(capture: Capture) -> list[str]:
    """What is known beside the counts, as short phrases."""
    facts = [_fact(key, capture.header[key]) for key in _FACTS if key in capture.header]
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
    if phase.phase.n_kept < phase.phase.n_tokens:
        parts.append(f"{phase.phase.n_kept} kept")
    if math.isfinite(phase.time(phase.phase.duration_s)):
        parts.append(f"{phase.phase.duration_s:.3f} s")
    if math.isfinite(phase.tokens_per_second):
        parts.append(f"{phase.tokens_per_second:.1f} tokens/s")
    return ", ".join(parts)


def token_summary(phase: JudgedPhase) -> str:
    """How many steps had which verdict; '' for a phase of fewer than two steps."""
    n_steps = len(phase.phase.steps)
    if n_steps < 2:
        return ""
    steps = phase.some_steps
    counted = Counter(str(judgement.combined.outcome) for _, judgement in steps)
    text = ", ".join(f"{n} {outcome}" for outcome, n in counted.most_common())
    return text if len(steps) == n_steps else f"{text}; of {len(steps)} of the {n_steps} steps, evenly chosen"


def _phase(phase: JudgedPhase, capture: Capture, card: Card, pages: bool) -> Section:
    counted = breakdown_rows.has_counts(phase)
    blocks: list[Block] = [Fold("How the verdict was reached", list(_reasons(phase, capture, counted)))]
    numbers = [*(metric_lines(phase) if counted else []), *breakdown_rows.lines(phase)]
    by_step = token_summary(phase) if counted else ""
    numbers += [("by step", by_step)] if by_step else []
    blocks += [Fact(name, text) for name, text in numbers]
    blocks += _breakdown(phase, capture)
    projected = breakdown_rows.projected(phase, capture)
    if projected:
        blocks += [Warn(breakdown_rows.projection_title(projected)), breakdown_rows.projection_table(projected)]
    blocks += _metrics(phase) if counted and pages else []
    return Section(phase.title, blocks, span_of(phase), card)


def _reasons(phase: JudgedPhase, capture: Capture, counted: bool) -> Iterator[Fact]:
    """The rules and what makes them less sure; where nothing was counted, why."""
    combined = phase.judgement.combined
    if not counted:
        yield Fact("counters", without_counts(phase, capture))
    for verdict in phase.judgement.rules if counted else [phase.judgement.waiting]:
        if verdict is not phase.judgement.waiting or verdict.outcome is not Outcome.NOT_MEASURED:
            yield _rule(verdict, combined)
    for reason in combined.reasons:
        yield Fact("less sure", reason)
    for remark in combined.remarks:
        yield Fact("remark", remark)
    if counted:
        for text in missing(phase):
            yield Fact("missing", text)


def _rule(verdict: Verdict, combined: Verdict) -> Fact:
    """A rule's verdict, its intervals, and of its reasons and remarks those that the combined verdict does not show."""
    sure = f" (confidence: {verdict.confidence})" if verdict.is_finding else ""
    under = [Fact("95 % interval", text) for text in map(_interval_of, verdict.checks) if text]
    under += [Fact("less sure", reason) for reason in verdict.reasons if reason not in combined.reasons]
    under += [Fact("remark", remark) for remark in verdict.remarks if remark not in combined.remarks]
    return Fact(verdict.rule, verdict.text + sure, tuple(under))


def _interval_of(check: Check) -> str:
    if check.interval is None:
        return ""
    low, high = (f"{100 * end:.1f} %" if check.unit == "share" else f"{end:.3g}" for end in check.interval)
    return f"{check.label} {low} to {high}"


def without_counts(phase: JudgedPhase, capture: Capture) -> str:
    """Why no rule that reads counts can speak, in one sentence."""
    reason = capture.header.get("counters", "available")
    absent = absent_counters.of_phase(phase.phase)
    nothing = absent.why if absent else "nothing that the rules read was counted"
    why = nothing if reason == "available" else str(reason)
    return f"none: {printable(why, 300)}; stalls, roofline and top-down are not measured"


def _breakdown(phase: JudgedPhase, capture: Capture) -> list[Block]:
    """Operations and tensors, where the capture has them."""
    found = breakdown.of_phase(phase, capture.table)
    if found is None:
        return []
    blocks: list[Block] = [breakdown_rows.table(found, found.operations, "by operation", _MOST_OPERATIONS)]
    if found.tensors:
        tensors = breakdown_rows.table(found, found.tensors, "by tensor", _MOST_TENSORS)
        blocks.append(Fold(f"Time by tensor ({len(found.tensors)})", [tensors]))
    return blocks


def _metrics(phase: JudgedPhase) -> list[Block]:
    """Every ratio with its interval; the text has them in lines, by kind."""
    rows: list[list[Cell]] = []
    for key, ratio in phase.metrics.items():
        spec = metrics.BY_KEY[key]
        if ratio.known:
            interval = phase.interval(key)
            ends = " to ".join(metrics.describe(end, spec.unit) for end in interval) if interval else ""
            label = f"{spec.label} in {spec.unit}" if spec.unit in ("GB/s", "MB/token") else spec.label
            rows.append([label, metrics.describe(ratio.value, spec.unit), ends, _counting(ratio)])
    if not rows:
        return []
    columns = (
        Column("measured"),
        Column("value"),
        Column("95 % interval", secondary=True),
        Column("time counted", secondary=True),
    )
    return [Fold(f"Every ratio ({len(rows)})", [Table("", columns, rows)], in_text=False)]


def _counting(ratio: metrics.Ratio) -> str:
    if ratio.running is None:
        return ""
    return f"{100 * ratio.running:.0f} %" + ("" if ratio.together else ", apart")


def _steps(capture: Capture) -> list[Block]:
    steps = steps_of(capture)
    if not steps:
        return []
    n = len(steps)
    left_out = f", the first {MOST_STEPS} of {n}" if n > MOST_STEPS else f" ({n})"
    return [Fold(f"Every step{left_out}", [steps_table(capture, steps[:MOST_STEPS])], in_text=False)]


def steps_of(capture: Capture) -> list[tuple[JudgedPhase, Step]]:
    """Every step, with its phase."""
    return [(phase, step) for phase in capture.judged() for step in phase.phase.steps]


def steps_table(capture: Capture, steps: Sequence[tuple[JudgedPhase, Step]]) -> Table:
    """A row for each of these: when after the first one, how long, its stalls, its verdict."""
    rows: list[list[Cell]] = []
    begin = min((step.start_s for phase in capture.judged() for step in phase.phase.steps), default=0.0)
    for phase, step in steps:
        judgement = phase.of_step(step)
        ratios = judgement.stalls.ratios
        stalls = [100 * ratios[key].number() if key in ratios else math.nan for key in ("be", "m")]
        times = phase.time(step.start_s - begin), phase.time(1e3 * step.duration_s)
        cells: list[Cell] = [phase.title, float(step.n_past), float(step.n_eval), *times, *stalls]
        rows.append([*cells, str(judgement.combined.outcome)])
    columns = (
        Column("phase"),
        Column("past", 0),
        Column("tokens", 0, secondary=True),
        Column("start", 6, " s", secondary=True, missing="-"),
        Column("length", 3, " ms", missing="-"),
        Column("be", 1, " %", missing="-"),
        Column("m", 1, " %", missing="-"),
        Column("verdict"),
    )
    return Table("", columns, rows)


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
