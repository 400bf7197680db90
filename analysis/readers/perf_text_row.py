"""One line of `perf stat`'s table for people, of perf 2.6.31 to 6.1x.

`[time] [scope] value [unit] event [(unit)] [cgroup] [# metric] [( +- variance )] [(share)]`; the brackets come in
either order and in square form too. Lines without a count continue the one above, or belong to a group of metrics.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from analysis.errors import printable
from analysis.events import is_known_event
from analysis.phase import OK
from analysis.readers.locale_numbers import VALUE, plain, with_point
from analysis.readers.perf_rows import (
    CLOCKS,
    Malformed,
    PerfRow,
    clock_unit,
    error_of,
    event_name,
    grouped_scope,
    metric_row,
    number,
    reading,
    share,
    with_cgroup,
)
from analysis.table import NAN

_TIME = re.compile(r"\s*(\d{1,12}[.,]\d{9})(?=\s)")
_SCOPE = re.compile(r"(CPU\d{1,6}|S\d{1,6}(?:-[A-Z]{1,4}\d{1,6}){0,4}|N\d{1,6})(?=\s|$)")
_NUMBER_OF_CPUS = re.compile(r"(\d{1,4})\s+(?=\S)")
_THREAD = re.compile(rf"(\S[^#]{{0,64}}?-\d{{1,10}})\s+(?=<not |{VALUE})")
_BLANK_GROUPS = r"\d{1,3}(?: \d{3}){1,6}(?=[\s.,])(?:[.,]\d{1,9})?"
_VALUE = re.compile(rf"(<not counted>|<not supported>|{_BLANK_GROUPS}|{VALUE})(?=\s|$)")
_UNIT = re.compile(r"msec|sec|ns|Joules|[KMGT]?i?B(?:/s)?|Bytes|m?C|m?W|m?V|%|GHz|MHz")
_UNIT_BEHIND = re.compile(r"\((msec|ns|Joules)\)")
_OLD_CLOCK = re.compile(r"(task-clock|cpu-clock)-msecs")
_VARIANCE = re.compile(r"[(\[]\s{0,8}\+-\s{0,12}([\d.,]{1,20})\s?%\s{0,8}[)\]]$")
_SHARE = re.compile(r"[(\[](?:\s{0,4}scaled from)?\s{0,8}(\d{1,5}(?:[.,]\d{1,4})?)\s?%\s{0,4}[)\]]$")
_CUT_SHORT = re.compile(r"  [(\[][ \d.,%+-]{0,40}$|  [(\[][^()\[\]]{0,40}%[)\]]$")
_METRIC = re.compile(r"\s*(-?\d[\d.,]{0,30})\s*(%?)(.*)")
# Most lines of most files, for speed: what is below reads them in the same way.
_PLAINEST = re.compile(
    r"(?: {0,12}(\d{1,9}\.\d{9}) )? {0,40}(\d{1,3}(?:,\d{3}){0,5}|\d{4,18}) {6,12}([A-Za-z][\w.:-]{0,60}) {0,40}"
    r"(?:# {1,8}[\d.]{1,16} {1,2}[A-Za-z/]{1,12}(?: [a-z]{1,12}){0,2} {0,60})?(?:\((\d{1,3}\.\d\d)%\))?"
)
_WORDS = re.compile(r"(?:[A-Za-z]{1,20} {1,9}){1,4}[A-Za-z]{1,20}|idle|insn|cycle|branches")
# The ends of perf's ratios in words, where a narrow window or a mail broke the line.
_PHRASES = re.compile(
    r"GHz|[KMG]?/sec|(?:CPUs )?utilized|(?:insns? )?per cycle|(?:stalled )?cycles per insn|per insn"
    r"|(?:(?:front|back)end )?(?:cycles )?idle|(?:of )?all (?:branches|[\w-]{1,40} (?:hits|accesses|refs))"
)
_GROUP = re.compile(r"[A-Za-z][\w.-]{0,80}(?: \([\w.-]{1,60}\))?")
_THREAD_ALONE = re.compile(rf"(\S[^#]{{0,64}}?-\d{{1,10}})(?:\s+({_GROUP.pattern}))?")
_LONGEST_BRACKET, _MOST_BRACKETS = 60, 3


class TextLine(NamedTuple):
    """What a line holds. row: a count, if there is one. metrics: ratios behind `#`. group: name of a group of metrics.

    running: the share in brackets, None where there is none.
    """

    row: PerfRow | None
    metrics: list[PerfRow]
    group: str
    running: float | None


def parse(line: str) -> TextLine | None:
    """A line of the table; None for one that is none. Raises Malformed for one that is, but a wrong one."""
    if (plainest := _PLAINEST.fullmatch(line)) and not plainest[3].endswith("-msecs"):
        time_s = float(plainest[1]) if plainest[1] else NAN
        value, event = float(plainest[2].replace(",", "")), plainest[3]
        unit, running = clock_unit(event, "", plainest[2]), share(plainest[4]) if plainest[4] else None
        row = PerfRow(time_s, "", value, OK, unit, event, 1.0 if running is None else running)
        return TextLine(row, [], "", running)
    left, mark, comment = _at_comment(line)
    right, running, bracketed, error = _without_brackets(comment if mark else left)
    left, comment = (left, right) if mark else (right, "")
    time_s, scope, rest = _place(left)
    text = rest.strip()
    if not text:
        if not mark and not bracketed:
            return None
        return TextLine(None, _metrics(comment, time_s, scope), "", running)
    match = _VALUE.match(text)
    if not match or not text[match.end() :].strip():
        if mark and (of := _THREAD_ALONE.fullmatch(text)):
            return TextLine(None, _metrics(comment, time_s, f"thread:{of[1]}"), of[2] or "", running)
        if mark and _GROUP.fullmatch(text):
            return TextLine(None, _metrics(comment, time_s, scope), text, running)
        if match and not re.search(r"[^\W\d_]", text):
            raise Malformed(f"expected a count and an event, found '{printable(line.strip())}'")
        if not mark and (_PHRASES.fullmatch(text) or (running is not None and _WORDS.fullmatch(text))):
            return TextLine(None, [], "", running)  # a mail broke the line within the metric
        return None
    row = _row(match[1], text[match.end() :].split(), time_s, scope, 1.0 if running is None else running)
    return TextLine(row._replace(error=error), _metrics(comment, time_s, row.scope), "", running)


def is_row_like(line: str) -> bool:
    """Whether a line begins as a count does: something that is never passed over in silence."""
    return re.match(r"\s*(?:<not |\d)", line) is not None or "<not " in line


def _at_comment(line: str) -> tuple[str, str, str]:
    spaced = line.replace("\t", " ")
    at = 0 if spaced.startswith("#") else spaced.find(" #") + 1
    return (line, "", "") if not at and not spaced.startswith("#") else (line[:at], "#", line[at + 1 :])


def _without_brackets(text: str) -> tuple[str, float | None, bool, float]:
    """The text before the brackets at its end, the share in one of them, whether there were any, the variance."""
    running, found, error = None, False, NAN
    for _ in range(_MOST_BRACKETS):
        text = text.rstrip()
        at = max(text.rfind("("), text.rfind("["), len(text) - _LONGEST_BRACKET, 0)
        tail = text[at:]
        matched = _SHARE.match(tail)
        if matched:
            running = share(matched[1].replace(",", "."))
        elif variance := _VARIANCE.match(tail):
            error = error_of(variance[1])
        else:
            break
        text, found = text[:at], True
    if _CUT_SHORT.search(text[-_LONGEST_BRACKET:]):
        raise Malformed(f"a share that is no number, or cut short: '{printable(text[-_LONGEST_BRACKET:])}'")
    return text.rstrip(), running, found, error


def _place(left: str) -> tuple[float, str, str]:
    """(time, scope, what follows)."""
    time_s, scope = NAN, ""
    match = _TIME.match(left)
    if match and (rest := left[match.end() :].strip()) and not _is_unit_of_time(rest):
        time_s, left = number(match[1].replace(",", "."), "the time"), left[match.end() :]
    elif match and not left[match.end() :].strip():
        return number(match[1].replace(",", "."), "the time"), "", ""
    text = left.strip()
    match = _SCOPE.match(text)
    if match:
        scope, text = grouped_scope(match[1]) or "", text[match.end() :].strip()
        if not scope:
            raise Malformed(f"'{printable(match[1])}' is no group of CPUs")
        n = _NUMBER_OF_CPUS.match(text)
        behind = text[n.end() :] if n else ""
        words = behind.split()
        if n and not scope.startswith("cpu:") and (len(words) > 1 or (words and not is_known_event(words[0]))):
            text = behind
        elif text.isdigit() and not scope.startswith("cpu:"):
            text = ""
    elif not _VALUE.match(text) and (match := _THREAD.match(text)):
        scope, text = f"thread:{match[1]}", text[match.end() :]
    return time_s, scope, text


def _is_unit_of_time(rest: str) -> bool:
    """Whether what looks like a time is a value: `1.234567890 seconds`, `5.123456789 msec task-clock`."""
    return rest.split(None, 1)[0] in ("seconds", "msec", "sec", "ns", *CLOCKS)


def _row(token: str, words: list[str], time_s: float, scope: str, running: float) -> PerfRow:
    unit = ""
    if len(words) > 1 and _UNIT.fullmatch(words[0]):
        unit, words = words[0], words[1:]
    event, words = _event(words)
    if event[0].isdigit():
        raise Malformed(f"expected a count and an event, found '{printable(f'{token} {event}')}'")
    old = _OLD_CLOCK.fullmatch(event)
    if old:
        event, unit = old[1], "msec"
    behind = _UNIT_BEHIND.fullmatch(words[0]) if words else None
    if behind:
        unit, words = behind[1], words[1:]
    if words and re.fullmatch(r"\[[\w.-]+\]", words[0]):  # perf's way to tell equal names of several PMUs apart
        event, words = f"{event} {words[0]}", words[1:]
    if len(words) > 1 or (words and not _is_cgroup(words[0])):
        raise Malformed(f"expected a count and an event, found '{printable(' '.join([token, event, *words]))}'")
    if not token.startswith("<"):
        is_clock = event.split(":")[0] in CLOCKS
        token = plain(token, may_have_decimals=(bool(unit) and unit != "ns") or (is_clock and _has_decimals(token)))
    unit = clock_unit(event, unit, token)
    value, status = reading(token)
    scope = with_cgroup(scope, words[0]) if words else scope
    return PerfRow(time_s, scope, value, status, unit, event_name(event), running)


def _has_decimals(token: str) -> bool:
    """Of a clock, whose milliseconds have two or six of them; three digits behind the last mark are thousands."""
    return re.search(r"[.,](?:\d\d|\d{6})$", token) is not None


def _event(words: list[str]) -> tuple[str, list[str]]:
    """The event's name and the words behind it. Between slashes a name may hold blanks."""
    name, rest = words[0], words[1:]
    while rest and name.count("/") % 2 and any("/" in word for word in rest):
        name, rest = f"{name} {rest[0]}", rest[1:]
    return name, rest


def _is_cgroup(word: str) -> bool:
    return re.fullmatch(r"[\w/][\w./:@\\=+,-]*", word) is not None and not word[0].isdigit()


def _metrics(comment: str, time_s: float, scope: str) -> list[PerfRow]:
    match = _METRIC.match(comment)
    if not match:
        return []
    text = with_point(match[1])
    try:
        value = float(text)
    except ValueError:
        return []
    if value < 0:
        return []
    row = metric_row(time_s, scope, value, f"{match[2]} {match[3]}")
    return [row] if row else []
