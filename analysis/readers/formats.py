"""Which format a file is in: a table, each row with a line as it stands in such a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from analysis.events import is_known_event
from analysis.readers import event_counts, perf_csv_metrics, windowsperf_csv, windowsperf_text
from analysis.readers.foreign import command_for
from analysis.readers.perf_csv_dialect import sniff
from analysis.readers.surroundings import ELAPSED, TITLE, bare, uncoloured

MOST_LINES = 2000
MOST_CHARACTERS = 1000
"""Of a line, when a format is looked for: no sign of a format stands farther behind."""

Sign = Callable[[str], bool]


class Format(NamedTuple):
    """name: for `--format`. sample: one real line. module: holds `read(source) -> Table`.

    sure: whether a line is that one, or another that only this format has. likely: the same of lines that other files
    might have as well; asked for when no format is sure. tells_running: False where the tool multiplexes without
    telling for how long each event was counted. least: bytes of a line, on average over many: real files have more.
    """

    name: str
    sample: str
    module: str
    sure: Sign
    likely: Sign | None = None
    tells_running: bool = True
    least: int = 16


def _begins(*starts: str) -> Sign:
    return lambda line: line.lstrip("\ufeff ").startswith(starts)


def _has_columns(*names: str) -> Sign:
    wanted = set(names)
    return lambda line: (
        names[0] in line and any(wanted <= {cell.strip(' "\ufeff') for cell in line.split(mark)} for mark in ",;")
    )


def _fits(pattern: str) -> Sign:
    """For patterns without nested or neighbouring repeats: they take time in proportion to the line."""
    compiled = re.compile(pattern)
    return lambda line: compiled.search(line) is not None


def _never(line: str) -> bool:
    return False


def _is_interval_header(line: str) -> bool:
    words = line.split()
    return words[:2] == ["#", "time"] and len(words) > 2


_TEXT_ROW = re.compile(
    r"( {0,40})(?:<not (?:counted|supported)>|\d[\d.,'’\u00a0\u202f]{0,40})(?: {1,9}msec)? {1,40}"
    r"([A-Za-z][\w./=:-]{0,80})(?: {0,60}(?:[#(\[]|$))"
)


def _is_row_of_text(line: str) -> bool:
    """A row of perf's table; where it does not stand aside, as pasted ones do not, of an event that we know."""
    row = _TEXT_ROW.match(line.expandtabs())
    return row is not None and (len(row[1]) > 1 or is_known_event(row[2]))


def _is_json_of_perf(line: str) -> bool:
    keys = ('"counter-value"', '"metric-value"', '"metricgroup"', '"pcnt-running"')
    return line.lstrip(" [").startswith(("{", *keys)) and any(key in line for key in keys)


def _is_object(line: str) -> bool:
    return line.lstrip().startswith('{"') or line.strip() == "{"


# In order of how sure a match is: the first that matches any of the file's first lines wins. Counts come before ratios,
# where somebody's notes hold both.
FORMATS = (
    Format(
        "q4engine-capture", "# q4engine capture", "q4engine_capture", _fits(r"^\ufeff?# q4engine capture\s*$"), least=40
    ),
    Format("markers", "time_ns,n_past,n_eval,phase", "markers_file", _begins("time_ns,n_past,n_eval")),
    Format(
        "streamline-timeline",
        "Index (s),Cycles:CPU Cycles [0],Stalls:Backend [0]",
        "streamline_timeline",
        _begins("Index (s),", '"Index (s)",', "Index (s);", '"Index (s)";'),
    ),
    Format("streamline-log", "When (s),Message,Channel", "streamline_log", _has_columns("When (s)"), least=12),
    Format(
        "streamline-functions",
        '"Periodic Samples: Periodic Samples","Counters: Cycles: CPU Cycles",uid,image,symbol,inlined from',
        "streamline_functions",
        _has_columns("symbol"),
        least=20,
    ),
    Format(
        "simpleperf-csv",
        "Performance counter statistics,",
        "simpleperf",
        _begins("Performance counter statistics,"),
        tells_running=False,
        least=24,
    ),
    Format(
        "simpleperf-text",
        "Performance counter statistics:",
        "simpleperf_text",
        _fits(r"^\s{0,8}(?:Performance counter statistics:|#[\w\s]{0,80}\bcount\s{1,40}event_name\b)"),
        tells_running=False,
        least=30,
    ),
    Format(
        "topdown-csv",
        "time,group,stage,level,metric,value,units",
        "topdown_csv",
        _has_columns("metric", "value", "group"),
        tells_running=False,
        least=30,
    ),
    Format(
        "topdown-events-csv",
        "run,time,event,value",
        "topdown_csv",
        _has_columns("run", "event", "value"),
        tells_running=False,
    ),
    Format(
        "pmu-ratio-table",
        "|Ratio               |   geomean|       p10|",
        "ratio_table",
        _fits(r"^\|\s*Ratio\s*\|\s*geomean\s*\|"),
        tells_running=False,
        least=30,
    ),
    Format(
        "windowsperf-text",
        "        counter value  event name  event idx  event note",
        "windowsperf_text",
        lambda line: windowsperf_text.HEADER.match(line) is not None,
        least=30,
    ),
    Format(
        "windowsperf-csv",
        "Multiplexing,FALSE",
        "windowsperf_csv",
        lambda line: windowsperf_csv.BEGIN.match(line) is not None,
    ),
    Format(
        "perf-text",
        "    44,847,565,198      cycles:u",
        "perf_text",
        lambda line: TITLE in line or ELAPSED in line or _is_interval_header(line),
        _is_row_of_text,
        least=36,
    ),
    Format(
        "topdown-text",
        "Stage 1 (Topdown metrics)",
        "topdown_text",
        _fits(r"\bStage \d{1,3} \([\w ]+\)\s*$|^[\s│]*CPU .{1,60} (?:metrics|topdown)\s*$"),
        _fits(
            r"[┃│|] *Metric *[┃│|].*[┃│|] *Unit|^\[(?:Cycle Accounting|Topdown|Speculative Operation Mix|General)\b.*\]"
        ),
        tells_running=False,
        least=12,
    ),
    Format(
        "perf-json",
        '{"counter-value" : "48.000000", "unit" : "", "event" : "page-faults", "event-runtime" : 854925}',
        "perf_json",
        _is_json_of_perf,
        _is_object,
        least=60,
    ),
    Format(
        "event-counts",
        '{"cycles": 1000000000, "stall_backend": 400000000}',
        "event_counts",
        _never,
        tells_running=False,
        least=12,
    ),
    Format("perf-csv", "0.83,msec,task-clock,833928,100.00,0.509,CPUs utilized", "perf_csv", _never, least=20),
)
NAMES = tuple(f.name for f in FORMATS)


def recognise(head: Sequence[str]) -> Format | None:
    """The format of a file from its first lines; None if it is none that we read, or another command's."""
    lines = [bare(line[:MOST_CHARACTERS]) for line in head[:MOST_LINES]]
    for candidate in FORMATS:
        if any(candidate.sure(line) for line in lines):
            return candidate
    if sniff([uncoloured(line) for line in head[:MOST_LINES]]):
        return named("perf-csv")
    if command_for(head):
        return None
    if perf_csv_metrics.header(head[:MOST_LINES]):
        return named("perf-csv")
    if event_counts.is_json(head):
        return named("event-counts")
    for candidate in FORMATS:
        if candidate.likely and any(candidate.likely(line) for line in lines):
            return candidate
    return named("event-counts") if event_counts.is_table(head) else None


def beside(head: Sequence[str], chosen: Format) -> list[str]:
    """Names of formats whose lines stand around perf's tables, as in somebody's notes."""
    if chosen.name != "perf-text":
        return []
    lines = [bare(line[:MOST_CHARACTERS]) for line in head[:MOST_LINES]]
    others = (candidate for candidate in FORMATS if candidate.name in ("topdown-text", "perf-json"))
    return [other.name for other in others if any(other.sure(line) for line in lines)]


def named(name: str | None) -> Format | None:
    """The format called so, None if there is none."""
    return next((f for f in FORMATS if f.name == name), None)


def tells_running(name: str | None) -> bool:
    """Whether captures of this format say for how long each event was counted; True for a format not in the table."""
    found = named(name)
    return found is None or found.tells_running
