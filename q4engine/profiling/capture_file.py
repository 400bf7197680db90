"""Captures: one tidy CSV of what the engine did, call by call (docs/capture-format.md)."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.outputs import Rows
from q4engine.errors import Q4Error
from q4engine.profiling.counters import Counters, Counts
from q4engine.profiling.events import CYCLES, MIGRATIONS
from q4engine.profiling.plan import missing_text
from q4engine.profiling.recording import BARRIER, Operation, Record

FORMAT_VERSION = 1
COLUMNS = (
    "call", "phase", "n_past", "n_eval", "op", "layer", "tensor", "type", "shape", "kernel", "weight_bytes",
    "thread", "cpu", "start_ns", "duration_ns", "migrations", "page_faults", "context_switches", "freq_hz",
)  # fmt: skip

# Known only at the end, so room is kept for them; a file whose run was cut off says that in their place.
_AT_THE_END = ("observer_cost_percent", "steal_percent", "run_delay_percent", "others_percent_of_cpu")
_UNFINISHED = "# state: unfinished"
_ROOM = 480


class CaptureFile:
    """The file of a capture. Every call's rows are handed to the kernel whole, so the file is well-formed at any time.
    It appears with the first call's; a file of the name from before stays until then.

    header: the keys besides those that only this class knows. more: columns behind the usual ones. Q4Error where the
    file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, object],
        counters: Counters,
        more: Sequence[str] = (),
    ) -> None:
        self._path = Path(path)
        self._counters = counters
        self._more = more
        self._events = [(index, group) for index, group in enumerate(counters.groups) if group.names]
        try:
            self._rows = Rows(self._path, self._head(header))
        except OSError as error:
            raise self._failed(error) from None

    def write_rows(self, rows: Sequence[str]) -> None:
        """The rows of one call, each with its line end."""
        try:
            self._rows.write("".join(rows).encode())
        except OSError as error:
            raise self._failed(error) from None

    def leave(self) -> None:
        """Ends the file as that of a run which was cut off."""
        try:
            self._rows.close()
        except OSError as error:
            raise self._failed(error) from None

    def close(self, observer_cost_percent: float | None, taken: Mapping[str, float] | None = None) -> None:
        """Completes the header; closing twice is fine. taken: what others took of the CPUs (`cpu_time`)."""
        if not self._rows.is_open:
            return
        try:
            known = {"observer_cost_percent": observer_cost_percent, **(taken or {})}
            keys = dict.fromkeys((*_AT_THE_END, *known))  # behind them those of a phase
            lines = [f"# {key}: {known[key]:.3f}" for key in keys if known.get(key) is not None]
            while len("\n".join(lines)) > _ROOM:
                lines.pop()
            text = "\n".join(lines) or "# state: complete"
            self._rows.rewrite(self._room, text.ljust(_ROOM).encode())
            self._rows.close()
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> Q4Error:
        return Q4Error(f"{self._path}: the capture cannot be written: {error.strerror}")

    def _head(self, header: Mapping[str, object]) -> bytes:
        keys: dict[str, object] = {"format_version": FORMAT_VERSION, "emulated": "no", "clock": "CLOCK_MONOTONIC_RAW"}
        keys |= header
        keys["counters"] = self._counters.state
        if self._counters.missing:
            keys["counters_missing"] = missing_text(self._counters.missing)
        for _, group in self._events:
            keys[f"group.{group.name}"] = f"pmu={group.pmu} events={','.join(group.names)}"
        lines = [f"# {key}: {one_line(value)}" for key, value in keys.items() if value is not None]
        before = "\n".join(["# q4engine capture", *lines]) + "\n"
        self._room = len(before.encode())
        columns = list(COLUMNS)
        for _, group in self._events:
            columns += [f"time_enabled_ns@{group.name}", f"time_running_ns@{group.name}"]
            columns += [f"{name}@{group.name}" for name in group.names]
        return f"{before}{_UNFINISHED.ljust(_ROOM)}\n{csv_line([*columns, *self._more])}".encode()

    def count_cells(self, counts: Counts) -> str:
        """The cells of all groups, each behind a comma."""
        cells: list[str] = []
        for index, group in self._events:
            values = counts.by_group.get(index)
            cells += [str(value) for value in values] if values else [""] * (2 + len(group.names))
        return "".join(f",{cell}" for cell in cells)


class Capture(CaptureFile):
    """Writes a capture of a session's calls. per_op: a row for each operation and thread as well."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, object],
        plan: list[Operation],
        counters: Counters,
        per_op: bool,
    ) -> None:
        self._plan = plan
        self._per_op = per_op
        self._heads: dict[tuple[str, int, int, int], str] = {}
        super().__init__(path, header, counters)

    def write(self, record: Record) -> None:
        """The rows of one call."""
        rows = [self._call_row(record)]
        if self._per_op:
            rows += self._operation_rows(record)
        self.write_rows(rows)

    def _call_row(self, record: Record) -> str:
        call, facts = record.call, record.threads()
        counts = self._counters.of_call(record)
        migrations, frequency = of_cycles(counts)
        cpu = facts[0].last_cpu if len(facts) == 1 else ""
        faults = sum(fact.page_faults for fact in facts) if facts else ""
        switches = sum(fact.context_switches for fact in facts) if facts else ""
        cells = [
            record.number, call.phase, call.n_past, call.n_eval, "", "", "", "", "", "", "", "", cpu,
            record.start_ns, record.duration_ns, migrations, faults, switches, frequency,
        ]  # fmt: skip
        return ",".join(map(str, cells)) + self.count_cells(counts) + "\n"

    def _operation_rows(self, record: Record) -> list[str]:
        """What differs from row to row is put together here, the rest once for all calls of a kind."""
        rows, call, facts = [], record.call, record.threads()
        counted = self._counters.of_marks(record)
        lead = f"{record.number},{call.phase},{call.n_past},"
        blank = self.count_cells(Counts.none())
        for thread, marks in enumerate(record.marks()):
            fact = facts[thread]
            cpu = str(fact.last_cpu) if fact.first_cpu == fact.last_cpu else ""
            for span in record.spans(self._plan, marks):
                head = self._operation_head(span.name, span.operation, record)
                cells = self.count_cells(counted[thread][span.mark - 1]) if counted and span.mark else blank
                rows.append(f"{lead}{head},{thread},{cpu},{span.start_ns},{span.end_ns - span.start_ns},,,,{cells}\n")
        return rows

    def _operation_head(self, name: str, operation: Operation | None, record: Record) -> str:
        """n_eval to weight_bytes. A barrier reads no weight; it has the layer of the operation that ended there."""
        if operation is None:
            return f"{record.call.n_eval},{name},,,,,,"
        tokens, experts = operation.tokens(record.call), record.experts_met(operation)
        key = (name, id(operation), tokens, experts)
        if key not in self._heads:
            cells = [tokens, name, "" if operation.layer is None else operation.layer]
            if name == BARRIER:
                cells += [""] * 5
            else:
                cells += [operation.tensor, operation.type, operation.shape, operation.kernel(tokens)]
                cells.append(operation.bytes_read(tokens, experts) or "")
            self._heads[key] = csv_line([one_line(cell) for cell in cells]).removesuffix("\n")
        return self._heads[key]


def of_cycles(counts: Counts) -> tuple[int | str, str]:
    """(migrations, cycles a second of the time in which they were counted) of a call row; '' where not counted."""
    cycles, running = counts.by_name.get(CYCLES), counts.running.get(CYCLES, 0)
    frequency = f"{cycles / running * 1e9:.0f}" if cycles is not None and running else ""
    return counts.by_name.get(MIGRATIONS, ""), frequency


def one_line(value: object) -> str:
    """A value as a header or cell takes it."""
    text = "".join(character if character.isprintable() else " " for character in str(value))
    return text.strip()


def csv_line(cells: Sequence[str]) -> str:
    """A row with its line end, quoted where CSV wants it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
