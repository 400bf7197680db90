"""Puts the plugin's counts into the capture that the engine wrote under the emulator."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from host import ToolError

from emulate.plugin import CALL, Mark

GROUP = "emulated"
# Of the emulator's host, or in its time: they say nothing of any Arm core.
_HEADER_LEFT_OUT = (
    "counters_missing", "midr", "governor", "read_peak_gbps", "observer_cost_percent", "slots", "steal_percent",
    "run_delay_percent", "others_percent_of_cpu",
)  # fmt: skip
_COLUMNS_EMPTIED = ("cpu", "migrations", "page_faults", "context_switches", "freq_hz")

Counts = Mapping[str, int]


def with_sums(counts: Counts) -> dict[str, int]:
    """The plugin's counters, and Arm's events that follow from them: nothing is executed that does not retire."""
    rest = {name: count for name, count in counts.items() if name != "INST_RETIRED"}
    branches = counts["BR_IMMED_SPEC"] + counts["BR_INDIRECT_SPEC"]
    first = {"INST_RETIRED": counts["INST_RETIRED"], "INST_SPEC": counts["INST_RETIRED"], "BR_RETIRED": branches}
    return first | rest


def _difference(after: Counts, before: Counts) -> dict[str, int]:
    return {name: count - before[name] for name, count in after.items()}


class Counted:
    """What was counted between marks.

    parts: by thread and the stamp at its end, what the thread did since its mark before. A thread other than the first
    has no count for its way into a call: it waited there.
    calls: by the stamp at the end of the native call, from there back to its start on the first thread, and from the
    first mark to the last on the others. What Python does around a call is no part of it.
    """

    def __init__(self, marks: list[Mark]) -> None:
        self.parts: dict[tuple[int, int], dict[str, int]] = {}
        self.calls: dict[int, dict[str, int]] = {}
        first: dict[int, Mark] = {}
        last: dict[int, Mark] = {}
        for mark in marks:
            if mark.thread in last:
                part = _difference(mark.counts, last[mark.thread].counts)
                self.parts[mark.thread, mark.stamp] = with_sums(part)
            first.setdefault(mark.thread, mark)
            last[mark.thread] = mark
            if mark.kind == CALL:
                work = [_difference(last[thread].counts, first[thread].counts) for thread in first]
                self.calls[mark.stamp] = with_sums({name: sum(part[name] for part in work) for name in mark.counts})
                first, last = {mark.thread: mark}, {mark.thread: mark}


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
    reader = csv.DictReader(lines[n_header:])
    rows = [[*(reader.fieldnames or ()), *(f"{event}@{GROUP}" for event in events)]]
    for row in reader:
        found = _counts_of(row, counted)
        row |= {column: "" for column in _COLUMNS_EMPTIED if column in row}
        rows.append([*row.values(), *(str(found.get(event, "")) for event in events)])
    part = target.with_suffix(".part")
    with part.open("w", encoding="utf-8", newline="") as out:
        out.writelines(f"{line}\n" for line in _header(lines[:n_header], keys))
        csv.writer(out, lineterminator="\n").writerows(rows)
    part.replace(target)


def _header(lines: list[str], keys: Mapping[str, str]) -> Iterator[str]:
    left_out = {*_HEADER_LEFT_OUT, *keys}
    yield lines[0]
    for line in lines[1:]:
        if line[1:].partition(":")[0].strip() not in left_out:
            yield line.rstrip()
    for key, value in keys.items():
        yield f"# {key}: {value}"


def _counts_of(row: Mapping[str, str], counted: Counted) -> Mapping[str, int]:
    end = int(row["start_ns"]) + int(row["duration_ns"])
    if not row["op"]:
        found = counted.calls.get(end)
    else:
        found = counted.parts.get((int(row["thread"]), end), None if row["thread"] == "0" else {})
    if found is None:
        what = f"{row['op']} of layer {row['layer'] or '-'}" if row["op"] else "the whole"
        raise ToolError(f"the emulator saw no end of call {row['call']}, {what}: the capture is not of this run")
    return found
