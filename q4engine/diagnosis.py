"""Looks at what this machine offers for measuring, and says what to change where something is missing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import annotate
from annotate import Endpoints
from q4engine import machine
from q4engine.profiling.counters import AVAILABLE
from q4engine.profiling.events import CYCLES, TYPE_RAW, NativeEvent, TryGroup, parse_events, presets_of
from q4engine.profiling.plan import PARANOID, plan_counters
from q4engine.profiling.pmus import Pmu, core_pmus

_DAEMON_SECONDS = 1.5
_MOST_COUNTERS = 16
_INSTRUCTIONS = (TYPE_RAW, 0x08)  # INST_RETIRED on Arm


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ok: False where something stands in the way, None where nothing does. fix: what to do."""

    name: str
    value: str
    ok: bool | None = None
    fix: str = ""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def examine(attempt: TryGroup, endpoints: Endpoints | None = None, pmus: list[Pmu] | None = None) -> list[Finding]:
    """All findings. attempt: as plan_counters takes it."""
    pmus = core_pmus() if pmus is None else pmus
    return [
        *_cpu(),
        _paranoid(),
        *_pmus(pmus, attempt),
        *_events(pmus, attempt),
        _software(attempt),
        _governor(),
        _huge_pages(),
        _daemon(endpoints or Endpoints()),
        _perf(),
    ]


def _cpu() -> list[Finding]:
    midrs = ", ".join(f"0x{midr:08x}" for midr in machine.midrs())
    name = f"{machine.cpu_name()} ({machine.architecture()}{', MIDR ' + midrs if midrs else ''})"
    allowed = len(os.sched_getaffinity(0))
    return [Finding("cpu", name), Finding("cpus", f"{allowed} of {os.cpu_count()} may be used")]


def _paranoid() -> Finding:
    text = machine.read_text(PARANOID)
    if text is None:
        return Finding("perf_event_paranoid", "absent", False, "a kernel with CONFIG_PERF_EVENTS")
    if text.lstrip("-").isdigit() and int(text) > 2 and os.geteuid() != 0:
        fix = "sudo sysctl kernel.perf_event_paranoid=2 (Android: adb shell setprop security.perf_harden 0)"
        return Finding("perf_event_paranoid", text, False, fix)
    return Finding("perf_event_paranoid", text, True)


def _pmus(pmus: list[Pmu], attempt: TryGroup) -> list[Finding]:
    if not pmus:
        fix = "a virtual machine has one where its host passes it on; else measure on real hardware"
        return [Finding("pmu", "none", False, fix)]
    findings = []
    for pmu in pmus:
        parts = [f"CPUs {_ranges(pmu.cpus)}" if pmu.cpus else "all CPUs"]
        if pmu.slots:
            parts.append(f"{pmu.slots} slots a cycle")
        count = count_counters(pmu, attempt)
        parts.append(f"{count} counters beside the cycle counter" if count else "no counters open")
        parts.append(f"{len(pmu.events)} events listed")
        findings.append(Finding(f"pmu {pmu.name}", ", ".join(parts), bool(count)))
    return findings


def count_counters(pmu: Pmu, attempt: TryGroup) -> int:
    """How many events of a PMU are counted at the same time, found by opening groups that grow; 0 where none opens."""
    on_arm = machine.architecture() == "aarch64"
    event: NativeEvent = (pmu.type, _INSTRUCTIONS[1], True) if on_arm else (0, 1, True)
    count = 0
    while count < _MOST_COUNTERS and not attempt([event] * (count + 1))[0]:
        count += 1
    return count


def _ranges(cpus: tuple[int, ...]) -> str:
    """0-3,7"""
    parts: list[list[int]] = []
    for cpu in cpus:
        if parts and parts[-1][-1] == cpu - 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _events(pmus: list[Pmu], attempt: TryGroup) -> list[Finding]:
    """Each preset's events, present and missing, and in how many turns they are counted."""
    arch = machine.architecture()
    findings = []
    for preset in presets_of(arch):
        counters = plan_counters(preset, attempt, pmus, arch)
        if counters.state != AVAILABLE:
            return [Finding("events", f"none: {counters.state}", False)]
        gone = {name for name, _ in counters.missing}
        present = [event.name for event in parse_events(preset, arch) if event.name not in gone]
        turns = len(counters.rotation)
        value = ", ".join(present) + (f"; in {turns} turns" if turns > 1 else "")
        if gone:
            value += f"; missing: {', '.join(sorted(gone))}"
        findings.append(Finding(f"events {preset}", value, CYCLES in present))
    return findings


def _software(attempt: TryGroup) -> Finding:
    counters = plan_counters("task-clock,page-faults,context-switches", attempt, [])
    gone = [name for name, _ in counters.missing]
    present = ", ".join(name for group in counters.groups for name in group.names)
    if not present:
        return Finding("software events", f"none: {counters.state}", False)
    if gone:
        fix = "sudo sysctl kernel.perf_event_paranoid=1, where they are wanted"
        return Finding("software events", f"{present}; missing: {', '.join(gone)}", True, fix)
    return Finding("software events", f"{present} and others can be counted", True)


def _governor() -> Finding:
    governors = machine.governors()
    if not governors:
        return Finding("governor", "not shown by this kernel")
    value = ", ".join(governors)
    if governors == ["performance"]:
        return Finding("governor", value, True)
    return Finding("governor", value, False, "sudo cpupower frequency-set -g performance, for times that repeat")


def _huge_pages() -> Finding:
    setting = machine.huge_pages()
    if setting is None:
        return Finding("huge pages", "not in this kernel")
    if setting == "never":
        fix = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
        return Finding("huge pages", setting, False, fix)
    return Finding("huge pages", setting, True)


def _daemon(endpoints: Endpoints) -> Finding:
    with annotate.streamline("auto", endpoints) as streamline:
        if _wait(lambda: streamline.connected):
            return Finding("Streamline daemon", "listening", True)
    fix = "start gatord and a capture in Streamline, before or during the run"
    return Finding("Streamline daemon", "not found", None, fix)


def _wait(until: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _DAEMON_SECONDS
    while not until() and time.monotonic() < deadline:
        time.sleep(0.02)
    return until()


def _perf() -> Finding:
    path = shutil.which("perf")
    if path is None:
        return Finding("perf", "not found", None, "install linux-perf (Debian) or linux-tools (Ubuntu) for --perf-ctl")
    return Finding("perf", str(Path(path)), True)
