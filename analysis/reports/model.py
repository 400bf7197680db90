"""What a report says, before it is text, a page or a picture: cards, sections, tables of numbers, charts.

Numbers of a column have the same decimals everywhere: a table holds them as numbers and shows them in one place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from analysis.reports.charts import Chart

Cell = str | float | None

EMULATED = "EMULATED: an emulator's counts and simulated caches, no stalls and no true time; never beside measured ones"


@dataclass(frozen=True)
class Card:
    """How fast a phase is, what bounds it, how sure that is, why, and what to do next, without full stops.

    speed: '' where not known.  confidence: '' where there is no finding.  hue: of the cause.
    """

    title: str
    speed: str
    verdict: str
    confidence: str
    why: str
    next: str
    hue: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        head = "  ".join(part for part in (self.title, self.speed) if part)
        sure = f" ({self.confidence} confidence)" if self.confidence else ""
        after = f". Next: {self.next}" if self.next else ""
        return f"{head}  {self.verdict}{sure}" + (f": {self.why}{after}" if self.why else after)


@dataclass(frozen=True)
class Column:
    """decimals: of every number in it; None for a column of text.  unit: behind each number.

    secondary: left out where there is little room.  sign: with a plus where above 0.
    """

    title: str
    decimals: int | None = None
    unit: str = ""
    secondary: bool = False
    sign: bool = False
    missing: str = ""

    @property
    def is_number(self) -> bool:
        return self.decimals is not None

    def show(self, cell: Cell) -> str:
        """A cell as text; `missing` for a number that is not known."""
        if isinstance(cell, str):
            return cell
        if cell is None or not math.isfinite(cell):
            return self.missing
        rounded = round(cell, self.decimals or 0) + 0.0  # no -0.0
        return f"{rounded:{'+' if self.sign and rounded else ''},.{self.decimals or 0}f}{self.unit}"


@dataclass(frozen=True)
class Table:
    """Rows as long as `columns`. hues: a row's colour, '' for none.  most: rows that the text shows, all if None.

    filtered: the page has a field whose words leave the rows that have them all.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]
    hues: Sequence[str] = ()
    most: int | None = None
    filtered: bool = False

    def shown(self, most: int | None = None) -> list[list[str]]:
        """The cells as text, without titles."""
        return [
            [column.show(cell) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows[slice(most)]
        ]


@dataclass(frozen=True)
class Fact:
    """A name and what is to be said under it; `under` are facts about the fact."""

    name: str
    text: str
    under: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Warn:
    """What nobody may overlook."""

    text: str


@dataclass(frozen=True)
class Fold:
    """Details: the page folds them. in_text: whether the text has them; `stalls --json` has everything."""

    title: str
    blocks: Sequence[Block]
    in_text: bool = True


Block = Fact | Warn | Table | Fold | Chart


@dataclass(frozen=True)
class Section:
    """A headline and what stands below. lead: one line under it.  card: whose verdict the section explains.

    in_text: False for sections that only a page has.
    """

    title: str
    blocks: Sequence[Block]
    lead: str = ""
    card: Card | None = None
    in_text: bool = True


@dataclass(frozen=True)
class Report:
    """title: the capture's name.  kind: what the report is about, in words.  facts: what is known beside the counts.

    details: the same for those who look closer.

    warnings: what nobody may overlook.  notes: on how it was read.
    picture: the charts that a picture has, in rows.
    """

    title: str
    kind: str
    facts: Sequence[str]
    details: Sequence[str]
    cards: Sequence[Card]
    sections: Sequence[Section]
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    picture: Sequence[Sequence[Chart]] = field(default_factory=tuple)


def fixed(values: Iterable[Cell], digits: int = 3, most: int = 6) -> int:
    """Decimals with which the largest of these numbers has so many digits; 0 without numbers."""
    sizes = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value) and value]
    return min(most, max(0, digits - 1 - math.floor(math.log10(max(sizes))))) if sizes else 0


def tables(blocks: Sequence[Block]) -> Iterator[Table]:
    """Every table, those in folds among them."""
    for block in blocks:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Fold):
            yield from tables(block.blocks)
