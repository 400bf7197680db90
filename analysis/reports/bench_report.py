"""The report of benchmarks: every result with its spread and bandwidth, and comparisons within a setup."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import palette
from analysis.bench_pairs import Differing, Pair, pair, setups
from analysis.bench_result import BOTH, GENERATION, PROMPT, Benchmark
from analysis.errors import printable
from analysis.reports.charts import Axis, Bar, Bars, Chart, Kind, Part, Plot, Series
from analysis.reports.model import Block, Card, Cell, Column, Fact, Report, Section, Table, fixed

_MOST_ROWS = 80
_MOST_BARS = 40
_MOST_LINES = len(palette.SERIES)
_CHANCE = 20  # comparisons at 95 % of which one would show a difference where there is none
_BELIEVED = 1.05  # times a stated peak
_TITLES = {PROMPT: "prompts", GENERATION: "generation", BOTH: "prompts with generation"}
_HUES = {PROMPT: palette.phase("prefill"), GENERATION: palette.phase("decode"), BOTH: palette.phase("verify")}
_VERDICT_HUES = {"faster": palette.BETTER, "slower": palette.WAITING}
_BANDWIDTH = (
    "GB/s are a generation's: all tensors' bytes (model_size) times tokens a second, 10^9 B/s. A dense model reads "
    "at least so much, but for an embedding table that counts whole; the KV cache is not in it"
)
_INTERVALS = "intervals are of repetitions within a run each: what differs from run to run of one build is not in them"


def of_benchmarks(
    results: Sequence[Benchmark],
    notes: Sequence[str],
    peak: float | None = None,
    changes: Sequence[Pair] | None = None,
    old: str = "",
) -> Report:
    """peak: bytes/s that a machine reads at most, as it was stated.  changes: against results before, of the file
    ``old``."""
    differing = Differing.of(results)
    kinds = [kind for kind in _TITLES if any(result.kind == kind for result in results)]
    cut = {kind: [result for result in results if result.kind == kind] for kind in kinds}
    groups = {kind: setups(cut[kind]) for kind in kinds}
    charts: dict[str, list[Chart]] = {kind: _charts(kind, groups[kind], differing) for kind in kinds}
    sections = [_against(changes, differing, old)] if changes is not None else []
    sections += [Section(_TITLES[kind], [*charts[kind], _table(groups[kind], differing, peak)]) for kind in kinds]
    notes = list(notes)
    if any(result.bandwidth is not None for result in results):
        notes.append(_BANDWIDTH)
    if any(result.is_mixture and result.kind == GENERATION for result in results):
        notes.append("mixtures of experts have no GB/s here: a token reads a part of their weights")
    if changes or any(len(group) > 1 for kind in kinds for group in groups[kind]):
        notes.append(_INTERVALS)
    names = list(dict.fromkeys(result.source for result in results))
    return Report(
        title=", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""),
        kind="Benchmarks",
        facts=_facts(results, sum(map(len, groups.values()))),
        details=_details(results, differing),
        cards=[_card(kind, cut[kind], differing, peak) for kind in kinds],
        sections=sections,
        warnings=_warnings(results, peak),
        notes=notes,
        picture=[[chart] for kind in kinds for chart in charts[kind]],
    )


def _facts(results: Sequence[Benchmark], n_setups: int) -> list[str]:
    facts = [f"{len(results)} result{'s' * (len(results) > 1)} of {n_setups} setup{'s' * (n_setups > 1)}"]
    for name in ("cpu", "gpu"):
        found = list(dict.fromkeys(result.origin[name] for result in results if name in result.origin))
        facts += [printable(text, 100) for text in found[:4]]
    commits = list(dict.fromkeys(result.origin["commit"] for result in results if "commit" in result.origin))
    return facts + ([f"commit{'s' * (len(commits) > 1)} {', '.join(commits[:6])}"] if commits else [])


def _details(results: Sequence[Benchmark], differing: Differing) -> list[str]:
    """What all have in common."""
    first = results[0]
    same = [] if differing.model else [differing.name(first)]
    same += [f"{name} {text}" for name, text in first.settings.items() if name not in differing.settings]
    return [f"the same in all: {printable(', '.join(same), 300)}"] if same else []


def _warnings(results: Sequence[Benchmark], peak: float | None) -> list[str]:
    if peak is None:
        return []
    found = []
    above = sum(1 for result in results if (result.bandwidth or 0.0) > _BELIEVED * peak)
    if above:
        found.append(
            f"{above} result{'s' * (above > 1)} above the stated peak: it is not this machine's, or weights come out "
            "of a cache"
        )
    places = {(result.origin.get("cpu"), result.origin.get("gpu")) for result in results}
    if len(places) > 1:
        found.append(f"one peak is stated for results of {len(places)} machines")
    return found


def _card(kind: str, results: Sequence[Benchmark], differing: Differing, peak: float | None) -> Card:
    best = max(results, key=lambda result: result.rate)
    words = differing.label(best)
    why = []
    if best.spread is not None:
        why.append(f"spread {100 * best.spread:.1f} %")
    if best.bandwidth is not None:
        share = f", {100 * best.bandwidth / peak:.0f} % of the stated peak" if peak else ""
        why.append(f"{best.bandwidth / 1e9:.3g} GB/s{share}")
    verdict = f"fastest: {words}" if len(results) > 1 else words
    return Card(
        _TITLES[kind], f"{best.rate:,.4g} tokens/s", printable(verdict, 200), "", ", ".join(why), "", _HUES[kind]
    )


def _table(groups: Sequence[Sequence[Benchmark]], differing: Differing, peak: float | None) -> Table:
    """Rows of one setup stand together; the first of them is what the others are compared with."""
    rows: list[list[Cell]] = []
    hues: list[str] = []
    n = sum(map(len, groups))
    for group in groups:
        for result in group:
            compared = None if result is group[0] else pair(group[0], result, n)
            rows.append([*_named(result, differing), *_figures(result, peak), *_compared(compared, len(group) > 1)])
            hues.append(_VERDICT_HUES.get(compared.verdict, palette.OTHER) if compared else "")
    n_named = len(_named(groups[0][0], differing))
    names = ["model"] * differing.model + ["test", *differing.settings, *differing.origins] + ["file"] * differing.file
    columns = (
        *(Column(name, missing="-", secondary=name == "commit") for name in names),
        Column("t/s", fixed([row[n_named] for row in rows], 4)),
        Column("±", fixed([row[n_named + 1] for row in rows], 2), secondary=True, missing="-"),
        Column("spread", 1, " %", missing="-", secondary=True),
        Column("samples", 0, secondary=True, missing="-"),
        Column("GB/s", fixed([row[n_named + 4] for row in rows], 3), missing="-"),
        Column("of peak", 0, " %", missing="-"),
        *_COMPARED,
    )
    kept = [at for at, column in enumerate(columns) if at < n_named + 1 or any(_is_told(row[at]) for row in rows)]
    rows = [[row[at] for at in kept] for row in rows]
    return Table("", tuple(columns[at] for at in kept), rows, hues, most=_MOST_ROWS, filtered=len(rows) > 8)


def _is_told(cell: Cell) -> bool:
    return cell is not None and cell != ""


def _named(result: Benchmark, differing: Differing) -> list[Cell]:
    model: list[Cell] = [printable(differing.name(result), 60)] if differing.model else []
    told = [result.settings.get(name, "-") for name in differing.settings]
    told += [result.origin.get(name, "-") for name in differing.origins]
    told += [result.source] * differing.file
    return [*model, result.test, *(printable(text, 40) for text in told)]


def _figures(result: Benchmark, peak: float | None) -> list[Cell]:
    spread, bandwidth = result.spread, result.bandwidth
    return [
        result.rate,
        result.deviation,
        None if spread is None else 100 * spread,
        float(len(result.samples)) if result.samples else None,
        None if bandwidth is None else bandwidth / 1e9,
        None if bandwidth is None or not peak else 100 * bandwidth / peak,
    ]


_COMPARED = (
    Column("times as fast", 3),
    Column("95 % from", 3, secondary=True),
    Column("to", 3, secondary=True),
    Column("so"),
)


def _compared(compared: Pair | None, is_first: bool) -> list[Cell]:
    if compared is None:
        return [None, None, None, "first" if is_first else ""]
    low, high = compared.interval or (None, None)
    return [compared.ratio, low, high, compared.verdict]


def _against(changes: Sequence[Pair], differing: Differing, old: str) -> Section:
    rows: list[list[Cell]] = []
    both = Differing.of([side for change in changes for side in (change.base, change.other)])
    for change in sorted(changes, key=lambda change: (not change.differs, change.ratio)):
        sides: list[Cell] = [printable(both.origin(side), 60) for side in (change.base, change.other)]
        setup = printable(differing.setup(change.other), 100)
        rows.append([setup, *sides, change.base.rate, change.other.rate, *_compared(change, False)])
    columns = (
        Column("setup"),
        Column("then", secondary=True),
        Column("now", secondary=True),
        Column("then, t/s", fixed([row[3] for row in rows], 4), secondary=True),
        Column("now, t/s", fixed([row[4] for row in rows], 4)),
        *_COMPARED,
    )
    slower = sum(change.is_regression for change in changes)
    lead = f"{len(changes)} results that both have; {slower or 'none'} shown to be slower"
    hues = [_VERDICT_HUES.get(str(row[-1]), palette.OTHER) for row in rows]
    blocks: list[Block] = []
    if len(changes) >= _CHANCE:
        n = len(changes) / _CHANCE
        blocks.append(
            Fact("by chance", f"of {len(changes)} comparisons at 95 % about {n:.0f} would show a difference by chance")
        )
    blocks.append(Table("", columns, rows, hues, most=_MOST_ROWS, filtered=len(rows) > 8))
    return Section(f"Against {old}", blocks, lead)


def _charts(kind: str, groups: Sequence[Sequence[Benchmark]], differing: Differing) -> list[Chart]:
    """Every speed as a bar, and over builds where a setup was measured with three or more."""
    found: list[Chart] = [_bars(kind, groups, differing)]
    if (over_builds := _over_builds(kind, groups, differing)) is not None:
        found.append(over_builds)
    return found


def _bars(kind: str, groups: Sequence[Sequence[Benchmark]], differing: Differing) -> Bars:
    ordered = [result for group in groups for result in group]
    bars = []
    for result in ordered[:_MOST_BARS]:
        name = printable(differing.label(result), 60)
        spread = "" if result.spread is None else f" ± {100 * result.spread:.1f} %"
        tip = f"{name}: {result.rate:,.5g} tokens/s{spread}"
        bars.append(Bar(name, (Part("tokens/s", result.rate, _HUES[kind], tip),), f"{result.rate:,.4g}{spread}"))
    title = f"{_TITLES[kind]}: tokens a second" + (
        f", first {_MOST_BARS} of {len(ordered)}" if len(ordered) > _MOST_BARS else ""
    )
    return Bars(title, "tokens/s", tuple(bars), decimals=fixed([bar.total for bar in bars]), has_legend=False)


def _over_builds(kind: str, groups: Sequence[Sequence[Benchmark]], differing: Differing) -> Plot | None:
    lines: list[Series] = []
    for group in groups:
        by_build = {int(text): result for result in group if (text := result.origin.get("build", "")).isdecimal()}
        if len(by_build) < 3 or len(lines) == _MOST_LINES:
            continue
        points = tuple((float(build), by_build[build].rate) for build in sorted(by_build))
        name = printable(differing.setup(group[0]), 60)
        tips = tuple(f"{name}, build {build:.0f}: {rate:,.5g} tokens/s" for build, rate in points)
        number = len(lines)
        lines.append(Series(name, palette.SERIES[number], points, Kind.LINE, tips, mark=number))
    if not lines:
        return None
    builds = tuple(sorted({point[0] for line in lines for point in line.points}))
    x = Axis("build", low=builds[0], high=builds[-1], ticks=builds)
    return Plot(f"{_TITLES[kind]}: speed over builds", x, Axis("tokens/s", low=0.0), tuple(lines))
