"""Arm topdown-tool on a terminal: ratios only.

Old versions print a line a metric, `Backend Stalled Cycles. 84.38% cycles` under `[Cycle Accounting]`; newer ones a
tree whose leaves are tables of metric, value and unit.
Columns of single cores stand beside their aggregate: the aggregate is read. Output of the program around it is skipped.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from analysis.errors import printable
from analysis.phase import NOT_COUNTED, OK
from analysis.readers.perf_rows import KEPT, Malformed, PerfRow, check_length, named_metric, number
from analysis.readers.source import Source
from analysis.readers.surroundings import bare, is_decoration
from analysis.table import NAN, Table, TableBuilder

FORMAT = "topdown-text"
MOST_RUNS, MOST_METRICS = 1000, 10_000
MISSING = ("", "-", "nan", "n/a", "none")

_BARS = re.compile(r"[┃│|]")
_RULE = re.compile(r"[\s┃│|┏┓┗┛┡┩┢┪┣┫┳┻┯┷╇╈╋┼┬┴├┤┌┐└┘╭╮╰╯━─═+=*»«.-]*")
_MARKS = " »«*→←>"
_TREE = re.compile(r"[\s│|├└─`+-]*")
_CPU = re.compile(r"CPU (.{1,60}?)(?: metrics| topdown)?")
_RUN = re.compile(r"Run \d{1,9}")
_HEADING = re.compile(r"Stage (\d{1,3}) \(.*\)|\[[^\]]*\](?:\s{1,40}\[[^\]]*\])?")
_METRIC = re.compile(
    r"(?P<name>[A-Za-z][^.%]{0,100}?)(?:\.{1,80}| )\s{0,80}(?P<value>\d[\d.]{0,30}|nan(?= \())(?P<percent>%?)"
    r"(?P<unit>(?: [^.]*)?)"
)


@dataclass
class _State:
    """Of the file so far. columns: of the table that is open. node: the tree's last label. cpu: of the section, stage:
    its last.

    values: numbers of the columns that hold any. total: the one of all cores, -1 where it is not known.
    """

    columns: list[str] = field(default_factory=list)
    node: str = ""
    cpu: str = ""
    stage: int = 0
    is_inside: bool = False
    cores_set_aside: bool = False
    values: list[int] = field(default_factory=list)
    total: int = -1

    def open_table(self, columns: list[str]) -> None:
        self.columns, self.is_inside = columns, True
        self.values = [at for at, column in enumerate(columns) if column not in ("Metric", "Unit")]
        aggregated = (at for at in self.values if columns[at] == "Value" or columns[at].startswith("Aggregated"))
        self.total = next(aggregated, self.values[0] if len(self.values) == 1 else -1)


@dataclass
class _Run:
    """Ratios by CPU and name: a metric that belongs to two nodes of the tree is printed twice."""

    rows: dict[tuple[str, str], PerfRow] = field(default_factory=dict)


def read(source: Source) -> Table:
    """Raises AnalysisError where a metric's value is no number, or there is no metric."""
    state = _State()
    runs = [_Run()]
    for row, line in source.lines(exact=False):
        text = bare(line).strip()
        try:
            is_title = text.startswith("Run ") and _RUN.fullmatch(text) is not None
            if is_title or _begins_anew(text, state, runs[-1]):
                runs += [_Run()] if runs[-1].rows else []
                state.stage = 0
                if len(runs) > MOST_RUNS:
                    raise source.error(f"more than {MOST_RUNS} runs", row)
            found = None if is_title else _line(text, state, source, row)
            if found:
                _keep(runs[-1], state.cpu, found)
                if len(runs[-1].rows) > MOST_METRICS:
                    raise source.error(f"more than {MOST_METRICS} metrics", row)
        except Malformed as problem:
            source.reject(row, str(problem))
    runs = [run for run in runs if run.rows]
    if not runs:
        raise source.error("no metrics in it")
    return _tables(source, runs, state)


def _begins_anew(text: str, state: _State, run: _Run) -> bool:
    """Whether a heading is one that the run has had: the output of another command follows in the same file."""
    plain = text.lstrip("│|├└─`+- ")
    if plain.startswith("CPU ") and (cpu := _CPU.fullmatch(plain)):
        return any(known == cpu[1] for known, _ in run.rows)
    stage = _HEADING.fullmatch(plain) if plain.startswith("Stage ") else None
    return stage is not None and stage[1] is not None and int(stage[1]) <= state.stage


def _line(text: str, state: _State, source: Source, row: int) -> PerfRow | None:
    """The ratio of a line, None where it has none."""
    if not text or (not text[0].isalpha() and _RULE.fullmatch(text)):
        return None
    check_length(text)
    if text.startswith(("```", "~~~", "$ ")):
        state.is_inside = False  # prose follows, or another command
        source.skip(row)
        return None
    if _BARS.search(text):
        cells = [cell.strip(_MARKS) for cell in _BARS.split(text.strip(_MARKS))]
        if (len(cells) > 3 and "Value" in cells) or ("Metric" in cells and "Unit" in cells):
            state.open_table([cell for cell in cells if cell])
            return None
        if len(cells) > len(state.columns) and state.columns and text.strip(_MARKS)[-1:] in "┃│|":
            return _cells(cells[:-1][-len(state.columns) :], state)
    branch = _TREE.match(text)
    plain = text[branch.end() :] if branch else text
    cpu = _CPU.fullmatch(plain) if plain.startswith("CPU ") else None
    if cpu:
        state.cpu, state.columns, state.is_inside, state.stage = cpu[1], [], True, 0
    elif plain.startswith(("Stage ", "[")) and (heading := _HEADING.fullmatch(plain)):
        state.is_inside, state.columns = True, []
        state.stage = int(heading[1]) if heading[1] else state.stage
    elif plain != text:
        state.node, state.columns = re.sub(r"\s*\([^)]*\)$", "", plain), []
    elif state.is_inside and (found := _dotted(plain)):
        return found
    elif state.is_inside and (".." in plain or re.search(r"\d%", plain)) and not is_decoration(plain):
        raise Malformed(f"expected 'name.... value unit', found '{printable(plain)}'")
    else:
        source.skip(row)
    return None


@lru_cache(KEPT)
def _dotted(text: str) -> PerfRow | None:
    """The ratio of a line of the old form, `name.... value unit`."""
    match = _METRIC.fullmatch(text)
    return _metric(match["name"], match["value"], f"{match['percent']} {match['unit']}") if match else None


def _cells(cells: list[str], state: _State) -> PerfRow:
    columns = state.columns
    name = cells[columns.index("Metric")] if "Metric" in columns else state.node
    if state.total < 0 or not name:
        raise Malformed(f"a table of topdown-tool without a value for all cores: {printable(', '.join(columns))}")
    state.cores_set_aside |= len(state.values) > 1
    return _metric(name, cells[state.total], cells[columns.index("Unit")] if "Unit" in columns else "")


@lru_cache(KEPT)
def _metric(name: str, value: str, unit: str) -> PerfRow:
    unit = " ".join(unit.split())
    percent = value.endswith("%")
    digits = value.rstrip("%")
    unit = f"% {unit}".strip() if percent and not unit.startswith("%") else unit
    if digits.lower() in MISSING:
        return named_metric(0.0, "", NAN, name, "" if "?" in unit else unit, 0.0)._replace(status=NOT_COUNTED)
    return named_metric(0.0, "", number(digits, "the value"), name, unit)


def _keep(run: _Run, cpu: str, row: PerfRow) -> None:
    known = run.rows.get((cpu, row.event))
    if known is None or known.status != OK:
        run.rows[cpu, row.event] = row
    elif row.status == OK and not math.isclose(row.value, known.value):
        raise Malformed(f"{printable(row.spelling)} is {known.value:g} and {row.value:g} in one run")


def _tables(source: Source, runs: list[_Run], state: _State) -> Table:
    notes = source.closing_notes()
    if state.cores_set_aside:
        notes.append("columns of single cores set aside: the aggregate holds them all")
    if source.skipped:
        notes.append(f"{source.skipped} line(s) around topdown-tool's tables skipped")
    cpus = list(dict.fromkeys(cpu for run in runs for cpu, _ in run.rows))
    tables = []
    for n, run in enumerate(runs, 1):
        builder = TableBuilder()
        for (cpu, event), row in run.rows.items():
            builder.add(
                event,
                row.value,
                start_s=0.0,
                pmu=cpu if len(cpus) > 1 else "",
                status=row.status,
                running=row.running,
                unit=row.unit,
                source=row.spelling,
            )
        meta: dict[str, Any] = {"format": FORMAT, "path": str(source.path), "clock": ""}
        meta |= {"cpu": cpus[0]} if len(cpus) == 1 and cpus[0] else {}
        meta |= {"run": n} if len(runs) > 1 else {}
        tables.append(Table(builder.frame(), meta, [*notes]))
    tables[0].runs = tables[1:]
    return tables[0]
