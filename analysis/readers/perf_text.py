"""`perf stat`'s table for people: `97,802,239,452      cycles      #  1.5 GHz    (50.02%)`.

The bracket is the share of time in which the event was counted; without one it was counted throughout. Thousands are
separated as the locale has it, decimals as well.
"""

from __future__ import annotations

import re

from analysis.errors import printable
from analysis.readers.perf_rows import (
    Malformed,
    PerfBuilder,
    PerfRow,
    check_length,
    count,
    event_name,
    grouped_scope,
    is_transcript,
    number,
    reading,
    share,
)
from analysis.readers.source import Source
from analysis.table import NAN, Table

FORMAT = "perf-text"

_BLANKS = "\u00a0\u202f\u2009"
_ROW = re.compile(
    r"\s*(?:(?P<time>\d+[.,]\d{9})\s+)?"
    r"(?:(?P<group>CPU\d+|S\d+(?:-[DLCIS]+\d+)*|N\d+)\s+(?:\d+\s+(?=\S+\s+\S))?|(?P<thread>\S.*?-\d+)\s+)?"
    rf"(?P<value><not counted>|<not supported>|\d[\d.,'’{_BLANKS}]*)\s+"
    r"(?:(?P<unit>msec|sec|ns|Joules|[KMG]i?B|C|W|%)\s+)?"
    r"(?P<event>\S+)"
    r"(?:\s+#(?P<metric>.*?))?"
    r"(?:\s+\(\s*\+-\s*[\d.,]+%\s*\))?"
    r"(?:\s+\(\s*(?P<percent>\d+[.,]\d+)%\s*\))?"
    r"(?:\s+\(\s*\+-\s*[\d.,]+%\s*\))?\s*"
)
_SECONDS = re.compile(
    rf"\s*(?P<value>[\d.,'’{_BLANKS}]+)\s*(?:\+-\s*[\d.,]+\s+)?seconds (?P<what>time elapsed|user|sys)\b.*"
)
_CONTINUED = re.compile(r"\s+#.*?(?:\(\s*(?P<percent>\d+[.,]\d+)%\s*\))?\s*")
_TITLE = re.compile(r"\s*Performance counter stats for (?P<what>.*?):?\s*")


def read(source: Source) -> Table:
    builder = PerfBuilder(source, FORMAT)
    last: PerfRow | None = None
    for row, line in source.lines():
        try:
            check_length(line)
            continued = _CONTINUED.fullmatch(line)
            if continued and last:
                # An event with two metrics takes two lines, and the bracket stands on the second.
                last = last._replace(running=_running(continued["percent"])) if continued["percent"] else last
                continue
            if not line.strip() or _header(builder, line):
                continue
            match = _ROW.fullmatch(line)
            if not match:
                raise Malformed(f"expected a count and an event, found '{printable(line.strip())}'")
            if last:
                builder.add(last)
            last = None
            last = _row(match)
        except Malformed as problem:
            source.reject(row, str(problem))
    if last:
        builder.add(last)
    return builder.table()


def _header(builder: PerfBuilder, line: str) -> bool:
    """Takes what is no count: title, comments, continued metrics, closing times. False for all else."""
    title = _TITLE.fullmatch(line)
    seconds = _SECONDS.fullmatch(line)
    if title:
        if "target" in builder.meta:
            raise builder.source.error("holds several runs of perf stat; read them one at a time")
        builder.meta["target"] = title["what"].strip("'")
    elif seconds:
        value = decimal(seconds["value"])
        if seconds["what"] == "time elapsed":
            builder.elapsed_s = value
        else:
            builder.meta[f"{seconds['what']}_s"] = value
    elif line.startswith("#") or is_transcript(line):
        builder.header_line(line)
    else:
        # perf ends some tables with advice, all of it behind these words.
        return line.startswith(("Some events weren't", "\techo", "\tperf stat"))
    return True


def _row(match: re.Match[str]) -> PerfRow:
    time_s = number(match["time"].replace(",", "."), "the time") if match["time"] else NAN
    scope = ""
    if match["group"]:
        scope = grouped_scope(match["group"]) or ""
        if not scope:
            raise Malformed(f"'{printable(match['group'])}' is no group of CPUs")
    elif match["thread"]:
        scope = f"thread:{match['thread'].strip()}"
    token, unit = match["value"], match["unit"] or ""
    if not token.startswith("<"):
        token = _plain(token, may_have_decimals=bool(unit) and unit != "ns")
    value, status = reading(token)
    return PerfRow(time_s, scope, value, status, unit, event_name(match["event"]), _running(match["percent"]))


def _running(percent: str | None) -> float:
    return share(percent.replace(",", ".")) if percent else 1.0


def _plain(text: str, may_have_decimals: bool) -> str:
    """A locale's number in Python's spelling. Whole counts have separators of thousands only."""
    whole, point, decimals = text, "", ""
    cut = re.fullmatch(r"(.*)([.,])(\d+)", text)
    if may_have_decimals and cut:
        whole, point, decimals = cut.groups()
    groups = re.split(rf"[.,'’{_BLANKS}]", whole)
    if any(len(g) != 3 for g in groups[1:]) and not _is_indian(groups):
        raise Malformed(f"'{printable(text)}' is no number")
    return "".join(groups) + ("." + decimals if point else "")


def _is_indian(groups: list[str]) -> bool:
    """Lakh and crore: 44,84,75,65,198."""
    return len(groups) > 1 and len(groups[-1]) == 3 and all(len(g) == 2 for g in groups[1:-1])


def decimal(text: str) -> float:
    """Seconds, with nine decimals in any locale."""
    return count(_plain(text, may_have_decimals=True))
