"""The doctor, on machines that are made up."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from annotate_daemon import Daemon, private_endpoints

from q4engine import diagnosis, machine
from q4engine.cli import main
from q4engine.diagnosis import Finding, examine
from q4engine.profiling.events import NativeGroup
from q4engine.profiling.pmus import Pmu


def found(findings: list[Finding], name: str) -> Finding:
    (finding,) = [finding for finding in findings if finding.name == name]
    return finding


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_DAEMON_SECONDS", 0.2)


def test_a_machine_with_a_pmu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "architecture", lambda: "aarch64")
    listed = frozenset({"cpu_cycles", "inst_retired", "stall_backend", "stall_frontend", "l2d_cache_refill"})
    core = Pmu("armv8_pmuv3_0", 8, (), 5, listed)

    def six(group: NativeGroup) -> tuple[int, int]:
        return (errno.EINVAL if sum(kind == 8 and code != 0x11 for kind, code, _ in group) > 6 else 0), 0

    with private_endpoints() as endpoints:
        findings = examine(six, endpoints, [core])
    pmu = found(findings, "pmu armv8_pmuv3_0")
    assert pmu.ok and "5 slots a cycle, 6 counters beside the cycle counter, 5 events listed" in pmu.value
    default = found(findings, "events default")
    assert default.ok and "STALL_BACKEND" in default.value
    assert "missing: LL_CACHE_MISS_RD, STALL_BACKEND_MEM" in default.value


def test_a_machine_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paranoid").write_text("4\n")
    monkeypatch.setattr(diagnosis, "PARANOID", tmp_path / "paranoid")
    monkeypatch.setattr(diagnosis.os, "geteuid", lambda: 1000)
    with private_endpoints() as endpoints:
        findings = examine(lambda group: (errno.EACCES, 0), endpoints, [])
    paranoid = found(findings, "perf_event_paranoid")
    assert paranoid.ok is False and "kernel.perf_event_paranoid=2" in paranoid.fix
    assert found(findings, "events").ok is False
    assert found(findings, "pmu").fix
    assert found(findings, "software events").ok is False


def test_a_kernel_that_hides_itself() -> None:
    with private_endpoints() as endpoints:
        findings = examine(lambda group: (0 if all(g[2] for g in group) else errno.EACCES, 0), endpoints, [])
    software = found(findings, "software events")
    assert software.value == "task-clock, page-faults; missing: context-switches"
    assert software.ok and "kernel.perf_event_paranoid=1" in software.fix


def test_governor_and_huge_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, governor in enumerate(("schedutil", "performance", "schedutil")):
        (tmp_path / f"cpu{cpu}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "cpufreq" / "scaling_governor").write_text(f"{governor}\n")
    monkeypatch.setattr(machine, "CPU_ROOT", tmp_path)
    monkeypatch.setattr(machine, "huge_pages", lambda: "never")
    with private_endpoints() as endpoints:
        findings = examine(lambda group: (errno.ENOENT, 0), endpoints, [])
    governor_found = found(findings, "governor")
    assert governor_found.value == "schedutil, performance" and "cpupower" in governor_found.fix
    assert "madvise" in found(findings, "huge pages").fix


def test_cores_by_their_midr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, midr in ((0, "0x00000000411fd050"), (1, "0x00000000410fd493"), (10, "0x00000000480fd010")):
        (tmp_path / f"cpu{cpu}" / "regs" / "identification").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}" / "regs" / "identification" / "midr_el1").write_text(f"{midr}\n")
    monkeypatch.setattr(machine, "CPU_ROOT", tmp_path)
    assert [f"0x{midr:08x}" for midr in machine.midrs()] == ["0x411fd050", "0x410fd493", "0x480fd010"]
    assert machine.cpu_name() == "Cortex-A55,Neoverse-N2,implementer 0x48 part 0xd01"


def test_cores_by_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = [("0x41", "0x1", "0xd05", "0"), ("0x41", "0x0", "0xd49", "3")]
    lines = [
        f"CPU implementer\t: {a}\nCPU architecture: 8\nCPU variant\t: {b}\nCPU part\t: {c}\nCPU revision\t: {d}\n"
        for a, b, c, d in (*cores, cores[0])
    ]
    (tmp_path / "cpuinfo").write_text("\n".join(lines))
    monkeypatch.setattr(machine, "CPU_ROOT", tmp_path)
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert [f"0x{midr:08x}" for midr in machine.midrs()] == ["0x411fd050", "0x410fd493"]
    assert machine.cpu_name() == "Cortex-A55,Neoverse-N2"
    (tmp_path / "cpuinfo").write_text("model name\t: Some x86\n")
    monkeypatch.setattr(machine, "architecture", lambda: "x86_64")
    assert machine.cpu_name() == "Some x86"
    monkeypatch.setattr(machine, "architecture", lambda: "aarch64")
    assert machine.cpu_name() == "unknown aarch64 core"


def test_the_daemon_is_found() -> None:
    with private_endpoints() as endpoints:
        assert found(examine(lambda group: (errno.ENOENT, 0), endpoints, []), "Streamline daemon").value == "not found"
        with Daemon(endpoints):
            findings = examine(lambda group: (errno.ENOENT, 0), endpoints, [])
        assert found(findings, "Streamline daemon").ok


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"cpu", "perf_event_paranoid", "huge pages", "Streamline daemon"} <= {row["name"] for row in findings}
    assert all(set(row) == {"name", "value", "ok", "fix"} for row in findings)
    assert all(row["name"] in text for row in findings)
