"""Cycles of an instruction trace by LLVM's models of cores: llvm-mca, with an ideal first-level cache."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from host import ToolError, find_program

from kernel_cost.emulate import Run

LLVM = 19  # figures of other versions differ, so floors hold for this one alone


@dataclass(frozen=True)
class Core:
    """A model, and the instructions a cycle that the core dispatches where LLVM's own figure is not that."""

    name: str
    dispatch: int | None = None


# Only cores with a scheduling model of their own: LLVM reuses N2's for A710, X3 and X4, and A57's for A76, A78 and X1.
CORES = (Core("neoverse-n2", 5), Core("neoverse-v2", 8), Core("cortex-a510"), Core("cortex-a55"))


@dataclass(frozen=True)
class Estimate:
    """Cycles of a trace, and its busiest resource with the share of cycles in which it is."""

    cycles: int
    resource: str
    busy: float


def tool(name: str) -> str | None:
    """The path of an LLVM program of the right version; None where it is absent."""
    path = find_program(f"{name}-{LLVM}")
    if path is None and (plain := find_program(name)):
        version = subprocess.run([plain, "--version"], capture_output=True, text=True).stdout
        path = plain if f"version {LLVM}." in version else None
    return path


def available() -> bool:
    """Whether cycles can be estimated here."""
    return tool("llvm-mca") is not None and tool("llvm-objdump") is not None


def disassemble(binary: Path) -> dict[int, str]:
    """Assembly text by address."""
    program = tool("llvm-objdump")
    if program is None:
        raise ToolError(f"llvm-objdump of LLVM {LLVM} is missing; Debian's package is llvm-{LLVM}")
    command = [program, "-d", "--no-show-raw-insn", "--mattr=+all", str(binary)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = re.finditer(r"^\s*([0-9a-f]+):\s+(\S.*)$", text, re.MULTILINE)
    return {int(line[1], 16): _plain(line[2]) for line in lines}


def _plain(text: str) -> str:
    """An instruction that assembles anywhere: no symbols, one address for all jumps, and no calls, which llvm-mca would
    charge with 100 cycles each."""
    text = re.sub(r"<[^>]*>|//.*", "", text).strip()
    word = text.split(maxsplit=1)[0]
    if word in ("bl", "blr", "ret", "br"):
        return "b #64"
    if word in ("b", "cbz", "cbnz", "tbz", "tbnz") or word.startswith("b."):
        return re.sub(r"0x[0-9a-f]+$", "#64", text)
    if word in ("adr", "adrp"):
        return re.sub(r"0x[0-9a-f]+$", "0x1000", text)
    return text


def assembly(trace: list[Run], code: dict[int, str]) -> list[str]:
    """The executed instructions in order."""
    return [code[run.address + 4 * i] for run in trace for i in range(run.instructions)]


def estimate(lines: list[str], core: Core) -> Estimate:
    """Cycles that `core` needs for these instructions, run once."""
    program = tool("llvm-mca")
    if program is None:
        raise ToolError(f"llvm-mca of LLVM {LLVM} is missing; Debian's package is llvm-{LLVM}")
    command = [program, "-mtriple=aarch64", f"-mcpu={core.name}", "-mattr=+all", "-iterations=1", "-json"]
    if core.dispatch:
        command.append(f"-dispatch={core.dispatch}")
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        result = subprocess.run([*command, file.name], capture_output=True, text=True)
    if result.returncode != 0:
        raise ToolError(f"llvm-mca -mcpu={core.name}: {result.stderr.strip()[:300]}")
    report = json.loads(result.stdout[result.stdout.index("{") :])
    region = report["CodeRegions"][0]
    cycles = region["SummaryView"]["TotalCycles"]
    pressure = [
        (entry["ResourceUsage"], report["TargetInfo"]["Resources"][entry["ResourceIndex"]])
        for entry in region["ResourcePressureView"]["ResourcePressureInfo"]
        if entry["InstructionIndex"] == len(lines)  # the row of totals
    ]
    usage, resource = max(pressure)
    return Estimate(cycles, re.sub(r"^.*Unit|\.\d+$", "", resource), usage / cycles)
