"""Puts the plugin's counts into the capture that the engine wrote under the emulator."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from host import ToolError

from emulate.plugin import CALL, Mark

GROUP = "emulated"
# Of the emulator's host, or in its time: they say nothing of any Arm core.
_HEADER_LEFT_OUT = ("emulated", "counters", "counters_missing", "midr", "governor", "read_peak_gbps")
_HEADER_LEFT_OUT_TOO = ("observer_cost_percent", "huge_pages")
_COLUMNS_EMPTIED = ("cpu", "migrations", "page_faults", "context_switches", "freq_hz")

Counts = Mapping[str, int]


def with_sums(counts: Counts) -> dict[str, int]:
    """The plugin's counters, and Arm's events that follow from them: nothing is executed that does not retire."""
    rest = {name: count for name, count in counts.items() if name != "INST_RETIRED"}
    branches = counts["BR_IMMED_SPEC"] + counts["BR_INDIRECT_SPEC"]
    first = {"INST_RETIRED": counts["INST_RETIRED"], "INST_SPEC": counts["INST_RETIRED"], "BR_RETIRED": branches}
    return first | rest


def _difference(after: Counts, before: Counts) -> dict[str, int]:
    return with_sums({name: count - before[name] for name, count in after.items()})


class Counted:
    """What was counted between marks.

    calls: by the stamps of start and end, over all threads. parts: by thread and the stamp at its end, what the thread
    did since its mark before. A thread other than the first has no count for its way into a call: it waited there.
    """

    def __init__(self, marks: list[Mark]) -> None:
        self.parts: dict[tuple[int, int], dict[str, int]] = {}
        self._totals = {mark.stamp: mark.counts for mark in marks if mark.kind == CALL}
        before: dict[int, Counts] = {}
        for mark in marks:
            if mark.kind == CALL:
                before = {thread: counts for thread, counts in before.items() if thread == 0}
                continue
            if mark.thread in before:
                self.parts[mark.thread, mark.stamp] = _difference(mark.counts, before[mark.thread])
            before[mark.thread] = mark.counts

    def call(self, start: int, end: int) -> dict[str, int]:
        if start not in self._totals or end not in self._totals:
            raise ToolError(f"the emulator saw no call from {start} to {end}, which the capture has")
        return _difference(self._totals[end], self._totals[start])


def complete(source: Path, target: Path, marks: list[Mark], header: Mapping[str, str]) -> None:
    """Writes the capture `source` with the counts of `marks` as one more group, and its header saying so."""
    lines = source.read_text(encoding="utf-8").splitlines()
    n_header = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    counted = Counted(marks)
    events = list(with_sums(marks[0].counts))
    keys = {
        "emulated": "yes",
        "counters": "available",
        **header,
        f"group.{GROUP}": f"pmu=qemu events={','.join(events)}",
    }
    part = target.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as out:
        out.writelines(f"{line}\n" for line in _header(lines[:n_header], keys))
        writer = csv.writer(out, lineterminator="\n")
        reader = csv.DictReader(lines[n_header:])
        writer.writerow([*(reader.fieldnames or ()), *(f"{event}@{GROUP}" for event in events)])
        for row in reader:
            found = _counts_of(row, counted)
            row |= {column: "" for column in _COLUMNS_EMPTIED if column in row}
            writer.writerow([*row.values(), *(found.get(event, "") for event in events)])
    part.replace(target)


def _header(lines: list[str], keys: Mapping[str, str]) -> Iterator[str]:
    left_out = {*_HEADER_LEFT_OUT, *_HEADER_LEFT_OUT_TOO, *keys}
    yield lines[0]
    for line in lines[1:]:
        if line[1:].partition(":")[0].strip() not in left_out:
            yield line.rstrip()
    for key, value in keys.items():
        yield f"# {key}: {value}"


def _counts_of(row: Mapping[str, str], counted: Counted) -> Mapping[str, int]:
    start = int(row["start_ns"])
    end = start + int(row["duration_ns"])
    if not row["op"]:
        return counted.call(start, end)
    found = counted.parts.get((int(row["thread"]), end), {})
    if not found and row["thread"] == "0":
        raise ToolError(f"the emulator saw no end of {row['op']} in layer {row['layer'] or '-'} of call {row['call']}")
    return found
