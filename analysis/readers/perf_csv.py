"""`perf stat -x SEP`, block by block: regular ones as columns (`perf_csv_fast`), others a line at a time."""

from __future__ import annotations

from analysis.readers import perf_csv_fast
from analysis.readers.perf_csv_row import parse, sniff_separator
from analysis.readers.perf_rows import Malformed, PerfBuilder, is_transcript
from analysis.readers.source import Source
from analysis.table import Table

FORMAT = "perf-csv"
RESERVE_FROM = 1 << 20


def read(source: Source) -> Table:
    separator = sniff_separator(source.head)
    if separator is None:
        raise source.error("no separator splits its rows into perf's fields (time, scope, count, unit, event, …)")
    builder = PerfBuilder(source, FORMAT)
    builder.meta["separator"] = separator
    for row, block in source.blocks():
        row, block = _without_header(builder, row, block)
        if len(block) > RESERVE_FROM and not builder.rows.n_rows:
            builder.rows.reserve(int(source.size / len(block) * block.count(b"\n") * 1.05))
        if not perf_csv_fast.add_block(builder, separator, row, block):
            add_lines(builder, separator, row, block)
    return builder.table()


def _without_header(builder: PerfBuilder, row: int, block: bytes) -> tuple[int, bytes]:
    """The block from its first line on that is no comment, so that one comment does not make it irregular."""
    at = 0
    while block.startswith((b"#", b"\n", b"\r\n"), at):
        end = block.index(b"\n", at)
        for _, line in builder.source.decode_block(row, block[at : end + 1]):
            builder.header_line(line)
        at, row = end + 1, row + 1
    return row, block[at:]


def add_lines(builder: PerfBuilder, separator: str, row: int, block: bytes) -> None:
    """The careful way: line by line."""
    for number_of_line, line in builder.source.decode_block(row, block):
        if not line.strip():
            continue
        if line.startswith("#") or is_transcript(line):
            builder.header_line(line)
            continue
        try:
            parsed = parse(line, separator)
        except Malformed as problem:
            builder.source.reject(number_of_line, str(problem))
            continue
        if parsed is not None:
            builder.add(parsed)
