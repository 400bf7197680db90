"""What logs put before each line of a capture: a number, a time, `[stderr]`, a container's name, a diff's plus.

The first line that a tool of measurement must have written shows what stands before it. Where the lines around it
begin in the same way, that is taken off all lines before any reader sees them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

MOST_LINES = 2000
MOST_CHARACTERS = 1000
_LONGEST = 160
_AROUND = 60
"""Lines behind the first of a tool's that are looked at."""
_ENOUGH = 0.8
_TRIES = 8

_COUNT = r"(?:<not (?:counted|supported)>|\d[\d.,]{0,30})"
# Lines that only a tool of measurement writes, from where its own text begins.
_SURE = re.compile(
    r"Performance counter stat(?:s for |istics)|\#[ ]{1,20}time[ ]{2,}|\# (?:started on |q4engine capture)"
    r'|\{"(?:counter-value|interval|cpu|core|thread|socket|node|die|cgroup|unit|metric-value)" ?: ?'
    r"|time_ns,n_past|Stage \d (?:\(|metrics)|When \(s\),|Index \(s\),|time,group,stage|run,time,event|\|Ratio "
    r"|Error:\s*$|The \S{1,200} event is not supp|event syntax error: |(?:The )?sys_perf_event_open\(\) syscall"
    rf"|{_COUNT}(?: \+-[ ]{{1,9}}[\d.,]{{1,20}})? seconds time elapsed"
)
# Rows of a table alone, which might begin with a time or a scope of their own.
_ROW = re.compile(
    r"(?:(?:\d{1,9}\.\d{9}[,;])?(?:<not \w{1,12}>|\d[\d.]{0,30})[,;](?:msec|ns)?[,;][A-Za-z][\w.:/=-]{2,60}[,;]\d"
    rf"|{_COUNT}"
    r"[ ]{1,20}(?:msec[ ]{1,9})?(?:cycles|instructions|task-clock|cpu-clock|branches|branch-misses|page-faults"
    r"|context-switches|cache-(?:misses|references)|stalled-cycles-(?:back|front)end|[a-z0-9]{2,9}(?:_[a-z0-9]{2,12}){1,4})(?::[a-zA-Z]{1,6})?(?=\s|$))"
)
_SCOPE_OF_ROW = re.compile(r"\s*(?:\d{1,12}[.,]\d{9}\s*)?(?:CPU\d+|[SN]\d+[\w-]*(?:\s+\d+)?|.*-\d+)?\s*")
_SIGN = re.compile(r"[\[\]|:>\t)}/#*+-]")
"""One of these stands in whatever a log puts before a line."""
_NUMBER = re.compile(r"\s{0,20}\d{1,15}\s{1,20}")
_ESCAPE = re.compile(r"\x1b\[[0-9;]{0,20}m")
_PIECE = re.compile(
    r"(?P<escape>\x1b\[[0-9;]{0,20}m)|(?P<blank>[ \t]+)|(?P<digits>\d+)|(?P<word>[A-Za-z]+)|(?P<other>.)", re.DOTALL
)
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_LEVELS = "TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|trace|debug|info|notice|warn|warning|error|fatal"
_STREAMS = "stderr|stdout|err|out|STDERR|STDOUT|OUT|ERR"
_WORDS = {
    word: f"(?:{names})"
    for names in (_MONTHS, _DAYS, _LEVELS, _STREAMS, "V|D|I|W|E|F|A|O")
    for word in names.split("|")
}

_HUNK = re.compile(r"@@ -\d{1,9}(?:,\d{1,9})? \+\d{1,9}(?:,\d{1,9})? @@")


class Prefix(NamedTuple):
    """pattern: at a line's beginning. example: as it stands before the first line."""

    pattern: re.Pattern[bytes]
    example: str

    def off(self, line: str) -> str:
        """The line without it."""
        return self.pattern.sub(b"", line.encode(), count=1).decode()


def find(head: Sequence[str]) -> Prefix | None:
    """What stands before the lines of a file that begins so; None where nothing does."""
    lines = [line[:MOST_CHARACTERS] for line in head[:MOST_LINES]]
    for sign in (_SURE, _ROW):
        found = ((number, match) for number, line in enumerate(lines) if (match := sign.search(line)))
        for number, match in islice(found, _TRIES):
            before = match.string[: match.start()]
            if not _ESCAPE.sub("", before).strip():
                return None  # a line as the tool wrote it
            if _may_be_a_logs(before, sign is _ROW) and (prefix := _confirmed(before, lines[number:])):
                return prefix
    return None


def _may_be_a_logs(before: str, is_row: bool) -> bool:
    if len(before) > _LONGEST or (before.rstrip(" ")[-1:] in (",", ";") and before.strip(" ;")):
        return False
    if is_row and before[-1].isalnum():
        return False
    return not is_row or (_SIGN.search(before) is not None and not _SCOPE_OF_ROW.fullmatch(before))


def is_two_in_one(head: Sequence[str]) -> bool:
    """Whether the file is a diff that takes rows away and adds others: two tables, line by line."""
    lines = [line[:MOST_CHARACTERS] for line in head[:MOST_LINES]]
    is_diff = any(_HUNK.match(line) for line in lines)
    marks = {
        line[0]
        for line in lines
        if line[:1] in ("+", "-")
        and (_ROW.search(line) or _SURE.search(line))
        and (is_diff or line[1:2] in (" ", "\t"))
    }
    return len(marks) == 2


def _confirmed(before: str, lines: Sequence[str]) -> Prefix | None:
    prefix = Prefix(re.compile(_generalised(before).encode(), re.MULTILINE), before)
    end = next((at for at, line in enumerate(lines) if "seconds time elapsed" in line), _AROUND)
    filled = [line for line in lines[: min(end + 1, _AROUND)] if line.strip()]
    matching = [line for line in filled if prefix.pattern.match(line.encode())]
    if len(filled) < 2 or len(matching) < max(2.0, _ENOUGH * len(filled)):
        return None
    if _NUMBER.fullmatch(before) and not _are_counted(matching):
        return None
    return prefix


def _are_counted(lines: Sequence[str]) -> bool:
    """Whether numbers before lines are the lines' own."""
    numbers = [int(match[0]) for line in lines if (match := re.match(r"\s*\d{1,15}", line))]
    return all(one < following <= one + 3 for one, following in pairwise(numbers))


def _generalised(before: str) -> str:
    """A pattern for the same with other numbers, widths, months and levels. Every piece is bounded."""
    parts = ["^"]
    text = before.rstrip() or before
    for piece in _PIECE.finditer(text):
        if piece["escape"]:
            parts.append(r"(?:\x1b\[[0-9;]{0,20}m)?")
        elif piece["blank"]:
            parts.append(r"\t" if "\t" in piece[0] else " {1,60}")
        elif piece["digits"]:
            parts.append(r"\d{1,20}" if parts[-1].endswith(("{1,60}", r"\d{1,20}")) else r" {0,20}\d{1,20}")
        elif piece["word"]:
            parts.append(_WORDS.get(piece[0], re.escape(piece[0])))
        else:
            parts.append(re.escape(piece[0]))
    if parts[1:2] == [" {1,60}"]:
        parts[1] = " {0,60}"  # a number that grows leaves less of it
    return "".join(parts) + (r"(?:\t|$)" if "\t" in before[len(text) :] else "[ \t]?")
