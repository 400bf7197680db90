"""What a fleet keeps of one capture: a row for each of its phases, by the same functions as `analysis.stalls`.

A capture that cannot be read is one row with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, median

from analysis.errors import AnalysisError, printable
from analysis.fleet.files import Listed, brought
from analysis.judging import Capture, JudgedPhase, Options, load_runs
from analysis.metrics import METRICS
from analysis.verdicts import Verdict

Value = str | float | int | bool | None
Row = dict[str, Value]

JUDGED, BROKEN, UNREADABLE = "judged", "broken", "unreadable"
"""States of a row. What was unreadable (not brought here, or its reader was killed) is tried again the next time."""

_NOT_HERE = ("no such file", "cannot be read")

DEVICE_KEYS = ("device", "host", "serial")
"""Header keys that name the device, the first that a capture has; without one, the folder it lies in does."""
FOLDER = "folder"

_HEADER_TEXTS = {
    "cpu": "cpu",
    "midr": "midr",
    "governor": "governor",
    "model": "model",
    "model_file": "model_file",
    "commit": "commit",
    "kernels": "kernels",
}
_HEADER_NUMBERS = {
    "threads": "n_threads",
    "threads_batch": "n_threads_batch",
    "bytes_per_token": "bytes_per_token",
    "read_peak_gbps": "read_peak_gbps",
    "observer_cost_percent": "observer_cost_percent",
    "steal_percent": "steal_percent",
    "run_delay_percent": "run_delay_percent",
    "others_percent": "others_percent_of_cpu",
}
RULES = ("stalls", "roofline", "topdown", "waiting")
RATIOS = tuple(metric.key for metric in METRICS)

TEXT, NUMBER, WHOLE, FLAG, TIME = "text", "number", "whole", "flag", "time"
COLUMNS: dict[str, str] = {
    "path": TEXT,
    "mark": TEXT,  # size and time of change, or the store's tag: whether it is still the same file
    "read": TIME,  # when it was summarised
    "state": TEXT,
    "reason": TEXT,
    "run": WHOLE,  # of several in one file
    "format": TEXT,
    "device": TEXT,
    "machine": TEXT,  # the CPU as the header has it, or the core: twins have the same
    "core": TEXT,
    "engine": TEXT,
    "version": TEXT,
    **dict.fromkeys(_HEADER_TEXTS, TEXT),
    **dict.fromkeys(_HEADER_NUMBERS, NUMBER),
    "emulated": FLAG,
    "started": TIME,
    "started_by": TEXT,  # the capture, or else its file's time
    "phase": TEXT,
    "title": TEXT,
    "generation": WHOLE,
    "scope": TEXT,
    "pmu": TEXT,
    "calls": WHOLE,
    "tokens": WHOLE,
    "tokens_kept": WHOLE,
    "batch": NUMBER,  # tokens of the middle call
    "depth": NUMBER,  # positions in the cache, on the mean of its calls
    "duration_s": NUMBER,
    "tokens_per_s": NUMBER,
    "frequency_hz": NUMBER,
    "verdict": TEXT,
    "family": TEXT,
    "confidence": TEXT,
    "decided_by": TEXT,  # the check that came closest to its threshold
    "margin": NUMBER,
    **{f"{rule}_{what}": kind for rule in RULES for what, kind in (("verdict", TEXT), ("margin", NUMBER))},
    **dict.fromkeys(RATIOS, NUMBER),
}
"""Column -> kind, in the order of the dataset."""


@dataclass(frozen=True)
class Reading:
    """How captures are read. device: a header key that names devices, `folder`, or '' for what there is."""

    format: str | None = None
    lenient: bool = False
    device: str = ""

    def marked(self, listed: Listed) -> str:
        """The mark by which a capture is known to have been summarised so."""
        told = (listed.mark, self.format or "", "lenient" if self.lenient else "", self.device)
        return "; ".join(part for part in told if part)


def summarise(captures: Sequence[Listed], reading: Reading, read_us: int) -> list[Row]:
    """Rows of all these captures, each of which has at least one. read_us: the time for the column `read`."""
    return [row for listed in captures for row in _of_one(listed, reading, read_us)]


def _of_one(listed: Listed, reading: Reading, read_us: int) -> list[Row]:
    try:
        with brought(listed) as path:
            options = Options(format=reading.format, lenient=reading.lenient)
            rows = [
                row
                for number, capture in enumerate(load_runs(path, options))
                for row in _of_capture(capture, number, listed, reading)
            ]
        found = rows or [failed(listed, BROKEN, "holds no phase but warm-up")]
    except OSError as error:
        found = [failed(listed, UNREADABLE, f"cannot be read: {error.strerror or error}")]
    except AnalysisError as error:
        where = "" if error.row is None else f"line {error.row}: "
        state = UNREADABLE if error.reason.startswith(_NOT_HERE) else BROKEN
        found = [failed(listed, state, where + error.reason)]
    except Exception as error:  # whatever is wrong with one of 20,000 is no reason to lose the others
        found = [failed(listed, BROKEN, f"cannot be read: {type(error).__name__}: {error}")]
    return [row | {"path": listed.name, "mark": reading.marked(listed), "read": read_us} for row in found]


def failed(listed: Listed, state: str, reason: str) -> Row:
    """The row of a capture that has no phases."""
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"path": listed.name, "mark": listed.mark, "state": state, "reason": printable(reason, 300)}
    return row | {"device": listed.folder, "started": listed.changed_us, "started_by": "file"}


def _of_capture(capture: Capture, number: int, listed: Listed, reading: Reading) -> list[Row]:
    header = capture.header
    started = _started(str(header.get("started", "")))
    engine = str(header.get("engine", "q4engine" if header else ""))
    shared: Row = {
        "state": JUDGED,
        "reason": "",
        "run": number,
        "format": str(capture.table.meta.get("format", "")),
        "device": _device(header, listed, reading.device),
        "engine": printable(engine),
        "version": printable(str(header.get("engine_version", header.get("q4engine_version", "")))),
        "emulated": capture.is_emulated,
        "started": listed.changed_us if started is None else started,
        "started_by": "file" if started is None else "capture",
    }
    shared |= {column: printable(str(header.get(key, "")), 200) for column, key in _HEADER_TEXTS.items()}
    shared |= {column: _number(header.get(key)) for column, key in _HEADER_NUMBERS.items()}
    return [shared | _of_phase(phase, str(shared["cpu"])) for phase in capture.judged()]


def _of_phase(judged: JudgedPhase, cpu: str) -> Row:
    phase, combined, core = judged.phase, judged.judgement.combined, judged.context.core
    closest = min(combined.checks, key=lambda check: abs(check.relative_margin), default=None)
    row: Row = {
        "machine": cpu or core.title,
        "core": core.name,
        "phase": printable(phase.label),
        "title": judged.title,
        "generation": phase.generation,
        "scope": printable(phase.scope),
        "pmu": printable(phase.pmu),
        "calls": len(phase.steps),
        "tokens": phase.n_tokens,
        "tokens_kept": phase.n_kept,
        "batch": float(median(step.n_eval for step in phase.steps)) if phase.steps else None,
        "depth": fmean(step.n_past for step in phase.steps) if phase.steps else None,
        "duration_s": _known(judged.time(phase.duration_s)),
        "tokens_per_s": _known(judged.tokens_per_second),
        "frequency_hz": _known(judged.evidence.frequency),
        "verdict": str(combined.outcome),
        "family": str(combined.family),
        "confidence": str(combined.confidence),
        "decided_by": closest.key if closest else "",
        "margin": _margin(combined),
    }
    for rule, verdict in zip(RULES, judged.judgement.rules, strict=True):
        row |= {f"{rule}_verdict": str(verdict.outcome), f"{rule}_margin": _margin(verdict)}
    return row | {key: _known(ratio.number()) for key, ratio in judged.metrics.items()}


def _margin(verdict: Verdict) -> float | None:
    return None if verdict.margin is None else _known(verdict.margin)


def _device(header: dict[str, object], listed: Listed, key: str) -> str:
    named = [str(header[name]) for name in ([key] if key else DEVICE_KEYS) if header.get(name)]
    return printable(named[0]) if named and key != FOLDER else listed.folder


def _started(text: str) -> int | None:
    """Microseconds since 1970 of an ISO time, UTC where it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6)


def _number(value: object) -> float | None:
    try:
        return _known(float(str(value)))
    except ValueError:
        return None


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
