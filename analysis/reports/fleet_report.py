"""The report of a fleet: which devices are slower than their twins, which commits made it slower, then all groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from analysis import palette
from analysis.fleet.findings import Fleet, Group, setup_words, varied
from analysis.fleet.rows import JUDGED
from analysis.fleet.trends import Step
from analysis.fleet.twins import LEAST_CAPTURES, LEAST_SLOWER, LEAST_TWINS, Twin
from analysis.reports import fleet_charts as charts
from analysis.reports.charts import Chart
from analysis.reports.model import Block, Card, Cell, Column, Fact, Fold, Report, Section, Table, fixed
from analysis.terminal import shortened

_MOST_ROWS = 40
_MOST_PAGE_ROWS = 1500
_MOST_LABELS = 50
_HUES = {"slower": palette.WAITING, "faster": palette.BETTER, "slower than its twins": palette.WAITING}


def of_fleet(fleet: Fleet, title: str) -> Report:
    """title: what the fleet is called, such as its dataset."""
    drawn = [charts.devices(fleet), charts.over_commits(fleet), charts.over_time(fleet), charts.spread(fleet)]
    return Report(
        title=title,
        kind="A fleet",
        facts=_facts(fleet),
        details=_details(fleet),
        cards=[*_device_cards(fleet), *_step_cards(fleet), *_phase_cards(fleet)],
        sections=[
            _devices(fleet, drawn[0]),
            _steps(fleet, "Commits", fleet.commits, drawn[1], "from commit to commit"),
            _steps(
                fleet, "Over time", fleet.periods, drawn[2], f"from {fleet.unit} to {fleet.unit} of the same commit"
            ),
            _groups(fleet, drawn[3]),
            *_broken(fleet),
        ],
        picture=[[chart] for chart in drawn if chart is not None],
    )


def _facts(fleet: Fleet) -> list[str]:
    judged = fleet.frame[fleet.frame["state"] == JUDGED]
    facts = [f"{fleet.captures} captures of {fleet.devices} devices", f"{len(judged)} phases"]
    if fleet.reasons:
        facts.append(f"{sum(each.captures for each in fleet.reasons)} captures could not be used")
    started = judged["started"].dropna()
    if len(started):
        facts.append(f"{started.min():%Y-%m-%d} to {started.max():%Y-%m-%d}")
    commits = judged.loc[judged["commit"] != "", "commit"].nunique()
    labels = judged["phase"].nunique()
    facts += [f"{labels} labels, {_MOST_LABELS} of them told by themselves"] if labels > _MOST_LABELS else []
    return facts + ([f"{commits} commits"] if commits else [])


def _details(fleet: Fleet) -> list[str]:
    judged = fleet.frame[fleet.frame["state"] == JUDGED]
    by_file = judged.loc[judged["started_by"] == "file", "path"].nunique()
    return [f"{by_file} captures do not say when they were made: their files' times are taken"] if by_file else []


def _from_here(path: str) -> str:
    """The path of a file below this folder as it is from here; any other, or an address, as it is."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def _device_cards(fleet: Fleet) -> list[Card]:
    setups = [twin.setup for twin in fleet.twins]
    columns = varied(setups)
    by_device: dict[str, list[Twin]] = {}
    for twin in fleet.slower:
        by_device.setdefault(twin.device, []).append(twin)
    cards = []
    for device, found in by_device.items():
        worst = found[0]
        others = f"; also {', '.join(setup_words(twin.setup, columns) for twin in found[1:])}" if found[1:] else ""
        differs = "; ".join(each.text for each in worst.differs) or "no ratio that was counted differs"
        why = (
            f"{setup_words(worst.setup, columns)}: {worst.captures} captures against {worst.twins - 1} twins, "
            f"{-worst.z:.1f} scales ({worst.limit:.1f} needed){others}"
        )
        advice = f"look at {_from_here(worst.example)} beside a twin's, with analysis.compare"
        speed = f"{worst.times:.2f} times as fast"
        cards.append(Card(device, speed, "slower than its twins", "", f"{differs}. {why}", advice, palette.WAITING))
    return cards


def _step_cards(fleet: Fleet) -> list[Card]:
    columns = varied([step.setup for step in fleet.changes])
    cards = []
    for step in sorted(fleet.regressions, key=lambda step: step.times):
        low, high = step.interval or (step.times, step.times)
        why = (
            f"{setup_words(step.setup, columns)}: {low:.3f} to {high:.3f} times as fast as {step.before}, "
            f"{step.n} {step.by}"
        )
        cards.append(
            Card(
                step.after,
                f"{step.times:.3f} times as fast",
                f"slower than {step.before}",
                "",
                f"{step.why}. {why}" if step.why else why,
                "",
                palette.WAITING,
            )
        )
    return cards


def _phase_cards(fleet: Fleet) -> list[Card]:
    """Of each label, of very many of those that most phases have."""
    cards = []
    judged = fleet.frame[fleet.frame["state"] == JUDGED]
    labels = judged["phase"].value_counts()
    if len(labels) > _MOST_LABELS:
        judged = judged[judged["phase"].isin(labels.index[:_MOST_LABELS])]
    for number, (phase, rows) in enumerate(judged.groupby("phase")):
        verdicts = Counter(rows["verdict"]).most_common()
        share = 100 * verdicts[0][1] / len(rows)
        speeds = rows["tokens_per_s"].dropna()
        speed = f"{speeds.median():.4g} tokens/s" if len(speeds) else ""
        rest = ", ".join(f"{100 * n / len(rows):.1f} % {name}" for name, n in verdicts[1:4])
        why = f"{len(rows)} phases of {rows['device'].nunique()} devices" + (f"; {rest}" if rest else "")
        verdict = f"{verdicts[0][0]} in {share:.0f} %"
        hue = palette.cause(str(rows["family"].mode().iloc[0]))
        cards.append(Card(str(phase) or f"phase {number}", speed, verdict, "", why, "", hue))
    return cards


def _devices(fleet: Fleet, chart: Chart | None) -> Section:
    setups = [twin.setup for twin in fleet.twins]
    columns = varied(setups)
    slower = fleet.slower
    lead = f"{len({twin.device for twin in slower}) or 'none'} of {fleet.devices} slower than its twins"
    blocks: list[Block] = [chart] if chart is not None else []
    if slower:
        blocks.append(_twins(slower, columns, ""))
    blocks.append(
        Fact(
            "Rule",
            f"a device of at least {LEAST_TWINS} twins and {LEAST_CAPTURES} captures is slower where the median of its "
            f"captures is {100 * LEAST_SLOWER:.0f} % or more below those of its twins that did the same work by the "
            "same commit, and by more scales (how far devices lie apart, and how exact its median is) than one healthy "
            "fleet in a hundred has in its slowest device",
        )
    )
    if fleet.twins:
        shown = _twins(fleet.twins[:_MOST_PAGE_ROWS], columns, "")
        blocks.append(Fold(f"All {len(fleet.twins)} devices and setups", [shown], in_text=False))
    else:
        lead = "no device has twins: others with the same machine, model and threads that ran the same commit"
    return Section("Devices", blocks, lead)


def _twins(twins: Sequence[Twin], columns: Sequence[str], title: str) -> Table:
    rows: list[list[Cell]] = [
        [
            twin.device,
            setup_words(twin.setup, columns),
            float(twin.captures),
            float(twin.twins - 1),
            twin.speed,
            twin.times,
            twin.z,
            twin.limit,
            "; ".join(each.text for each in twin.differs),
            twin.verdict,
        ]
        for twin in twins
    ]
    heads = (
        Column("device"),
        Column("setup"),
        Column("captures", 0, secondary=True),
        Column("twins", 0, secondary=True),
        Column("tokens/s", fixed([row[4] for row in rows], 4)),
        Column("times as fast", 3),
        Column("scales", 1),
        Column("needed", 1, secondary=True),
        Column("what differs"),
        Column("so"),
    )
    hues = [_HUES.get(twin.verdict, palette.OTHER) for twin in twins]
    return Table(title, heads, rows, hues, most=_MOST_ROWS, filtered=len(rows) > 8)


def _steps(fleet: Fleet, title: str, steps: Sequence[Step], chart: Chart | None, words: str) -> Section:
    slower, faster = (
        sum(step.is_shown and (step.times < 1) is is_slower for step in steps) for is_slower in (True, False)
    )
    if not steps:
        return Section(title, [chart] if chart is not None else [], f"no device has captures to compare {words}")
    columns = varied([step.setup for step in steps])
    ordered = sorted(steps, key=lambda step: (not step.is_shown, step.times if step.is_shown else 0.0))
    rows: list[list[Cell]] = []
    for step in ordered[:_MOST_PAGE_ROWS]:
        low, high = step.interval or (None, None)
        words_of = setup_words(step.setup, columns)
        rows.append(
            [step.before, step.after, words_of, step.times, low, high, f"{step.n} {step.by}", step.why, step.verdict]
        )
    heads = (
        Column("from"),
        Column("to"),
        Column("setup"),
        Column("times as fast", 3),
        Column(f"{100 * steps[0].level:.4g} % from", 3, secondary=True, missing="-"),
        Column("to", 3, secondary=True, missing="-"),
        Column("compared", secondary=True),
        Column("what changed with it"),
        Column("so"),
    )
    hues = [_HUES.get(str(row[-1]), palette.OTHER) for row in rows]
    shown = sum(step.is_shown for step in steps)
    blocks: list[Block] = [chart] if chart is not None else []
    if shown:
        blocks.append(Table("", heads, rows[:shown], hues[:shown], most=_MOST_ROWS, filtered=shown > 8))
    if rows[shown:]:
        rest = Table("", heads, rows[shown:], hues[shown:], most=_MOST_ROWS, filtered=len(rows) - shown > 8)
        blocks.append(Fold(f"{len(steps) - shown} that show no change", [rest], in_text=False))
    lead = f"{len(steps)} steps {words}: {slower or 'none'} slower, {faster or 'none'} faster"
    return Section(title, blocks, lead)


def _groups(fleet: Fleet, chart: Chart | None) -> Section:
    blocks: list[Block] = [_group_table(fleet.groups, fleet.by)]
    if chart is not None:
        blocks.append(chart)
    return Section("Groups", blocks, f"by {', '.join(fleet.by)}")


def _group_table(groups: Sequence[Group], by: Sequence[str]) -> Table:
    rows: list[list[Cell]] = []
    for group in groups[:_MOST_PAGE_ROWS]:
        low, _, middle, _, high = group.speeds or (None,) * 5
        shares = [100 * group.ratios[key] for key in ("be", "m")]
        counts = [float(group.captures), float(group.devices)]
        rows.append([*group.values, *counts, middle, low, high, group.ratios["ipc"], *shares, group.told])
    at = len(by) + 2
    places = fixed([row[at] for row in rows], 4)
    heads = (
        *(Column(name) for name in by),
        Column("captures", 0),
        Column("devices", 0),
        Column("tokens/s", places, missing="-"),
        Column("5 %", places, secondary=True, missing="-"),
        Column("95 %", places, secondary=True, missing="-"),
        Column("IPC", 2, missing="-"),
        Column("be", 1, " %", secondary=True, missing="-"),
        Column("m", 1, " %", secondary=True, missing="-"),
        Column("verdicts"),
    )
    return Table("", heads, rows, most=_MOST_ROWS, filtered=len(rows) > 8)


def _broken(fleet: Fleet) -> list[Section]:
    if not fleet.reasons:
        return []
    rows: list[list[Cell]] = [
        [float(each.captures), each.state, shortened(each.reason, 100), each.example]
        for each in fleet.reasons[:_MOST_PAGE_ROWS]
    ]
    heads = (Column("captures", 0), Column("state"), Column("why"), Column("one of them", secondary=True))
    return [Section("Captures without a result", [Table("", heads, rows, most=_MOST_ROWS, filtered=len(rows) > 8)])]
