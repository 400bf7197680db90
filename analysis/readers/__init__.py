"""Readers: one small module a format, all giving the one table of `analysis.table`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import collecting
from analysis.errors import AnalysisError, printable
from analysis.readers.source import Source

if TYPE_CHECKING:
    from analysis.table import Table


@collecting.rarely()
def read(path: str | Path | Source, format: str | None = None, lenient: bool = False) -> Table:
    """Reads a capture; `-` is standard input. `format` is one of `formats.NAMES`; None recognises it by the content.

    A folder that holds a Streamline export (`timeline.csv`) is read as that export. Malformed rows raise AnalysisError
    with file, line and reason; with `lenient` they are skipped, counted and named in `Table.notes`.
    """
    from analysis.readers import foreign, formats, prefixes
    from analysis.readers.surroundings import TITLE

    if isinstance(path, Source):
        source = path
    else:
        path = Path(path)
        source = Source(path / "timeline.csv" if _is_file(path / "timeline.csv") else path, lenient)
    if prefixes.is_two_in_one(source.head):
        raise source.error(
            "is a diff of two tables, the old one's rows behind - and the new one's behind +: which is meant is not "
            "clear; hand over the files themselves, as to `python -m analysis.compare OLD NEW`"
        )
    chosen = formats.named(format) if format else formats.recognise(source.head)
    if chosen is None and not format and source.holds(TITLE.encode()):
        chosen = formats.named("perf-text")  # below more output of a program than is looked at line by line
    if chosen is None and format:
        raise AnalysisError(f"no format is called '{format}'; there are {', '.join(formats.NAMES)}")
    if chosen is None and (other := foreign.command_for(source.head)):
        raise source.error(f"is {other.what}: {other.advice}")
    if chosen is None:
        source.check_text()
        first = next((line.strip() for line in source.head if line.strip()), "")
        if not first:  # separators of ASCII, which are blanks in text alone
            raise source.error("holds nothing but blanks")
        known = ", ".join(formats.NAMES)
        raise source.error(f"no known capture format, it begins '{printable(first, 80)}'; known are {known}")
    source.least = chosen.least
    table: Table = import_module(f"analysis.readers.{chosen.module}").read(source)
    if others := formats.beside(source.head, chosen):
        table.notes.append(f"{' and '.join(others)} beside perf's table is not read: give it as a file of its own")
    return table


def _is_file(path: Path) -> bool:
    """False also for names that no file can have; what is wrong with those is for `Source` to say."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
