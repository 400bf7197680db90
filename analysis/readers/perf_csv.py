"""`perf stat -x SEP`, block by block: regular ones as columns (`perf_csv_fast`), others a line at a time."""

from __future__ import annotations

from analysis.errors import printable
from analysis.readers import perf_csv_fast, perf_csv_metrics
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_csv_dialect import separator_of, sniff
from analysis.readers.perf_csv_row import Dialect, is_row_like, parse
from analysis.readers.perf_csv_shapes import add_known, shapes_of
from analysis.readers.perf_rows import Malformed, check_length, is_transcript, of_group
from analysis.readers.shape_blocks import Lines
from analysis.readers.source import Source
from analysis.readers.surroundings import bare_block, uncoloured
from analysis.readers.usual_runs import Runs
from analysis.table import NAN, Table

FORMAT = "perf-csv"
RESERVE_FROM = 1 << 20


def read(source: Source) -> Table:
    """Raises AnalysisError where no separator fits, or a row is wrong."""
    dialect = sniff([uncoloured(line) for line in source.head])
    if dialect is None:
        if names := perf_csv_metrics.header(source.head):
            return perf_csv_metrics.read(source, names)
        raise source.error("no separator splits its rows into perf's fields (time, scope, count, unit, event, …)")
    builder = PerfBuilder(source, FORMAT)
    builder.meta["separator"] = dialect.separator
    shapes = shapes_of(dialect)
    runs = Runs(Lines(shapes), builder) if shapes else None
    for row, block in source.blocks():
        row, block = _without_header(builder, row, bare_block(block))
        if len(block) > RESERVE_FROM and not builder.rows.n_rows:
            builder.rows.reserve(int(source.size / len(block) * block.count(b"\n") * 1.05))
        if not perf_csv_fast.add_block(builder, dialect, row, block):
            add_lines(builder, dialect, row, block, runs)
    return builder.table()


def _without_header(builder: PerfBuilder, row: int, block: bytes) -> tuple[int, bytes]:
    """The block from its first line on that is no comment, so that one comment does not make it irregular."""
    at = len(block) - len(block.lstrip(b"\n"))
    row += at
    while block.startswith((b"#", b"\n", b"\r\n"), at):
        end = block.index(b"\n", at)
        for _, line in builder.source.decode_block(row, block[at : end + 1]):
            builder.header_line(line)
        at, row = end + 1, row + 1
    return row, block[at:]


def add_lines(builder: PerfBuilder, dialect: Dialect, row: int, block: bytes, runs: Runs | None = None) -> None:
    """The careful way: line by line. Lines with no count in them are another program's output: skipped, counted.

    runs: with the shapes that are known, None where none are looked for.
    """
    running, group = NAN, ""  # of the metrics whose ratios follow
    source = builder.source
    lines = runs.besides(runs.lines.of_block(source, row, block)) if runs else source.decode_block(row, block)
    for number_of_line, line in lines:
        has_fields = dialect.separator in line
        found = runs.lines.find(number_of_line, line) if runs and has_fields else None
        if found and (state := add_known(builder, found, running, group)):
            running, group = state
            continue
        if not line.strip():
            continue
        if line.startswith("#") or is_transcript(line):
            builder.header_line(line)
            continue
        if not has_fields and not is_row_like(line, dialect.separator):
            if other := separator_of(line):
                why = f"a row with '{printable(other)}' between its fields, those above have '{dialect.separator}'"
                source.reject(number_of_line, why)
            else:
                source.skip(number_of_line)
            continue
        try:
            check_length(line)
            parsed = parse(line, dialect)
        except Malformed as problem:
            if is_row_like(line, dialect.separator):
                source.reject(number_of_line, str(problem))
            else:
                source.skip(number_of_line)
            continue
        if parsed.row is not None:
            builder.add(parsed.row)
            running, group = NAN, ""
        if parsed.group:
            group = parsed.group
        if parsed.running == parsed.running:
            running = parsed.running
        for metric in parsed.metrics:
            metric = of_group(metric, group)
            builder.add(metric if metric.running == metric.running else metric._replace(running=running))
