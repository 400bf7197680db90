"""A report as one self-contained page, fit for a phone, in light and dark: nothing is fetched.

Everything that stems from a capture is escaped; a security policy forbids what might slip by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis import palette
from analysis.reports import svg
from analysis.reports.charts import Bars, Boxes, Heat, Plot
from analysis.reports.model import Block, Card, Cell, Fact, Fold, Report, Section, Table, Warn
from analysis.reports.page_style import DEFINITIONS, POLICY, SCRIPT, STYLE
from analysis.reports.svg import text

_MOST_CARDS = 6
_SURE = {"low": "●○○", "medium": "●●○", "high": "●●●"}


def render(report: Report) -> str:
    """The page as text."""
    body = "\n".join(_body(report))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n'
        f"<title>{text(report.title)}: {text(report.kind)}</title>\n<style>{STYLE}</style></head>\n"
        f"<body>\n{DEFINITIONS}\n{body}\n<script>{SCRIPT}</script>\n</body></html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    yield f"<header><h1><small>{text(report.kind)}</small>{text(report.title)}</h1>"
    if report.facts:
        yield f'<p class="facts">{text(" · ".join(report.facts))}</p>'
    yield "</header>"
    for warning in report.warnings:
        yield _warn(warning)
    if report.cards:
        yield f'<div class="cards">{"".join(map(_card, report.cards[:_MOST_CARDS]))}</div>'
    if rest := report.cards[_MOST_CARDS:]:
        cards = "".join(map(_card, rest))
        yield f'<details><summary>{len(rest)} more</summary><div class="cards">{cards}</div></details>'
    for title, entries in (("Notes on reading", report.notes), ("How it ran", report.details)):
        if entries:
            items = "".join(f"<li>{text(entry)}</li>" for entry in entries)
            yield f"<details><summary>{title} ({len(entries)})</summary><ul>{items}</ul></details>"
    yield "<main>"
    for section in report.sections:
        yield from _section(section)
    yield "</main>"


def _card(card: Card) -> str:
    """What a hurried reader needs of a phase."""
    number, _, unit = card.speed.partition(" ")
    speed = f"<span><b>{text(number)}</b> {text(unit)}</span>" if card.speed else ""
    after = f'<p class="next">Next: {text(card.next)}</p>' if card.next else ""
    return (
        f'<article class="card {card.hue or palette.OTHER}"><h3>{text(card.title)}{speed}</h3>'
        f'<p class="verdict">{text(card.verdict)} {_sure(card)}</p><p>{text(card.why)}</p>{after}</article>'
    )


def _sure(card: Card) -> str:
    if not card.confidence:
        return ""
    dots = _SURE.get(card.confidence, "")
    return f'<span class="sure"><span aria-hidden="true">{dots}</span> {text(card.confidence)} confidence</span>'


def _section(section: Section) -> Iterator[str]:
    yield "<section>"
    if section.title:
        yield f"<h2>{text(section.title)}</h2>"
    if section.lead:
        yield f'<p class="soft">{text(section.lead)}</p>'
    yield from _blocks(section.blocks)
    yield "</section>"


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    """Blocks in their order, facts that follow each other as one list."""
    facts: list[str] = []
    for block in blocks:
        if isinstance(block, Fact):
            facts.append(_fact(block))
            continue
        if facts:
            yield f"<dl>{''.join(facts)}</dl>"
            facts = []
        if isinstance(block, Warn):
            yield _warn(block.text)
        elif isinstance(block, Fold):
            yield f"<details><summary>{text(block.title)}</summary>"
            yield from _blocks(block.blocks)
            yield "</details>"
        elif isinstance(block, Table):
            yield _table(block)
        elif isinstance(block, Bars | Plot | Boxes | Heat):
            yield svg.figure(block)
    if facts:
        yield f"<dl>{''.join(facts)}</dl>"


def _fact(fact: Fact) -> str:
    under = "".join(f"<li>{text(one.name)}: {text(one.text)}</li>" for one in fact.under)
    return f"<dt>{text(fact.name)}</dt><dd>{text(fact.text)}{f'<ul>{under}</ul>' if under else ''}</dd>"


def _warn(words: str) -> str:
    return f'<p class="warn {palette.WAITING}">{text(words)}</p>'


def _table(table: Table) -> str:
    kinds = [_kind(column.is_number, column.secondary) for column in table.columns]
    heads = "".join(
        f'<th scope="col"{kind}>{text(column.title)}</th>' for column, kind in zip(table.columns, kinds, strict=True)
    )
    lines = []
    for number, (row, shown) in enumerate(zip(table.rows, table.shown(), strict=True)):
        hue = table.hues[number] if number < len(table.hues) else ""
        cells = [
            f"<td{kind}{_sorted_by(cell)}>{text(words)}</td>"
            for kind, cell, words in zip(kinds, row, shown, strict=True)
        ]
        if hue:
            cells[0] = f'<td class="named"><i class="swatch {hue}"></i>{text(shown[0])}</td>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    caption = f"<caption>{text(table.title)}</caption>" if table.title else ""
    head, body = f"<thead><tr>{heads}</tr></thead>", f"<tbody>{''.join(lines)}</tbody>"
    kind = ' class="filtered"' if table.filtered else ""
    return f'<div class="scroll"><table{kind}>{caption}{head}{body}</table></div>'


def _kind(is_number: bool, secondary: bool) -> str:
    names = " ".join(name for name, holds in (("n", is_number), ("less", secondary)) if holds)
    return f' class="{names}"' if names else ""


def _sorted_by(cell: Cell) -> str:
    """A number as the script sorts it: exact."""
    return f' data-v="{cell:.9g}"' if isinstance(cell, float) and cell == cell else ""
