"""Records of `perf stat -j` by their shape (`shapes`): one object a line, in any locale."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from analysis.readers import usual_rows
from analysis.readers.json_records import Pairs, records, unique
from analysis.readers.perf_builder import PerfBuilder
from analysis.readers.perf_json_row import OTHER_KEYS, parse
from analysis.readers.perf_rows import LONGEST_ROW, PerfRow, is_transcript, of_group
from analysis.readers.perf_text_row import TextLine
from analysis.readers.shapes import Found, Kind, Shapes, added
from analysis.table import NAN

# The number of a CPU is its name: rows of others are of another shape.
_NO_CPU = "".join(f"(?<!{before})" for before in ('"cpu" : "', '"cpu": "', '"cpu":"', '"cpu" : ', '"cpu": ', '"cpu":'))
_NUMBER = re.compile(rf'((?<=[:\s"]){_NO_CPU}\d+(?:[.,]\d+)?)(?=["\s,}}])', re.ASCII)
_NEEDLESS_ZEROS = re.compile(r'(?<=[:\s"])0+(?=\d)')


@dataclass
class State:
    """running, group: of the metrics whose ratios follow. names: of `--metric-only`'s columns, on line `row`.

    derived: records with a ratio that only repeats the counts.
    """

    running: float = NAN
    group: str = ""
    names: list[str] = field(default_factory=list)
    row: int = 0
    are_used: bool = True
    derived: int = 0

    def rows(self, line: TextLine) -> list[PerfRow]:
        """The rows of a record in its place: with the group and the share of the record above."""
        if line.row:
            self.running, self.group = NAN, ""
            return [line.row, *(metric._replace(running=line.row.running) for metric in line.metrics)]
        if line.group:
            self.running, self.group = NAN if line.running is None else line.running, line.group
            return []
        if line.running is not None and line.running != line.running:  # with keys of their own
            return line.metrics
        self.derived += not line.metrics
        running = self.running if line.running is None else line.running
        return [of_group(metric._replace(running=running), self.group) for metric in line.metrics]


def new_shapes() -> Shapes:
    return Shapes(_is_plain, Kind(_NUMBER, _parsed, has_errors=True, is_strict=True, cut=usual_rows.of_json))


def found_in(line: str) -> list[Pairs]:
    """The objects of a line, which may stand in a list. Raises Malformed."""
    return records(line.strip().lstrip("[ "))


def is_of_others(found: list[Pairs]) -> bool:
    """Objects of the program itself: perf's own have a key of its, or metrics, which it quotes."""
    return not any(key in OTHER_KEYS or isinstance(value, str) for pairs in found for key, value in pairs)


def _is_plain(line: str) -> bool:
    return len(line) <= LONGEST_ROW and not line.startswith("#") and not is_transcript(line)


def _parsed(line: str) -> TextLine | None:
    """A number changed to one that begins with 0, which no JSON has, is read for what it was meant to be."""
    found = found_in(_NEEDLESS_ZEROS.sub("", line))
    if len(found) != 1 or is_of_others(found) or all(key == "unit" for key, _ in found[0]):
        return None
    parsed = parse(unique(found[0]))
    if parsed.row and parsed.row.is_summary:
        return None
    if not (parsed.row or parsed.metrics or parsed.group) and parsed.running != parsed.running:
        return None
    return parsed


def add_known(builder: PerfBuilder, found: Found, state: State) -> bool:
    """Adds a record of a known shape; False where it has to be read with care."""
    shape, values = found
    time_s, share = shape.time_s(values), shape.running(values)
    if (share is not None and share > 1) or (time_s != time_s and builder.n_timed and (shape.row or shape.metrics)):
        return False
    if shape.row is None:
        rows = state.rows(shape.line(values, share))
        if rows:
            builder.add_rows([_added(row) for row in rows])
        return True
    assert share is not None
    state.running, state.group = NAN, ""
    if shape.error >= 0 and (error := values[shape.error]) > 0:
        builder.add_error(shape.row.scope, shape.row.event, error)
    builder.add_rows(added(shape, values, time_s, share))
    return True


def _added(metric: PerfRow) -> tuple[float, float, float, float, str, str, str, str, str, str, str]:
    named = (metric.scope, "", metric.event, metric.status, metric.unit, "", metric.spelling)
    return (metric.time_s, NAN, metric.value, metric.running, *named)
