"""The report of two captures side by side: what changed, by how much, and which operations make it up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import metrics, palette
from analysis.changes import MOST_EVENTS, Change, Comparison
from analysis.errors import printable
from analysis.judging import Capture
from analysis.reports.compare_charts import MOST_PARTS, charts_of, hue, in_picture
from analysis.reports.compare_tables import rates_of
from analysis.reports.model import Block, Card, Cell, Column, Fact, Fold, Report, Section, Table, fixed
from analysis.whole_times import ELAPSED

_NEXT = {
    True: "see which operations grew, below, and what else differs between the runs",
    False: "see which operations shrank, below",
}


def of_comparison(left: Capture, right: Capture, result: Comparison, show_all: bool) -> Report:
    """show_all: what did not change as well."""
    titles = [title for title, _, _ in result.verdicts]
    cards = [_card(result, *verdict) for verdict in result.verdicts]
    warnings = []
    if left.is_emulated != right.is_emulated:
        both = "one of the two is emulated, the other measured"
        warnings.append(f"WARNING: {both}; only counts of instructions may be compared")
    facts = [f"A {printable(str(left.path), 300)}", f"B {printable(str(right.path), 300)}"]
    sections = [_settings(result)] if result.settings or result.unmatched or result.left_out else []
    sections += [_section(result, title, card, show_all) for title, card in zip(titles, cards, strict=True)]
    return Report(
        title=f"{printable(left.path.name, 100)} and {printable(right.path.name, 100)}",
        kind="What changed from A to B",
        facts=facts,
        details=[],
        cards=cards,
        sections=sections,
        warnings=warnings,
        picture=in_picture([result], titles),
    )


def _settings(result: Comparison) -> Section:
    facts = [Fact(key, f"{one} → {other}") for key, one, other in result.settings]
    facts += [Fact("only in one of them", title) for title in result.unmatched]
    facts += [Fact("left out", left_out(result.left_out))] if result.left_out else []
    return Section("What else differs", facts)


def left_out(number: int) -> str:
    """In words."""
    return f"{number} more phase{'s' if number > 1 else ''}, which only `stalls` shows"


def _card(result: Comparison, title: str, one: str, other: str) -> Card:
    changes = result.of_phase(title)
    verdicts = f"{one} in both" if one == other else f"{one} → {other}"
    speed = next((change for change in changes if change.kind == "speed"), None)
    if speed is None:
        whole = next((change for change in changes if change.kind == "whole"), None)
        return _card_of_runs(title, whole, verdicts) if whole else _card_without_times(title, verdicts)
    decimals = fixed([1e3 * speed.left, 1e3 * speed.right], 4)
    sides = [f"{1e3 * value:.{decimals}f}" for value in (speed.left, speed.right)]
    largest = [] if speed.has_changed is False else _largest(changes, speed)
    why = [f"{sides[0]} → {sides[1]} ms a token", *_interval(speed), *largest, verdicts]
    if not speed.has_changed:
        unsure = "too few steps to say whether it changed" if speed.has_changed is None else "no change beyond noise"
        return Card(title, f"{sides[1]} ms/token", unsure, "", ", ".join(why), "", palette.OTHER)
    slower = speed.right > speed.left
    verdict = f"{100 * abs(speed.relative):.1f} % more time a token" if slower else _faster(speed)
    hue = palette.WAITING if slower else palette.BETTER
    return Card(title, f"{sides[1]} ms/token", verdict, "", ", ".join(why), _NEXT[slower], hue)


def _card_without_times(title: str, verdicts: str) -> Card:
    why = "no times to compare: one of the two has neither an elapsed time nor task-clock"
    return Card(
        title, "", verdicts, "", why, "perf stat -e duration_time,… tells the time in every form", palette.OTHER
    )


def _card_of_runs(title: str, whole: Change, verdicts: str) -> Card:
    """Of runs whose tokens are not known: the time of all of it."""
    what = "elapsed" if whole.name == ELAPSED else f"of {whole.name}"
    decimals = fixed([whole.left, whole.right], 4)
    sides = [f"{value:.{decimals}f}" for value in (whole.left, whole.right)]
    why = [f"{sides[0]} → {sides[1]} s {what}", *_interval(whole), verdicts]
    again = "" if whole.has_changed is not None else "perf stat -r 10 tells whether it is more than noise"
    if whole.has_changed is False:
        return Card(title, f"{sides[1]} s", "no change beyond noise", "", ", ".join(why), again, palette.OTHER)
    slower = whole.right > whole.left
    less = f"{100 * abs(whole.relative):.1f} % {'more' if slower else 'less'} time"
    if f"{whole.relative:.3f}" in ("0.000", "-0.000"):
        less = "the same time"
    times = f", {whole.left / whole.right:.2f} times as fast" if whole.right else ""
    hue = palette.OTHER if not whole.has_changed else palette.WAITING if slower else palette.BETTER
    return Card(title, f"{sides[1]} s", less + times, "", ", ".join(why), again, hue)


def _faster(speed: Change) -> str:
    return f"{100 * abs(speed.relative):.1f} % less time a token"


def _interval(change: Change) -> list[str]:
    if change.interval is None:
        return []
    low, high = (100 * end for end in change.interval)
    return [f"95 % interval {low:+.1f} to {high:+.1f} %"]


def _largest(changes: Sequence[Change], speed: Change) -> list[str]:
    """The operation that makes most of the difference, where it makes a good part of it."""
    parts = [change for change in changes if change.kind == "operation"]
    if not parts or not speed.difference:
        return []
    largest = max(parts, key=lambda change: change.difference / speed.difference)
    if largest.difference / speed.difference < 0.2:
        return []
    only = f" (only in {largest.only_in})" if largest.only_in else ""
    return [f"mostly {largest.name}{only}, {1e3 * largest.difference:+.3g} ms"]


def _section(result: Comparison, title: str, card: Card, show_all: bool) -> Section:
    changes = result.of_phase(title)
    blocks: list[Block] = [Fact(f"only in {side}", what) for side, what in result.alone_in(title)]
    blocks += [Fact("taken together", text) for text in result.together_in(title)]
    blocks += charts_of([result], title)
    blocks += explained(result, title)
    blocks += _times(changes, show_all)
    rates = rates_of([result], title)
    blocks += [Fold(f"Bytes and instructions by operation ({len(rates.rows)})", [rates])] if rates.rows else []
    whole = _whole_times(changes)
    blocks += [whole] if whole.rows else []
    show_all = show_all or bool(whole.rows)  # of runs as a whole nothing has an interval that could tell
    by_token = not any(change.unit == "in all" for change in changes)
    others = [(_metrics(changes, show_all), "Ratios"), (_events(changes, show_all, by_token), _EVENTS[by_token])]
    blocks += [Fold(f"{name} ({len(table.rows)})", [table]) for table, name in others if table.rows]
    unsure = [change for change in changes if change.has_changed is None and not change.only_in]
    hidden = [] if show_all else [change for change in unsure if change.kind in ("metric", "event")]
    if hidden:
        many = f", or more than {MOST_EVENTS} events" if len(result.of(title, "event")) > MOST_EVENTS else ""
        why = f"too few steps{many}"
        blocks.append(Fact("unsure", f"{len(hidden)} more without an interval ({why}); --all shows them"))
    if changes and not unsure and not any(change.has_changed for change in changes):
        blocks.append(Fact("in all", "nothing changed beyond noise"))
    return Section(title, blocks, card=card)


def explained(result: Comparison, title: str) -> list[Fact]:
    """How much of a difference that is more than noise the operations make."""
    share = result.explained(title)
    if not math.isfinite(share) or any(change.has_changed is False for change in result.of(title, "speed")):
        return []
    return [Fact("explained", f"operations and waiting make {100 * share:.1f} % of the difference")]


def _times(changes: Sequence[Change], show_all: bool) -> list[Block]:
    """Time a token, and how the operations' differences make it up."""
    speed = [change for change in changes if change.kind == "speed"]
    parts = sorted((c for c in changes if c.kind == "operation"), key=lambda change: -abs(change.difference))
    most = len(parts) if show_all else MOST_PARTS
    whole = sum(change.difference for change in speed if change.has_changed is not False)

    def of_whole(difference: float) -> float | None:
        return 100 * difference / whole if whole and parts else None

    rows = [
        _row(change, 1e3 * change.left, 1e3 * change.right, 1e3 * change.difference, of_whole(change.difference))
        for change in parts[:most]
    ]
    if rest := parts[most:]:
        sums = [sum(getattr(c, side) for c in rest) for side in ("left", "right", "difference")]
        rows.append([f"{len(rest)} others", *(1e3 * value for value in sums), of_whole(sums[2]), None, None, None, ""])
    for change in speed:
        name = "all together" if parts else change.name
        values = [1e3 * value for value in (change.left, change.right, change.difference)]
        rows.append([name, *_row(change, *values, of_whole(change.difference))[1:]])
    if not rows:
        return []
    decimals = fixed([row[column] for row in rows for column in (1, 2)], 4)
    columns: tuple[Column, ...] = (
        Column("time per token, ms"),
        Column("A", decimals),
        Column("B", decimals),
        Column("B less A", decimals, sign=True, secondary=True),
        Column("of the difference", 1, " %", secondary=True, missing="-"),
        *_CHANGE,
    )
    if all(row[4] is None for row in rows):
        rows, columns = [row[:4] + row[5:] for row in rows], (*columns[:4], *columns[5:])
    hues = [hue(str(row[0])) if number < len(rows) - len(speed) else "" for number, row in enumerate(rows)]
    return [Table("", columns, rows, hues)]


def _whole_times(changes: Sequence[Change]) -> Table:
    """Elapsed, CPU, user and system time of runs whose tokens are not known."""
    found = [change for change in changes if change.kind == "whole"]
    decimals = fixed([value for change in found for value in (change.left, change.right)], 4)
    rows = [_row(change, change.left, change.right) for change in found]
    return Table("", (Column("time, s"), Column("A", decimals), Column("B", decimals), *_CHANGE), rows)


_EVENTS = {True: "Events a token", False: "Events"}
_CHANGE = (
    Column("change", 1, " %", sign=True, missing="-"),
    Column("from", 1, " %", sign=True, secondary=True, missing="-"),
    Column("to", 1, " %", sign=True, secondary=True, missing="-"),
    Column("95 % sure", secondary=True),
)


def _row(change: Change, *values: Cell) -> list[Cell]:
    low, high = (100 * end for end in change.interval) if change.interval else (None, None)
    word = "" if change.has_changed is None else "changed" if change.has_changed else "same"
    word = f"only in {change.only_in}" if change.only_in else word or "no interval"
    return [change.name, *values, 100 * change.relative, low, high, word]


def _worth_showing(changes: Sequence[Change], kind: str, show_all: bool) -> list[Change]:
    found = [change for change in changes if change.kind == kind and (show_all or change.has_changed)]
    return sorted(found, key=lambda change: -abs(change.relative) if math.isfinite(change.relative) else 0.0)


def _metrics(changes: Sequence[Change], show_all: bool) -> Table:
    """Ratios, each in its own unit."""
    found = _worth_showing(changes, "metric", show_all)
    rows = [
        _row(change, *(metrics.describe(value, change.unit) for value in (change.left, change.right)))
        for change in found
    ]
    return Table("", (Column("ratio"), Column("A"), Column("B"), *_CHANGE), rows)


def _events(changes: Sequence[Change], show_all: bool, by_token: bool) -> Table:
    """Events a token, or of all of a run."""
    rows = [_row(change, change.left, change.right) for change in _worth_showing(changes, "event", show_all)]
    smallest = min((value for row in rows for value in row[1:3] if isinstance(value, float) and value), default=1.0)
    decimals = min(3, fixed([smallest]))
    return Table(
        "",
        (Column("event a token" if by_token else "event"), Column("A", decimals), Column("B", decimals), *_CHANGE),
        rows,
    )
