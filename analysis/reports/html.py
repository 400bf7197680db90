"""One self-contained HTML page a capture: verdicts, numbers and pictures, fit for a phone, nothing fetched, no script.

Everything that stems from a capture goes through `html.escape`; a content security policy forbids what might slip by.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator, Sequence

from analysis import breakdown, metrics
from analysis.errors import printable
from analysis.judging import Capture, JudgedPhase
from analysis.reports import breakdown_rows, pictures, roofline_chart, summary
from analysis.reports.text import EMULATED, known_facts, span_of, token_summary, without_counts
from analysis.verdicts import Check, Family, Verdict
from analysis.verdicts.weigh import compared

_MOST_STEPS = 500
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TONES = {
    Family.MEMORY: "memory",
    Family.CORE: "core",
    Family.FRONTEND: "front",
    Family.MIXED: "mixed",
    Family.WAITING: "waiting",
}
_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
:root { --memory: #D55E00; --core: #0072B2; --front: #56B4E9; --mixed: #E69F00; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 62rem; }
body { overflow-wrap: break-word; } dt { font-weight: 600; margin-top: .5rem; } dd { margin: 0 0 0 1rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
img { width: 100%; min-width: 36rem; height: auto; background: #fff; border-radius: 4px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { white-space: nowrap; } details { margin: .6rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; padding-left: .6rem; }
.verdict { border-left: .5rem solid #888; padding: .3rem .8rem; margin: .5rem 0; font-size: 1.1rem; font-weight: 600; }
.verdict small { font-weight: 400; } .memory { border-color: var(--memory); } .core { border-color: var(--core); }
.front { border-color: var(--front); } .mixed { border-color: var(--mixed); }
.waiting { border-color: #CC79A7; } .verdict p { font-size: 1rem; font-weight: 400; margin: .2rem 0; }
.warn { border: 2px solid var(--memory); padding: .5rem .8rem; } summary { cursor: pointer; } li { margin: .2rem 0; }
"""


def render(capture: Capture) -> str:
    """The page as text."""
    title = f"{capture.path.name}: what bounds it"
    body = "\n".join(_body(capture))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _text(value: object) -> str:
    """A value of a capture as HTML text: printable, of bounded length, escaped for elements and attributes alike."""
    return html.escape(printable(str(value), 2000), quote=True)


def _body(capture: Capture) -> Iterator[str]:
    yield f"<h1>{_text(capture.path.name)}</h1>"
    yield f"<p>{_text(' · '.join([str(capture.table.meta.get('format')), *known_facts(capture)]))}</p>"
    if capture.is_emulated:
        yield f'<p class="warn">{_text(EMULATED)}</p>'
    for phase in capture.judged():
        yield _card(phase, capture)
    yield from _list("Notes on reading", capture.notes)
    yield _image(pictures.stalls(capture, "svg"), "svg+xml", "shares of cycles by phase")
    for phase in capture.judged():
        yield from _phase(phase, capture)
    if any(phase.phase.steps for phase in capture.judged()) and not capture.is_emulated:
        yield "<h2>Steps over time</h2>"
        yield _image(pictures.timeline(capture), "png", "length and stall shares of every step over time")
    yield "<h2>Roofline</h2>"
    yield _image(
        roofline_chart.picture(capture, form="svg"), "svg+xml", "work a second over work a byte, by phase and operation"
    )
    yield from _steps(capture)


def _card(phase: JudgedPhase, capture: Capture) -> str:
    """What a hurried reader needs of a phase."""
    found = summary.of_phase(phase, capture)
    tone = _TONES.get(phase.judgement.combined.family, "")
    sure = f" <small>confidence: {_text(found.confidence)}</small>" if found.confidence else ""
    head = " · ".join(part for part in (found.title, found.speed) if part)
    return (
        f'<div class="verdict {tone}">{_text(head)}: {_text(found.verdict)}{sure}'
        f"<p>{_text(found.why)}.</p><p>Next: {_text(found.next)}</p></div>"
    )


def _phase(phase: JudgedPhase, capture: Capture) -> Iterator[str]:
    combined = phase.judgement.combined
    yield f"<h2>{_text(phase.title)}</h2>"
    span = span_of(phase)
    if span:
        yield f"<p>{_text(span)}</p>"
    found = summary.of_phase(phase, capture)
    tone = _TONES.get(combined.family, "")
    sure = f" <small>confidence: {_text(found.confidence)}</small>" if found.confidence else ""
    yield f'<p class="verdict {tone}">{_text(found.verdict)}{sure}</p>'
    counted = breakdown_rows.has_counts(phase)
    if counted:
        yield f"<dl>{''.join(map(_rule, phase.judgement.rules))}</dl>"
    else:
        yield f"<p>Counters: {_text(without_counts(capture))}.</p>"
    yield from _list("What lowers the confidence", combined.reasons)
    yield from _list("Remarks", combined.remarks)
    for name, text in breakdown_rows.lines(phase):
        yield f"<p>{_text(name.capitalize())}: {_text(text)}.</p>"
    yield from _breakdown(phase, capture)
    projected = breakdown_rows.projected(phase, capture)
    if projected:
        head, *rows = breakdown_rows.projection_rows(projected)
        yield f'<p class="warn">{_text(breakdown_rows.projection_title(projected))}</p>'
        yield _table(head, rows, numbers=(1, 2))
    if not counted:
        return
    yield from _metrics(phase)
    by_step = token_summary(phase)
    if by_step:
        yield f"<p>By step: {_text(by_step)}</p>"


def _rule(verdict: Verdict) -> str:
    sure = f" (confidence: {verdict.confidence})" if verdict.is_finding else ""
    return f"<dt>{_text(verdict.rule)}: {_text(verdict.outcome)}{_text(sure)}</dt><dd>{_text(_why(verdict))}</dd>"


def _why(verdict: Verdict) -> str:
    checks: Sequence[Check] = verdict.checks
    text = "; ".join(_with_interval(check) for check in reversed(checks))
    return text or verdict.text.removeprefix(f"{verdict.outcome}: ")


def _with_interval(check: Check) -> str:
    if check.interval is None:
        return compared(check)
    low, high = (f"{100 * end:.1f} %" if check.unit == "share" else f"{end:.3g}" for end in check.interval)
    return f"{compared(check)}, 95 % interval {low} to {high}"


def _metrics(phase: JudgedPhase) -> Iterator[str]:
    rows = []
    for key, ratio in phase.metrics.items():
        spec = metrics.BY_KEY[key]
        if ratio.known:
            interval = phase.interval(key)
            ends = " to ".join(metrics.describe(end, spec.unit) for end in interval) if interval else ""
            rows.append([spec.label, metrics.describe(ratio.value, spec.unit), ends, _counting(ratio)])
    if rows:
        yield _table(["measured", "value", "95 % interval", "time counted"], rows, numbers=(1, 2))
    missing = [_named(metrics.BY_KEY[key]) for key, ratio in phase.metrics.items() if not ratio.known]
    if missing:
        yield f"<p>Not measured: {_text(', '.join(missing))}</p>"


def _named(spec: metrics.Metric) -> str:
    """The label, with the unit where two metrics share a label."""
    return f"{spec.label} in {spec.unit}" if spec.unit in ("GB/s", "MB/token") else spec.label


def _counting(ratio: metrics.Ratio) -> str:
    if ratio.running is None:
        return ""
    return f"{100 * ratio.running:.0f} %" + ("" if ratio.together else ", apart")


def _breakdown(phase: JudgedPhase, capture: Capture) -> Iterator[str]:
    found = breakdown.of_phase(phase, capture.table)
    if found is None:
        return
    numbers = range(1, 5 if found.of_time else 3)
    head = breakdown_rows.head(found)
    yield _table(["operation", *head[1:]], breakdown_rows.rows(found, found.operations), numbers)
    if found.tensors:
        yield f"<details><summary>Tensors ({len(found.tensors)})</summary>"
        yield _table(["tensor", *head[1:]], breakdown_rows.rows(found, found.tensors), numbers)
        yield "</details>"


def _steps(capture: Capture) -> Iterator[str]:
    rows = []
    for phase in capture.judged():
        for step, judgement in phase.steps:
            ratios = judgement.stalls.ratios
            shares = [metrics.describe(ratios[key].value, "share") if key in ratios else "" for key in ("be", "m")]
            shares = [share if share.endswith("%") else "" for share in shares]
            length = "" if phase.context.emulated else f"{1e3 * step.duration_s:.3f}"
            cells = [phase.title, step.n_past, step.n_eval, length, *shares]
            rows.append([*map(str, cells), str(judgement.combined.outcome)])
    if not rows:
        return
    left_out = f", the first {_MOST_STEPS} of {len(rows)}" if len(rows) > _MOST_STEPS else f", {len(rows)}"
    head = ["phase", "past", "tokens", "ms", "back-end stalls", "memory of them", "verdict"]
    yield f"<details><summary>Every step{left_out}</summary>"
    yield _table(head, rows[:_MOST_STEPS], numbers=(1, 2, 3, 4, 5))
    yield "</details>"


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    entries = [f"<li>{_text(item)}</li>" for item in items]
    if entries:
        yield f"<details><summary>{_text(title)} ({len(entries)})</summary><ul>{''.join(entries)}</ul></details>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        marked = (' class="n"' if column in numbers else "" for column in range(len(row)))
        return "".join(f"<{tag}{mark}>{_text(cell)}</{tag}>" for cell, mark in zip(row, marked, strict=True))

    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells(head, "th")}</tr>{lines}</table></div>'


def _image(data: bytes, kind: str, words: str) -> str:
    """A picture inside the page. As an image, nothing in an SVG can act on the page."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return f'<div class="scroll"><img alt="{_text(words)}" src="{source}"></div>'
