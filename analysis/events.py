"""Event names and numbers: one canonical name for every spelling that tools use. Standard library only.

`perf stat` says `stalled-cycles-backend`, `armv8_pmuv3_0/stall_backend/`, `r24` or `r0024:u`, simpleperf says
`raw-stall-backend`, Streamline shows `Stalls:Backend`: all are Arm's STALL_BACKEND. Names with no Arm event (software
events, events of other PMUs) keep their own spelling.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib import resources
from typing import NamedTuple

ARM = ("aarch64", "arm64", "arm")
SOFTWARE_EVENTS = {
    # Numbers of PERF_TYPE_SOFTWARE events, from the kernel's perf_event.h.
    "cpu-clock": 0,
    "task-clock": 1,
    "page-faults": 2,
    "context-switches": 3,
    "cpu-migrations": 4,
    "minor-faults": 5,
    "major-faults": 6,
    "alignment-faults": 7,
    "emulation-faults": 8,
    "dummy": 9,
    "bpf-output": 10,
    "cgroup-switches": 11,
}
SOFTWARE_ALIASES = {
    "faults": "page-faults",
    "cs": "context-switches",
    "migrations": "cpu-migrations",
    "CPU-migrations": "cpu-migrations",  # Linux before 2.6.38
}
TOOL_EVENTS = ("duration_time", "user_time", "system_time")

_MODIFIER = re.compile(r"(?<=[^:]):([ukhGHpPSDIWeb]+)$")
_PMU_EVENT = re.compile(r"^([A-Za-z][\w.-]*)/(.*)/([ukhGHpPSDIWeb]*)$", re.DOTALL)
# Events of one name on several PMUs, with `--no-merge`: `l3d_cache [armv8_cortex_a76]`, `cycles (cpu_core)`.
_UNIQUE = re.compile(r"^(\S+) [\[(]([A-Za-z][\w.-]*)[\])]$")
_RAW = re.compile(r"^r([0-9a-fA-F]{1,16})$")
_TERM_CODE = re.compile(r"^(?:event|config)=(?:0x([0-9a-fA-F]{1,16})|(\d{1,18}))$", re.ASCII)
_ARM_CORE_PMU = re.compile(r"^(armv[89]\w*|apple_\w+_pmu)$")
# Events of x86 cores by the first words of their names, which no Arm event begins with. Source: perf's lists of AMD's
# (amdzen1 to amdzen5) and Intel's events (tools/perf/pmu-events/arch/x86 in Linux).
_X86_EVENT = re.compile(
    r"(?:ls|ex|de|ic|bp)_[a-z]\w*(?:\.\w+)*"
    r"|(?:l2_cache_req_stat|l2_request_g\d|l2_pf_(?:hit|miss)_l2|l2_fill_rsp_src|fp_ret_sse|fp_ops_retired)\w*(?:\.\w+)*"
    r"|(?:uops_\w+|idq\w*|cpu_clk_unhalted|cycle_activity|exe_activity|mem_(?:load|inst|uops)\w*|br_\w+_retired"
    r"|inst_retired|int_misc|machine_clears|resource_stalls|longest_lat_cache|l2_rqsts|offcore_requests\w*)\.\w+(?:\.\w+)*"
)
# Terms that change how an event is collected but not what is counted; config1 bits 0 and 1 are `long` and `rdpmc`.
_HARMLESS_TERM = re.compile(r"^(config1=(0x)?[0-3]|long(=\d)?|rdpmc(=\d)?|percore(=\d)?|period=\d+|metric-id=.*)$")


class CanonicalEvent(NamedTuple):
    """name: canonical event. pmu: as the tool names it, '' if it does not. modifier: `u`, `k`, `ppp`, … or ''."""

    name: str
    pmu: str
    modifier: str


def _rows(file_name: str) -> list[dict[str, str]]:
    text = resources.files("analysis.data").joinpath(file_name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@cache
def arm_events() -> dict[str, int]:
    """Canonical Arm name -> event number, in order of numbers."""
    return {row["event"]: int(row["code"], 16) for row in _rows("arm_events.csv")}


@cache
def _names_by_code() -> dict[int, str]:
    return {code: name for name, code in arm_events().items()}


@cache
def _perf_aliases(is_arm: bool) -> dict[str, str]:
    return {row["alias"]: row["event"] for row in _rows("perf_aliases.csv") if is_arm or not row["arm_only"]}


@cache
def only_arms() -> frozenset[str]:
    """The events that no other machine's are folded onto."""
    return frozenset(arm_events()) - frozenset(_perf_aliases(False).values())


@cache
def _streamline_series() -> dict[tuple[str, str], str]:
    return {(row["title"], row["series"]): row["event"] for row in _rows("streamline_series.csv")}


@cache
def is_known_event(name: str) -> bool:
    """Whether a spelling of perf's is one that we know: an Arm event, a generic one, the kernel's or perf's own."""
    event = canonical(name).name
    return event in arm_events() or is_software(event) or event in _perf_aliases(True) or bool(_RAW.match(event))


def event_code(name: str) -> int | None:
    """Number of a canonical event on an Arm PMU; None where it has none. Raw names (`r8123`) are their own number."""
    if name in arm_events():
        return arm_events()[name]
    raw = _RAW.match(name)
    return int(raw[1], 16) if raw else None


def streamline_event(title: str, series: str) -> str | None:
    """Canonical event of Streamline's `title:series`, of any release; None where it is none that we know."""
    return _streamline_series().get((title.strip(), series.strip()))


def is_other_pmu(pmu: str) -> bool:
    """True for a named PMU that is no Arm core's: x86 cores, interconnects, memory controllers."""
    return bool(pmu) and not _ARM_CORE_PMU.match(pmu)


def is_x86(event: str) -> bool:
    """True for a spelling that only x86 cores have an event of: AMD's `ls_not_halted_cyc`, Intel's `idq.mite_uops`."""
    return _X86_EVENT.fullmatch(event) is not None


def is_software(name: str) -> bool:
    """True for events that the kernel or perf itself counts: they belong to no PMU."""
    return name in SOFTWARE_EVENTS or name in TOOL_EVENTS


@cache
def canonical(name: str, arch: str = "aarch64") -> CanonicalEvent:
    """Folds an event's spelling in perf, simpleperf or a capture of ours onto one name.

    `arch` is the machine's: generic names such as `cache-misses` and raw codes mean Arm's events on Arm only.
    """
    text, modifier, pmu = name.strip(), "", ""
    unique = _UNIQUE.match(text)
    if unique:
        text, pmu = unique[1], unique[2]
    match = _MODIFIER.search(text)
    if match:
        text, modifier = text[: match.start()], match[1]
    in_pmu = _PMU_EVENT.match(text)
    if in_pmu:
        pmu, text, modifier = pmu or in_pmu[1], in_pmu[2], in_pmu[3] or modifier
    is_arm = arch in ARM and not is_other_pmu(pmu)
    if is_arm:
        return CanonicalEvent(_arm_name(text, pmu), pmu, modifier)
    return CanonicalEvent(_perf_aliases(False).get(text) or _software_name(text), pmu, modifier)


def _arm_name(text: str, pmu: str) -> str:
    terms = text.split(",")
    essential = [t for t in terms if not _HARMLESS_TERM.match(t.strip())]
    if len(essential) > 1:
        named = [t[5:] for t in essential if t.startswith("name=")]
        others = [t for t in essential if not t.startswith("name=")]
        if not (named and all(_TERM_CODE.match(t) for t in others)):
            return text  # a filtered or thresholded event is not the plain one
        essential = others
    text = essential[0].strip() if essential else text
    by_alias = _perf_aliases(True).get(text)
    if by_alias:
        return by_alias
    code = _code_of(text)
    if code is not None:
        return _names_by_code().get(code, f"r{code:x}")
    upper = text.removeprefix("raw-").replace("-", "_").upper()
    if upper in arm_events() or (pmu and re.fullmatch(r"[A-Z0-9_]+", upper)):
        return upper
    return _software_name(text)


def _code_of(text: str) -> int | None:
    raw = _RAW.match(text)
    if raw:
        return int(raw[1], 16)
    term = _TERM_CODE.match(text)
    if not term:
        return None
    return int(term[1], 16) if term[1] else int(term[2])  # decimal with zeros in front too, as perf reads it


def _software_name(text: str) -> str:
    return SOFTWARE_ALIASES.get(text, text)
