"""Files that people hand over by mistake, though another command reads them, or none does: what to do with each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from analysis.errors import printable
from analysis.readers import json_kinds
from analysis.readers.refusals import LAST, REFUSALS
from analysis.readers.surroundings import bare

MOST_LINES = 400
MOST_CHARACTERS = 1000
_NOT_BY_PATTERN = re.compile(r"(?!)")


class Foreign(NamedTuple):
    """what: the file is. advice: what reads it. pattern: finds one of its first lines."""

    what: str
    advice: str
    pattern: re.Pattern[str]

    def named(self, match: re.Match[str]) -> Foreign:
        """With the event that the file names."""
        event = printable(match.groupdict().get("event") or "", 80)
        named = (
            f"{self.what}, event {event}"
            if event and "{event}" not in self.what
            else self.what.replace("{event}", event)
        )
        return self._replace(what=named)


FOREIGN = (
    *(Foreign(*refusal) for refusal in REFUSALS),
    Foreign(
        "a trace for a viewer",
        "open it in ui.perfetto.dev; the counts are in the capture (--capture) of the same run",
        re.compile(r'"traceEvents"\s*:|"ph"\s*:\s*"[XCiBEM]"'),
    ),
    Foreign(
        "a list of samples by perf script",
        "read it with `python -m analysis.functions FILE --markers MARKERS`",
        re.compile(
            r"^\s{0,40}\S.{0,200}?\s-?\d{1,9}(?:/-?\d{1,9})?\s+(?:\[\d{1,5}\]\s+)?(?:[.\w]{1,9}\s+)?\d{1,12}\.\d{6,9}:\s"
        ),
    ),
    Foreign(
        "a report by perf report",
        "it holds shares of samples, no counts; for functions by phase export `perf script`, for stalls `perf stat`",
        re.compile(r"^#\s+(?:Children\s+Self|Overhead)\s+(?:Samples\s+)?Command\b"),
    ),
    Foreign(
        "folded stacks, as FlameGraph draws them",
        "they hold samples, no times; for functions by phase export `perf script`, for stalls `perf stat`",
        re.compile(r"^[^;,\s\d][^;,]{0,200}(?:;[^;]{1,400}){1,100} \d{1,15}$"),
    ),
    Foreign(
        "the summary that an engine prints at its end",
        "it holds times, no counts; for verdicts record a capture with `q4engine run --capture FILE.csv`",
        re.compile(r"^\s{0,8}(?:[\w:]{1,40}\s{1,20})?(?:prompt eval|eval|load|total) time =\s{1,20}[\d.]{1,16} ms"),
    ),
    Foreign(
        "a table of speeds by q4engine bench or llama-bench",
        "`python -m analysis.benchmarks` reads it; it holds no counts, which `q4engine bench --capture DIR` records",
        re.compile(
            r"^\s{0,8}\|?\s{0,8}(?:model|threads)\s.{0,200}\|\s{0,40}t/s\b|^\"?build_commit\"?,"
            r"|^CREATE TABLE IF NOT EXISTS (?:test|llama_bench)\b"
        ),
    ),
    Foreign(
        "a report by toplev (pmu-tools)",
        "it holds an Intel core's own verdict, in the column Bottleneck; the rules here are for `perf stat` on Arm",
        re.compile(
            r"^(?:Timestamp|CPUs|Area)?[,;]?(?:CPUs[,;])?Area[,;]Value[,;]Unit[,;]Description"
            r"|^# \d\.\d{1,2}-full\S{0,20} on "
            r"|^(?:FE|BE|BAD|RET)(?:/\w{1,12})?\s{1,20}[A-Z][\w.]{1,60}\s{1,20}% Slots\b"
        ),
    ),
    Foreign(
        "a table of functions by perf annotate, gprof or callgrind",
        "it holds samples, no counts; for functions by phase export `perf script`",
        re.compile(
            r"^\s{0,8}Percent\s*\|\s+Source code|^Flat profile:|^# callgrind format|^version: 1\ncreator: callgrind"
        ),
    ),
    Foreign(
        "a list of events by perf list",
        "it names events and counts none; count some with `perf stat -e`",
        re.compile(r"^List of pre-defined events"),
    ),
    Foreign(
        "a report by simpleperf report",
        "it holds shares of samples, no counts; for stalls use `simpleperf stat`",
        re.compile(r"^Cmdline: \S{0,400}simpleperf (?:record|report)|^Overhead\s+(?:Command|Sample)\s"),
    ),
    Foreign(
        "an answer of likwid-perfctr",
        "likwid is not read; record with `perf stat -x,` what it counts",
        re.compile(r"^\|?\s{0,60}(?:Event|Metric)\s+\|\s+(?:Counter|HWThread|Core \d)|^CPU type:\s|^TABLE,Group \d"),
    ),
    Foreign(
        "a summary of VTune",
        "VTune is not read; record with `perf stat -x,`",
        re.compile(r"^(?:Elapsed Time: [\d.,]+s$|Collection and Platform Info)"),
    ),
    Foreign(
        "a web page or a picture",
        "captures are CSV, JSON or text",
        re.compile(r"^\s{0,40}<(?:!DOCTYPE|html|svg|\?xml)\b", re.IGNORECASE),
    ),
    Foreign(
        "a report of these commands (--json)",
        "name the capture that it was made from",
        re.compile(r'^\s{0,8}"(?:captures|phases|functions|verdicts)"\s*:\s*[\[{]'),
    ),
    Foreign(
        "an answer of `q4engine run --json`",
        "it holds no counts; record them with `q4engine run --capture FILE.csv`",
        re.compile(r'^\{"(?:text|answer)"\s*:.*"stop_reason"'),
    ),
    Foreign(
        "what perf record says at its end",
        "export its samples with `perf script`, and read them with `python -m analysis.functions FILE`",
        re.compile(r"^\[ perf record: "),
    ),
    Foreign(
        "a list of samples by perf script without their times",
        "export it with `perf script -F +time`, and read it with `python -m analysis.functions FILE`",
        re.compile(
            r"^\s{0,40}[^\s#].{0,100}?\s\d{1,9}(?:/\d{1,9})?\s{1,8}(?:\[\d{1,5}\]\s{1,8})?\d{1,20}\s{1,8}"
            r"[A-Za-z][\w./:=,-]{0,200}:\s{1,20}[0-9a-f]{4,16}\s"
        ),
    ),
    Foreign(
        "a report by perf c2c, diff, ftrace, mem, sched or trace",
        "it holds samples or times, no counts; for stalls use `perf stat`, for accesses by tensor `perf script` and "
        "`python -m analysis.memory`",
        re.compile(
            r"^\s{1,60}Trace Event Information\s*$|^# Baseline\s{1,20}Delta\b|^\s{0,8}Summary of events:$"
            r"|^#\s{1,8}DURATION\s{1,20}\|\s{1,20}COUNT\b|^# Overhead\s.{0,80}\bMemory access\b"
            r"|^\s{0,8}Task\s{1,40}\|\s{1,8}Runtime ms\s"
        ),
    ),
    Foreign(
        "a report by perf report",
        "it holds shares of samples, no counts; for functions by phase export `perf script`, for stalls `perf stat`",
        re.compile(r"^# Total Lost Samples: |^# Samples: \S{1,20}\s{1,4}of events? '"),
    ),
    Foreign(
        "the help of perf",
        "record with `perf stat -x, -o FILE.csv -e cycles,r23,r24,r4005 -- PROGRAM`",
        re.compile(r"^\s{0,2}[Uu]sage: perf\b"),
    ),
    Foreign(
        "a list of counts by PAPI",
        "PAPI's names are not read: write the events as Arm does (PAPI_TOT_CYC is cycles), or use `perf stat -x,`",
        re.compile(r"\bPAPI_[A-Z0-9]{2,4}_[A-Z0-9]{2,4}\b"),
    ),
    Foreign(
        "times or a machine's description, by hyperfine, time or lscpu",
        "it holds no counts; record some with `perf stat -x,` or `q4engine run --capture FILE.csv`",
        re.compile(r"^Benchmark (?:#?\d{1,6}): |^\s{0,8}Command being timed: |^Architecture:\s{1,40}\w"),
    ),
    *(Foreign(*refusal) for refusal in LAST),
)


def command_for(head: Sequence[str]) -> Foreign | None:
    """What a file is that no reader takes, from its first lines; None for one that we do not know."""
    lines = [bare(line[:MOST_CHARACTERS]) for line in head[:MOST_LINES]]
    found = ((kind, match) for kind in FOREIGN for line in lines if (match := kind.pattern.search(line)))
    known = next((kind.named(match) for kind, match in found), None)
    if known is None and (other := json_kinds.of_head(head)):
        return Foreign(*other, _NOT_BY_PATTERN)
    return known
