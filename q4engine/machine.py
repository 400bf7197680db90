"""What is known of this machine: its cores, clock settings and the version of the code. For captures and the doctor."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

CPU_ROOT = Path("/sys/devices/system/cpu")
CPUINFO = Path("/proc/cpuinfo")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# MIDR_EL1's implementer and part numbers. Source: Arm's technical reference manuals of these cores.
ARM_PARTS = {
    0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72",
    0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1", 0xD0D: "Cortex-A77",
    0xD40: "Neoverse-V1", 0xD41: "Cortex-A78", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710",
    0xD48: "Cortex-X2", 0xD49: "Neoverse-N2", 0xD4A: "Neoverse-E1", 0xD4B: "Cortex-A78C", 0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3", 0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD82: "Cortex-X4",
    0xD84: "Neoverse-V3", 0xD85: "Cortex-X925", 0xD87: "Cortex-A725", 0xD8E: "Neoverse-N3",
}  # fmt: skip
_ARM = 0x41


def read_text(path: Path) -> str | None:
    """A file of sysfs or procfs without the newline; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def architecture() -> str:
    """aarch64 or x86_64."""
    machine = platform.machine().lower()
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(machine, machine)


def midrs() -> list[int]:
    """MIDR_EL1 of the cores, each kind once, in CPU order; [] on other architectures."""
    found: dict[int, None] = {}
    for path in sorted(CPU_ROOT.glob("cpu[0-9]*/regs/identification/midr_el1"), key=_cpu_number):
        text = read_text(path)
        if text:
            found[int(text, 16) & 0xFFFFFFFF] = None
    return list(found) or list(dict.fromkeys(_midrs_of_cpuinfo(read_text(CPUINFO) or "")))


def _midrs_of_cpuinfo(text: str) -> list[int]:
    """The same from /proc/cpuinfo, for kernels and phones that hide the register."""
    names = ("implementer", "variant", "part", "revision")
    fields = [re.findall(rf"^CPU {name}\s*:\s*(\w+)$", text, re.MULTILINE) for name in names]
    return [
        int(implementer, 0) << 24 | int(variant, 0) << 20 | 0xF << 16 | int(part, 0) << 4 | int(revision, 0)
        for implementer, variant, part, revision in zip(*fields, strict=False)
    ]


def _cpu_number(path: Path) -> int:
    match = re.search(r"/cpu(\d+)/", str(path))
    return int(match[1]) if match else 0


def core_name(midr: int) -> str:
    """The core's name, or its implementer and part number."""
    implementer, part = midr >> 24, midr >> 4 & 0xFFF
    if implementer == _ARM and part in ARM_PARTS:
        return ARM_PARTS[part]
    return f"implementer 0x{implementer:02x} part 0x{part:03x}"


def cpu_name() -> str:
    """Names of the kinds of core, comma-separated."""
    names = dict.fromkeys(core_name(midr) for midr in midrs())
    if names:
        return ",".join(names)
    # an emulated Arm program sees the cpuinfo of its x86 host
    text = "" if architecture() == "aarch64" else read_text(CPUINFO) or ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else f"unknown {architecture()} core"


def governors() -> list[str]:
    """The cpufreq governors in use, each once; [] where the kernel does not say."""
    found = (read_text(path) for path in sorted(CPU_ROOT.glob("cpu[0-9]*/cpufreq/scaling_governor")))
    return list(dict.fromkeys(name for name in found if name))


def huge_pages(setting: Path = HUGE_PAGES) -> str | None:
    """The kernel's setting for transparent huge pages: always, madvise or never."""
    match = re.search(r"\[(\w+)\]", read_text(setting) or "")
    return match[1] if match else None


def commit() -> str | None:
    """The commit of the checkout that this package stands in, 12 digits; None where it was installed from a wheel."""
    git = Path(__file__).resolve().parent.parent / ".git"
    if not (git / "HEAD").is_file() or os.environ.get("GIT_DIR"):
        return None
    head = read_text(git / "HEAD") or ""
    if head.startswith("ref: "):
        name = head.removeprefix("ref: ")
        pattern = rf"^([0-9a-f]{{40,}}) {re.escape(name)}$"
        packed = re.search(pattern, read_text(git / "packed-refs") or "", re.MULTILINE)
        head = read_text(git / name) or (packed[1] if packed else "")
    return head[:12] if re.fullmatch(r"[0-9a-f]{40,64}", head) else None
