"""The report of three and more captures: a column each, the first is what the others are compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import metrics, palette
from analysis.changes import LETTERS, Change, Comparison
from analysis.errors import printable
from analysis.judging import Capture
from analysis.reports.compare_charts import MOST_PARTS, by_size, charts_of, in_picture, only_in, seconds_by_operation
from analysis.reports.compare_charts import hue as hue_of
from analysis.reports.compare_report import explained, left_out
from analysis.reports.compare_tables import is_known, rates_of
from analysis.reports.model import Block, Card, Cell, Column, Fact, Fold, Report, Section, Table, fixed


def of_captures(captures: Sequence[Capture], results: Sequence[Comparison], show_all: bool) -> Report:
    """results: of every capture but the first. show_all: what did not change as well."""
    titles = list(dict.fromkeys(title for result in results for title, _, _ in result.verdicts))
    cards = [_card(results, title) for title in titles]
    warnings = []
    if len({capture.is_emulated for capture in captures}) > 1:
        warnings.append("WARNING: some are emulated, others measured; only counts of instructions may be compared")
    settings = _settings(results)
    sections = [Section("What else differs", settings)] if settings else []
    sections += [_section(results, title, card, show_all) for title, card in zip(titles, cards, strict=True)]
    names = ", ".join(printable(capture.path.name, 60) for capture in captures)
    return Report(
        title=names,
        kind="What differs from A",
        facts=[
            f"{letter} {printable(str(capture.path), 300)}" for letter, capture in zip(LETTERS, captures, strict=False)
        ],
        details=[],
        cards=cards,
        sections=sections,
        warnings=warnings,
        picture=in_picture(results, titles),
    )


def _settings(results: Sequence[Comparison]) -> list[Block]:
    """Header keys that are not the same in all, with every capture's value."""
    values: dict[str, dict[str, str]] = {}
    for result in results:
        for key, first, other in result.settings:
            values.setdefault(key, {"A": first})[result.letter] = other
    letters = ["A", *(result.letter for result in results)]
    found: list[Block] = [
        Fact(key, ", ".join(f"{letter} {told.get(letter, told['A'])}" for letter in letters))
        for key, told in values.items()
    ]
    lacking = [f"{title} (A or {result.letter})" for result in results for title in result.unmatched]
    found += [Fact("not in both", ", ".join(lacking))] if lacking else []
    most = max(result.left_out for result in results)
    return found + ([Fact("left out", left_out(most))] if most else [])


def _speeds(results: Sequence[Comparison], title: str) -> dict[str, Change]:
    """Letter -> the change of a token's time."""
    return {result.letter: change for result in results for change in result.of(title, "speed")}


def _card(results: Sequence[Comparison], title: str) -> Card:
    speeds = _speeds(results, title)
    judged = [(result.letter, *sides) for result in results for sides in result.verdicts_of(title)]
    verdicts = {"A": judged[0][1]} | {letter: other for letter, _, other in judged}
    words = ", ".join(f"{letter} {verdict}" for letter, verdict in verdicts.items())
    if not speeds:
        return Card(title, "", words, "", "no times to compare", "", palette.OTHER)
    first = next(iter(speeds.values())).left
    times = {"A": first} | {letter: change.right for letter, change in speeds.items()}
    decimals = fixed([1e3 * value for value in times.values()], 4)
    shown = [f"A {1e3 * first:.{decimals}f}"]
    shown += [f"{letter} {1e3 * c.right:.{decimals}f} ({_less_or_more(c)})" for letter, c in speeds.items()]
    faster = [letter for letter, change in speeds.items() if change.has_changed and change.right < first]
    verdict, hue = "none is shown to be faster than A", palette.OTHER
    if faster:
        best = min(faster, key=lambda letter: speeds[letter].right)
        verdict, hue = f"fastest: {best}, {_less_or_more(speeds[best])} time a token than A", palette.BETTER
    why = f"{', '.join(shown)} ms a token; {words}"
    return Card(title, f"{1e3 * first:.{decimals}f} ms/token in A", verdict, "", why, "", hue)


def _less_or_more(change: Change) -> str:
    if change.has_changed is False:
        return "no change beyond noise"
    sure = "" if change.has_changed else ", too few steps to be sure"
    return f"{100 * abs(change.relative):.1f} % {'more' if change.relative > 0 else 'less'}{sure}"


def _section(results: Sequence[Comparison], title: str, card: Card, show_all: bool) -> Section:
    alone = [f"{side}: {what}" for result in results for side, what in result.alone_in(title)]
    blocks: list[Block] = [Fact("only in", text) for text in dict.fromkeys(alone)]
    together = [text for result in results for text in result.together_in(title)]
    blocks += [Fact("taken together", text) for text in dict.fromkeys(together)]
    blocks += charts_of(results, title)
    for result in results:
        blocks += [Fact(f"{result.letter} less A", fact.text) for fact in explained(result, title)]
    blocks += _times(results, title, show_all)
    rates = rates_of(results, title)
    blocks += [Fold(f"Bytes and instructions by operation ({len(rates.rows)})", [rates])] if rates.rows else []
    for kind, name in (("whole", "Times of the whole, s"), ("metric", "Ratios"), ("event", "Events")):
        table = _quantities(results, title, kind, show_all or kind == "whole")
        blocks += [Fold(f"{name} ({len(table.rows)})", [table])] if table.rows else []
    if not any(change.has_changed or change.has_changed is None for r in results for change in r.of_phase(title)):
        blocks.append(Fact("in all", "nothing changed beyond noise"))
    return Section(title, blocks, card=card)


def _times(results: Sequence[Comparison], title: str, show_all: bool) -> list[Block]:
    """A token's time by operation, a column a capture, and what each adds to the difference from the first."""
    seconds = seconds_by_operation(results, title)
    speeds = _speeds(results, title)
    if not speeds:
        return []
    letters = ["A", *speeds]
    changes = {(result.letter, c.name): c for result in results for c in result.of(title, "operation")}
    names = by_size(seconds)
    shown = names if show_all else names[:MOST_PARTS]
    rows = [_row(name, [name], letters, seconds, changes, speeds) for name in shown]
    if rest := names[len(shown) :]:
        rows.append(_row(f"{len(rest)} others", rest, letters, seconds, {}, speeds))
    first = next(iter(speeds.values())).left
    whole: dict[str, float] = {"A": first} | {letter: change.right for letter, change in speeds.items()}
    last: list[Cell] = ["all together" if names else "time per token", *(1e3 * whole[letter] for letter in letters)]
    for change in speeds.values():
        last += [1e3 * change.difference, 100.0 if names and change.has_changed is not False else None]
    rows.append([*last, ", ".join(f"{letter} {_word(change)}" for letter, change in speeds.items())])
    decimals = fixed([cell for row in rows for cell in row[1 : 1 + len(letters)]], 4)
    columns = [Column("time per token, ms"), *(Column(letter, decimals, missing="-") for letter in letters)]
    for letter in speeds:
        columns.append(Column(f"{letter} less A", decimals, sign=True, missing="-"))
        columns.append(Column("of it", 1, " %", secondary=True, missing="-"))
    columns.append(Column("95 % sure", secondary=True))
    kept = [at for at, column in enumerate(columns) if column.title != "of it" or any(is_known(r[at]) for r in rows)]
    hues = [hue_of(str(row[0])) for row in rows[:-1]] + [""]
    return [Table("", tuple(columns[at] for at in kept), [[row[at] for at in kept] for row in rows], hues)]


def _row(
    title: str,
    names: Sequence[str],
    letters: Sequence[str],
    seconds: dict[str, dict[str, float]],
    changes: dict[tuple[str, str], Change],
    speeds: dict[str, Change],
) -> list[Cell]:
    """Of an operation, or of several that are one."""
    times = {letter: sum(seconds[letter].get(name, 0.0) for name in names) for letter in letters if letter in seconds}
    row: list[Cell] = [title, *(1e3 * times[letter] if letter in times else None for letter in letters)]
    words = []
    for letter, speed in speeds.items():
        known = letter in times and "A" in times
        difference = times[letter] - times["A"] if known else None
        whole = speed.difference if speed.has_changed is not False else 0.0
        row.append(None if difference is None else 1e3 * difference)
        row.append(100 * difference / whole if difference is not None and whole else None)
        if (change := changes.get((letter, names[0]))) is not None:
            words.append(f"{letter} {_word(change, letter)}")
    return [*row, ", ".join(words)]


def _word(change: Change, letter: str = "") -> str:
    if letter and (side := only_in(change, letter)):
        return "has it alone" if side == letter else "lacks it"
    return "no interval" if change.has_changed is None else "changed" if change.has_changed else "same"


def _percent(change: Change) -> str:
    return f"{100 * change.relative:+.1f} %" if math.isfinite(change.relative) else "from 0"


def _quantities(results: Sequence[Comparison], title: str, kind: str, show_all: bool) -> Table:
    """Times of runs without tokens, ratios or events, of those what changed in one of them; a column a capture."""
    found: dict[str, dict[str, Change]] = {}
    for result in results:
        for change in result.of(title, kind):
            found.setdefault(change.name, {})[result.letter] = change
    letters = [result.letter for result in results]
    rows: list[list[Cell]] = []
    for name, changes in found.items():
        if not show_all and not any(change.has_changed for change in changes.values()):
            continue
        first = next(iter(changes.values()))
        values = [first.left, *(changes[letter].right if letter in changes else None for letter in letters)]
        cells: list[Cell] = list(values)
        if kind == "metric":
            cells = ["-" if value is None else metrics.describe(value, first.unit) for value in values]
        words = [f"{letter} {_percent(c)} {_word(c)}" for letter, c in changes.items()]
        rows.append([name, *cells, ", ".join(words)])
    smallest = min((cell for row in rows for cell in row if isinstance(cell, float) and cell), default=1.0)
    decimals = None if kind == "metric" else min(3, fixed([smallest]))
    name = {"whole": "time, s", "metric": "ratio"}.get(kind, "event")
    columns = (Column(name), *(Column(letter, decimals, missing="-") for letter in ["A", *letters]))
    return Table("", (*columns, Column("change, 95 % sure", secondary=True)), rows)
