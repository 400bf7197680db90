"""`perf stat -j`: one JSON object a line, in the forms of old and new perf.

Old perf writes numbers bare, newer quotes them and prints `"(null)"` for no unit. Records that hold only a ratio follow
their event, or the head of their group (`"metricgroup" : "TopdownL1"`); captures of `--metric-only` hold nothing else,
with a key a metric, or with the names on a line of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from analysis.readers.json_records import Documents, Pairs, unique
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_json_row import parse, text_of
from analysis.readers.perf_json_shapes import State, add_known, found_in, is_of_others, new_shapes
from analysis.readers.perf_metric_columns import metric_of
from analysis.readers.perf_metric_lines import MetricLines
from analysis.readers.perf_rows import Malformed, PerfRow, is_transcript, number
from analysis.readers.shape_blocks import Lines
from analysis.readers.source import Source
from analysis.readers.usual_runs import Run, Runs
from analysis.table import NAN, Table

FORMAT = "perf-json"


def read(source: Source) -> Table:
    """Raises AnalysisError where a record is wrong or there is none."""
    builder = PerfBuilder(source, FORMAT)
    state = State()
    lines = Lines(new_shapes())
    taker = _Taker(state, Runs(lines, builder))
    values = MetricLines(builder)
    if source.head[0].strip() in ("{", "["):
        source.least = 8  # a record stands on several lines
    for row, line, is_spread in taker.documents.of(taker.lines(source)):
        if state.names and values.take(line):
            continue
        values.flush()
        found = None if state.names else lines.shapes.find(line) if is_spread else lines.find(row, line)
        if found and add_known(builder, found, state):
            continue
        if line.startswith("#") or is_transcript(line):
            builder.header_line(line)
            continue
        if not line.strip().startswith(("{", "[{", "[ {")) and '" :' not in line:
            source.skip(row)  # what the program itself printed
            continue
        try:
            objects = found_in(line)
            if is_of_others(objects):
                source.skip(row)
                continue
            for one in _line(objects, row, state):
                builder.add(one)
            _learn(values, objects, state)
        except Malformed as problem:
            source.reject(row, str(problem))
    values.flush()
    if not state.are_used:
        source.reject(state.row, "no counter and no metric in the record")
    table = builder.table()
    if state.derived:
        table.notes.append(f"{state.derived} record(s) that hold only a derived metric are not read")
    return table


class _Taker:
    """Usual records go to the table as runs (`usual_runs`), save below a line of names and within another object."""

    def __init__(self, state: State, runs: Runs) -> None:
        self.documents = Documents()
        self._state, self._runs = state, runs

    def lines(self, source: Source) -> Iterator[tuple[int, str]]:
        """The lines besides those of runs."""
        for row, block in source.blocks():
            yield from self._runs.besides(self._runs.lines.of_block(source, row, block), self)

    def may_take(self) -> bool:
        """Whether usual records are read here as they stand."""
        return not (self._state.names or self.documents.is_open)

    def take(self, run: Run) -> None:
        """Adds the run. Ratios below it belong to none of its groups."""
        self._runs.add(run)
        self._state.running, self._state.group = NAN, ""


def _line(found: list[Pairs], row: int, state: State) -> list[PerfRow]:
    if all(key == "unit" for pairs in found for key, _ in pairs):
        state.names = [text_of(value) for pairs in found for _, value in pairs]
        state.row, state.are_used = row, False
        return []
    if state.names and [key for key, _ in found[-1]] == ["metric-value"]:
        return _columns(found, state)
    return [one for pairs in found for one in state.rows(parse(unique(pairs)))]


def _learn(values: MetricLines, found: list[Pairs], state: State) -> None:
    """How the lines below a line of names are spelled, from one that was read."""
    keys = [key for pairs in found for key, _ in pairs]
    if not state.names or keys != ["interval", *["metric-value"] * len(state.names)]:
        values.forget()
        return
    value = r'\}\{"metric-value" : "'
    texts = [text_of(text) for pairs in found[1:] for _, text in pairs]
    names = [(name, "") for name in state.names]
    values.learn(names, texts, f'"{value}', r'"\}', begin=r'\{"interval" : ', behind_time=value)


def _columns(found: list[Pairs], state: State) -> list[PerfRow]:
    """The values below a line of names, each an object; before them the interval, where there is one."""
    time_s = NAN
    if found[0][0][0] == "interval":
        time_s, found = number(text_of(found[0][0][1]), "the interval"), found[1:]
    values = [text_of(pairs[0][1]) for pairs in found if [key for key, _ in pairs] == ["metric-value"]]
    if len(values) != len(found) or len(values) != len(state.names):
        raise Malformed(f"{len(found)} values below the names of {len(state.names)} metrics")
    state.are_used = True
    rows = [metric_of(time_s, "", name, value) for name, value in zip(state.names, values, strict=True)]
    return [row for row in rows if row is not None]
