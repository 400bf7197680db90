"""Which format a file is in: a table, each row with a line as it stands in such a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from analysis.readers.perf_csv_row import sniff_separator

MOST_LINES = 2000


class Format(NamedTuple):
    """name: for `--format`. sample: one real line. pattern: finds that line, or another that only this format has.

    module: holds `read(source) -> Table`. tells_running: False where the tool multiplexes without telling for how long
    each event was counted.
    """

    name: str
    sample: str
    pattern: str
    module: str
    tells_running: bool = True


# In order of how sure a match is: the first that matches any of the file's first lines wins.
FORMATS = (
    Format("q4engine-capture", "# q4engine capture", r"^# q4engine capture\s*$", "q4engine_capture"),
    Format("markers", "time_ns,n_past,n_eval,phase", r"^time_ns,n_past,n_eval\b", "markers_file"),
    Format(
        "streamline-timeline",
        "Index (s),Cycles:CPU Cycles [0],Stalls:Backend [0]",
        r'^"?Index \(s\)"?\s*,',
        "streamline_timeline",
    ),
    Format("streamline-log", "When (s),Message,Channel", r'^(.*,)?"?When \(s\)"?\s*(,|$)', "streamline_log"),
    Format(
        "streamline-functions",
        '"Periodic Samples: Periodic Samples","Counters: Cycles: CPU Cycles",uid,image,symbol,inlined from',
        r'^("?(Periodic Samples|Counters):.*|.*,)"?symbol"?\s*(,|$)',
        "streamline_functions",
    ),
    Format(
        "simpleperf-csv", "Performance counter statistics,", r"^Performance counter statistics,", "simpleperf", False
    ),
    Format(
        "topdown-csv",
        "time,group,stage,level,metric,value,units",
        r"^(\w+,)*time,.*\bmetric,value\b",
        "topdown_csv",
        tells_running=False,
    ),
    Format(
        "topdown-events-csv",
        "run,time,event,value",
        r"^(\w+,)*time,(\w+,)*event,value\b",
        "topdown_csv",
        tells_running=False,
    ),
    Format(
        "topdown-text", "Stage 1 (Topdown metrics)", r"^\s*Stage \d+ \(.*\)\s*$", "topdown_text", tells_running=False
    ),
    Format(
        "pmu-ratio-table",
        "|Ratio               |   geomean|       p10|",
        r"^\|\s*Ratio\s*\|\s*geomean\s*\|",
        "ratio_table",
        tells_running=False,
    ),
    Format(
        "perf-json",
        '{"counter-value" : "48.000000", "unit" : "", "event" : "page-faults", "event-runtime" : 854925}',
        r'^\s*\{\s*"[^"]+"\s*:.*\}\s*,?\s*$',
        "perf_json",
    ),
    Format(
        "perf-text",
        "    44,847,565,198      cycles:u",
        r"^\s*Performance counter stats for|^#\s+time\s.*\bcounts\b.*\bevents|seconds time elapsed\s*$"
        r"|^\s{2,}(<not (counted|supported)>|\d[\d.,'’\u00a0\u202f]*)(\s+msec)?\s+[A-Za-z][\w./=:-]*\s*(#|\(|$)",
        "perf_text",
    ),
    Format("perf-csv", "0.83,msec,task-clock,833928,100.00,0.509,CPUs utilized", "", "perf_csv"),
)
NAMES = tuple(f.name for f in FORMATS)


def recognise(head: Sequence[str]) -> Format | None:
    """The format of a file from its first lines; None if it is none that we read."""
    lines = head[:MOST_LINES]
    for candidate in FORMATS:
        if candidate.pattern:
            pattern = re.compile(candidate.pattern)
            if any(pattern.search(line) for line in lines):
                return candidate
        elif sniff_separator(lines) is not None:
            return candidate
    return None


def named(name: str | None) -> Format | None:
    return next((f for f in FORMATS if f.name == name), None)


def tells_running(name: str | None) -> bool:
    """Whether captures of this format say for how long each event was counted; True for a format not in the table."""
    found = named(name)
    return found is None or found.tells_running
