"""One capture from file to verdicts: read, cut into phases, joined with what is known beside it, judged."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from analysis import bootstrap, cores, cutting, metrics, model_bytes, waits
from analysis.cores import Core
from analysis.errors import AnalysisError, printable
from analysis.events import ARM
from analysis.formula import NotMeasured, parse
from analysis.phase import Phase, Step, StepFacts
from analysis.plausible import screened
from analysis.readers import formats, read
from analysis.readers.markers_file import read_markers
from analysis.readers.q4engine_capture import TAKEN_KEYS
from analysis.table import Table
from analysis.verdicts import Context, Evidence, Judgement, alike, gather, judge_evidence, judge_step
from analysis.verdicts.alike import StepVerdict
from analysis.verdicts.averaged import disagreement

_MOST_WINDOWS = 256  # kinds of layers
_X86 = ("x86_64", "x86-64", "x86", "amd64", "i386", "i686")
# What a capture may cost before its times are doubted.
_COSTLY_PERCENT = 2.0
MOST_SLOTS = 64
MOST_JUDGED = 1000
"""Steps of a phase whose verdicts are counted."""
_WINDOW = re.compile(r"([0-9]{1,9}):([0-9]{1,15})")
"""More issue slots a cycle than any core has: a number above it is a mistake."""


@dataclass(frozen=True)
class Options:
    """What a command line says about its captures. read_peak: bytes/s.  slots: per cycle.

    assume: bytes and operations a second of a machine that an emulated capture is projected on.
    """

    format: str | None = None
    lenient: bool = False
    core: Core | None = None
    slots: int | None = None
    markers: Path | None = None
    offset_s: float | None = None
    straddle: str = "split"
    by_scope: bool = False
    read_peak: float | None = None
    model: Path | None = None
    assume: tuple[float, float] | None = None


@dataclass
class JudgedPhase:
    """A phase with its evidence and verdicts. title: its label, made unique within the capture."""

    title: str
    phase: Phase
    context: Context
    evidence: Evidence
    judgement: Judgement
    _of_steps: dict[int, Judgement] = field(default_factory=dict, repr=False)

    @cached_property
    def metrics(self) -> dict[str, metrics.Ratio]:
        """Every metric of the phase, over the part that is evidence."""
        found = metrics.table(self.evidence.subject, self.context.core)
        if self.context.emulated:
            untimed = NotMeasured((), "not measured: the emulator's time is not the machine's")
            found |= {key: metrics.Ratio(untimed) for key in found if metrics.BY_KEY[key].unit == "GB/s"}
        return found

    def of_step(self, step: Step) -> Judgement:
        """The verdicts on one of the phase's steps, kept: a report asks again. A step costs as much as a phase does."""
        if id(step) not in self._of_steps:
            self._of_steps[id(step)] = judge_step(step.passing(), self.phase, self.context)
        return self._of_steps[id(step)]

    def every_step(self) -> Iterator[tuple[Step, StepVerdict]]:
        """Every step of the phase with its own verdict, set-aside ones included; none is kept, nor its counts."""
        return alike.every_step(self.phase, self.context, judge_step)

    @cached_property
    def some_steps(self) -> list[tuple[Step, Judgement]]:
        """The same of at most MOST_JUDGED steps, evenly chosen: a verdict takes some tenths of a millisecond."""
        every = -(-len(self.phase.steps) // MOST_JUDGED) or 1
        return [(step, self.of_step(step)) for step in self.phase.steps[::every]]

    def interval(self, key: str) -> bootstrap.Interval | None:
        """The bootstrap interval of a metric over the phase's usable steps."""
        ratio = self.metrics[key]
        for text in metrics.BY_KEY[key].alternatives:
            formula = parse(text)
            events = tuple(name for name in formula.names if name not in metrics.PARAMETERS)
            if ratio.known and events == ratio.events:
                least = self.context.thresholds.steps_for_interval
                return bootstrap.bootstrap(self.evidence.steps, formula, least=least)
        return None

    def time(self, seconds: float) -> float:
        """A time of the capture; NaN in an emulated one, for an emulator's clock says nothing of the machine."""
        return math.nan if self.context.emulated else seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens kept a second, NaN where either is not known, or the time is an emulator's."""
        known = self.phase.n_tokens > 0 and self.time(self.phase.duration_s) > 0
        return self.phase.n_kept / self.phase.duration_s if known else math.nan


@dataclass
class Capture:
    """A capture with everything that was concluded from it.

    which: what it is of the file, where that holds several runs or too many phases; '' where it is all of it.
    """

    path: Path
    table: Table
    phases: list[JudgedPhase]
    notes: list[str] = field(default_factory=list)
    assume: tuple[float, float] | None = None
    which: str = ""

    @property
    def header(self) -> dict[str, Any]:
        """Header keys of our own captures, empty for other formats."""
        header: dict[str, Any] = self.table.meta.get("header", {})
        return header

    @property
    def is_emulated(self) -> bool:
        return bool(self.table.meta.get("emulated"))

    def judged(self) -> list[JudgedPhase]:
        """The phases that verdicts speak of: without warm-up."""
        return [phase for phase in self.phases if not phase.phase.warmup]


def load(path: str | Path, options: Options | None = None) -> Capture:
    """Read and judge a capture, of a file with several runs the first.

    Raises AnalysisError for anything that cannot be read.
    """
    options, path = options or Options(), Path(path)
    table = read(path, options.format, options.lenient)
    capture, n_runs = _load(path, table, options), 1 + len(table.runs)
    if n_runs > 1:
        capture.notes.insert(0, _told(capture, 1, n_runs))
        which = f"this is the first of {n_runs} runs in the file; `stalls` shows them all"
        capture.which = f"{which}; {capture.which}" if capture.which else which
        capture.notes.append(which)
    return capture


def load_runs(path: str | Path, options: Options | None = None, why_one: str = "") -> list[Capture]:
    """The same for every run in the file, in its order (`perf stat --append`).

    why_one: why no file may hold several, said before any is judged; '' where they are welcome.
    """
    options = options or Options()
    path = Path(path)
    table = read(path, options.format, options.lenient)
    if table.runs and why_one:
        raise AnalysisError(f"holds {1 + len(table.runs)} runs; {why_one}", path=path)
    captures = [_load(path, one, options) for one in (table, *table.runs)]
    for number, capture in enumerate(captures if len(captures) > 1 else [], 1):
        capture.notes.insert(0, _told(capture, number, len(captures)))
    return captures


def _told(capture: Capture, number: int, n_runs: int) -> str:
    """Which run of a file it is."""
    told = [str(capture.table.meta[key]) for key in ("started", "target") if key in capture.table.meta]
    return f"run {number} of {n_runs}" + (f": {printable(', '.join(told))}" if told else "")


def _load(path: Path, table: Table, options: Options) -> Capture:
    markers = read_markers(options.markers, options.lenient) if options.markers else None
    try:
        found = cutting.cut(table, markers, options.offset_s, options.straddle, options.by_scope)
    except AnalysisError as problem:
        if problem.path is not None:
            raise
        raise AnalysisError(problem.reason, path=path) from None
    known = table.calls.facts if table.calls is not None else {}
    cost = _number(table.meta.get("header", {}), "observer_cost_percent") or 0.0
    left_out = next((phase.left_out for phase in found if phase.left_out), "")
    told = [*([left_out] if left_out else []), *(note for phase in found for note in phase.notes)]
    notes = list(dict.fromkeys([*table.notes, *told]))
    if cost > _COSTLY_PERCENT:
        notes.append(f"counting cost {cost:.1f} % of the run time, so times are that much too long")
    judged = [
        _judge(phase, title, table, options, known, notes) for phase, title in zip(found, titles(found), strict=True)
    ]
    if options.assume and not table.meta.get("emulated"):
        raise AnalysisError("--assume is for emulated captures, and this one was measured", path=path)
    return Capture(path, table, judged, list(dict.fromkeys(notes)), options.assume, left_out)


def titles(found: Sequence[Phase]) -> list[str]:
    """A name for each phase: its label, with generation, PMU and scope where they tell phases apart."""
    generations = {phase.generation for phase in found if not phase.warmup}
    pmus, scopes = {phase.pmu for phase in found}, {phase.scope for phase in found}
    names = []
    for phase in found:
        parts = [printable(phase.label)]
        if len(generations) > 1 and not phase.warmup:
            parts.append(f"#{phase.generation + 1}")
        parts += [printable(phase.pmu)] if len(pmus) > 1 and phase.pmu else []
        parts += [printable(phase.scope)] if len(scopes) > 1 and phase.scope else []
        names.append(" ".join(parts))
    if len(set(names)) < len(names):  # long labels that are cut alike, as of a chart's marks only one may have
        seen = Counter[str]()
        twice = {name for name, n in Counter(names).items() if n > 1}
        for at, name in enumerate(names):
            seen[name] += 1
            names[at] = f"{name} ({seen[name]})" if name in twice else name
    return names


def _judge(
    phase: Phase, title: str, table: Table, options: Options, known: dict[int, StepFacts], notes: list[str]
) -> JudgedPhase:
    context = context_of(phase, table, options, notes)
    phase, aside = screened(phase, context.core)
    notes += [f"set aside: {reason}" for reason in aside]
    evidence = gather(phase, context, known)
    threads = waits.threads_of(table.meta.get("header", {}), evidence.steps)
    if isinstance(evidence.subject, Phase):
        taken = _taken(table.meta.get("header", {}), phase.label, notes)
        waited = waits.of_phase(evidence.subject, evidence.steps, table.calls, threads, taken)
        evidence = replace(evidence, waits=waited)
    judgement = judge_evidence(evidence, context)
    split = disagreement(evidence, judgement, lambda alone: judge_evidence(alone, context))
    if split:
        evidence = replace(evidence, blocked=split)
        judgement = judge_evidence(evidence, context)
    return JudgedPhase(title, phase, context, evidence, judgement)


def context_of(phase: Phase, table: Table, options: Options, notes: list[str]) -> Context:
    """What is known beside a phase's counts: command line first, then the capture's header. Doubts go to `notes`."""
    header = table.meta.get("header", {})
    weights, kv = _number(header, "bytes_per_token"), _number(header, "kv_bytes_per_token") or 0.0
    windows = _windows(str(header.get("kv_windows", "")), kv)
    if options.model:
        scanned = _model_bytes(options.model)
        weights, kv, windows = float(scanned.weights), float(scanned.kv), ()
    peak = _number(header, "read_peak_gbps")
    if phase.scope == "":
        n_cpus = sum(scope.startswith("cpu:") and " " not in scope for scope in table.scopes)
    else:
        n_cpus = int(phase.scope.startswith("cpu:"))
    return Context(
        core=_core_of(phase, table, options, notes),
        slots=options.slots or _slots(str(header.get("slots", "")), phase.pmu),
        read_peak=options.read_peak or (peak * 1e9 if peak else None),
        peak_is_measured=options.read_peak is None,
        model_bytes=weights,
        kv_bytes=kv,
        kv_windows=windows,
        emulated=bool(table.meta.get("emulated")),
        tells_running=formats.tells_running(table.meta.get("format")),
        whole_machine=phase.scope == "" and len(cutting.pmus_of_cores(table)) <= 1,
        mixed_cores=len(cutting.pmus_of_cores(table)) > 1,
        system_wide=table.meta.get("target") == "system wide",
        n_cpus=n_cpus,
    )


@cache
def _model_bytes(path: Path) -> model_bytes.ModelBytes:
    return model_bytes.read(path)


@lru_cache(64)  # asked for every phase
def _slots(text: str, pmu: str) -> int | None:
    """Issue slots a cycle from the header: a number, or `PMU=number` of each PMU."""
    by_pmu = dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    number = by_pmu.get(pmu, "") if by_pmu else text.strip()
    return int(number) if number.isascii() and number.isdigit() and 1 <= int(number[:4]) <= MOST_SLOTS else None


@lru_cache(8)
def _windows(text: str, kv_bytes: float) -> tuple[tuple[int, float], ...]:
    """Windows and bytes from the header, `512:15360,…`; none where they are no part of the layers' bytes."""
    parts = [_WINDOW.fullmatch(part.strip()) for part in text.split(",", _MOST_WINDOWS)]
    found = tuple((int(match[1]), float(match[2])) for match in parts if match is not None)
    return found if all(window for window, _ in found) and sum(each for _, each in found) <= kv_bytes else ()


def _number(header: dict[str, Any], key: str) -> float | None:
    try:
        value = float(header.get(key, "nan"))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value > 0 else None


def _taken(header: dict[str, Any], label: str, notes: list[str]) -> waits.Taken:
    """What others took of the CPUs in the phases of this label, else in the whole run, by the header; more than all is
    told and left out.
    """
    names = {key: of_phase if (of_phase := f"{key}.{label}") in header else key for key in TAKEN_KEYS}
    shares = {}
    for key, name in names.items():
        percent = _number(header, name)
        if percent is not None and percent > 100:
            notes.append(f"set aside: {printable(name)} is {percent:g}, more than all")
            percent = None
        shares[key] = math.nan if percent is None else percent / 100
    are_of_phase = all(name != key for key, name in names.items() if name in header)
    return waits.Taken(shares["steal_percent"], shares["run_delay_percent"], are_of_phase)


def _core_of(phase: Phase, table: Table, options: Options, notes: list[str]) -> Core:
    """The core that counted: named by the PMU, by the command line, or by the header, in this order."""
    by_pmu = _core_of_pmu(phase.pmu)
    if by_pmu and by_pmu.name != getattr(options.core, "name", by_pmu.name):
        notes.append(f"PMU {printable(phase.pmu)} is {by_pmu.title}, so --core is not used for its counts")
    if by_pmu or options.core:
        return by_pmu or options.core or cores.load(cores.GENERIC)
    header = table.meta.get("header", {})
    for told in (header.get("midr", ""), header.get("cpu", ""), table.meta.get("cpu", "")):
        core, doubt = _core_named(str(told))
        notes += [doubt] if doubt else []
        if core:
            return core
    arch = str(table.meta.get("arch", "aarch64"))
    if arch in ARM:
        return cores.load(cores.GENERIC)
    x86 = cores.load(cores.X86)
    return x86 if arch in _X86 else replace(x86, title=f"{printable(arch)} CPU", seldom=frozenset())


@lru_cache(8)  # asked for every phase
def _core_named(told: str) -> tuple[Core | None, str]:
    """The core that a header names, or why its several are none."""
    named = [text for text in told.split(",") if text.strip()]
    if len(set(named)) > 1:
        return None, f"the capture names several cores ({printable(', '.join(named))}): say which with --core"
    return cores.known(named[0]) if named else None, ""


# PMUs whose name is not their core's.
_PMUS = {
    "apple_icestorm_pmu": "apple-m1",
    "apple_firestorm_pmu": "apple-m1",
    "apple_blizzard_pmu": "apple-m2",
    "apple_avalanche_pmu": "apple-m2",
}


def _core_of_pmu(pmu: str) -> Core | None:
    if pmu in _PMUS:
        return cores.load(_PMUS[pmu])
    for prefix in ("armv8_", "armv9_", "armv8.1_", "armv8.2_"):
        if pmu.startswith(prefix):
            return cores.known(pmu.removeprefix(prefix))
    return cores.known(pmu) if " " in pmu else None  # a title, as topdown-tool has it: "Neoverse V2"
