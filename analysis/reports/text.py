"""A report for a terminal: the cards as lines, then every section, folds unfolded. Charts are for the other two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from analysis.errors import printable
from analysis.reports.model import Block, Card, Fact, Fold, Report, Section, Table, Warn
from analysis.terminal import aligned, fitted, wrapped

_NAME = 10  # columns that the name of a fact takes at least, its colon among them


def render(report: Report, source: str) -> str:
    """The whole report, ending in a line break. source: what the first line names, such as the capture's path."""
    lines = fitted([printable(source, 600)])
    for card in report.cards:
        lines += wrapped("  ", card.line, "    ")
    if facts := [*report.facts, *report.details]:
        lines += wrapped("  ", " · ".join(facts))
    lines += [line for warning in report.warnings for line in fitted([f"  {warning}"])]
    for note in report.notes:
        lines += wrapped("  note: ", note)
    for section in report.sections:
        if section.in_text:
            lines += ["", *_section(section)]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    head = "  ".join(part for part in (section.title, section.lead) if part)
    yield from fitted([head] if head else [])
    if section.card:
        yield from wrapped("  => ", _verdict(section.card))
    yield from _blocks(section.blocks, "     " if section.title else "")


def _verdict(card: Card) -> str:
    return card.verdict + (f" (confidence: {card.confidence})" if card.confidence else "")


def _blocks(blocks: Sequence[Block], indent: str) -> Iterator[str]:
    for block in blocks:
        if isinstance(block, Fact):
            yield from wrapped(f"{indent}{block.name + ':':<{_NAME}} ", block.text)
            for under in block.under:
                yield from wrapped(f"{indent}  {under.name}: ", under.text)
        elif isinstance(block, Warn):
            yield from wrapped(indent, block.text)
        elif isinstance(block, Fold) and block.in_text:
            yield from _blocks(block.blocks, indent)
        elif isinstance(block, Table):
            yield from table(block, indent)


def table(block: Table, indent: str = "") -> list[str]:
    """A table's lines, as many rows as the text has of it."""
    texts = [number for number, column in enumerate(block.columns) if not column.is_number]
    title = [f"{indent}{block.title}"] if block.title else []
    titles = [column.title for column in block.columns]
    return [*fitted(title), *aligned([titles, *block.shown(block.most)], texts, indent)]
