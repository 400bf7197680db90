"""Runs the driver program under qemu with the counting plugin."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cross import prepare
from host import BUILD, REPO, ToolError, cmake_build, find_program, run
from qemu import require_qemu

FOLDER = Path(__file__).resolve().parent
FEW_TOKENS = (4,)
"""Tokens of calls that are measured of GEMV kernels for a few."""
FEW_TOKENS_OF_ASSEMBLY = {
    "q4_0": (2, 4, 8),
    "q5_0": (2, 4, 8),
    "q8_0": (2, 4, 8),
    "q4_k": (2, 4, 8),
    "q5_k": (2, 4, 8),
    "q6_k": (2, 4, 8),
}
"""The same of types whose kernels have loops of their own for these numbers."""


@dataclass(frozen=True)
class Run:
    """A straight piece of code that ran: address of its first instruction, how many, how often."""

    address: int
    instructions: int
    executions: int


@dataclass(frozen=True)
class Subject:
    """What the driver can run. kind: kernel (form gemv, few or gemm) or operation (form: what a unit is)."""

    kind: str
    name: str
    form: str
    size: int  # kernels: columns a block; operations: elements or positions of the run
    units: int = 0  # operations: units in a run
    tokens: int = 0  # form few: of a call

    @property
    def label(self) -> str:
        """Its name in tables and floors."""
        return f"{self.name} x{self.tokens}" if self.form == "few" else self.name


def symbols(binary: Path) -> dict[str, int]:
    """Addresses of the functions of a 64-bit little-endian ELF file (System V ABI, chapters 4 and 5)."""
    data = binary.read_bytes()
    section_offset = struct.unpack_from("<Q", data, 0x28)[0]
    entry_size, n_sections = struct.unpack_from("<HH", data, 0x3A)
    found: dict[str, int] = {}
    for i in range(n_sections):
        _, kind, _, _, start, size, link = struct.unpack_from("<IIQQQQI", data, section_offset + i * entry_size)
        if kind != 2:  # SHT_SYMTAB
            continue
        names = struct.unpack_from("<Q", data, section_offset + link * entry_size + 24)[0]
        for at in range(start, start + size, 24):
            name, info, _, _, value = struct.unpack_from("<IBBHQ", data, at)
            if info & 15 == 2:  # STT_FUNC
                end = data.index(b"\0", names + name)
                found[data[names + name : end].decode()] = value
    return found


class Emulator:
    """The driver and the plugin, ready to run."""

    def __init__(self, binary: Path, cpu: str = "max,sve=off") -> None:
        self.binary, self.cpu = binary, cpu
        self.qemu = require_qemu(plugins=True)
        self.symbols = symbols(binary)
        self.plugin = build_plugin()
        if "q4_cost_begin" not in self.symbols:
            raise ToolError(f"{binary}: no kernel_cost driver (symbol q4_cost_begin is missing)")

    def subjects(self) -> list[Subject]:
        """All kernels and operations, in the order of their tables."""
        found = []
        for line in self._run([], ["--list"]).splitlines():
            fields = line.split(",")
            if fields[0] == "kernel" and fields[3] == "few":
                for tokens in FEW_TOKENS_OF_ASSEMBLY.get(fields[2].lower(), FEW_TOKENS):
                    found.append(Subject("kernel", fields[1], "few", int(fields[4]), tokens=tokens))
            elif fields[0] == "kernel":
                found.append(Subject("kernel", fields[1], fields[3], int(fields[4])))
            else:
                found.append(Subject("operation", fields[1], fields[3], int(fields[2]), int(fields[4])))
        return found

    def record(self, arguments: list[str], trace: bool = False) -> list[Run]:
        """What ran between the driver's markers: an entry a piece of code, or with `trace` every execution in order."""
        begin, end = self.symbols["q4_cost_begin"], self.symbols["q4_cost_end"]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "trace"
            options = f"{self.plugin},begin={begin:#x},end={end:#x},out={out}" + (",mode=trace" if trace else "")
            self._run(["-plugin", options], arguments)
            lines = out.read_text().splitlines()
        return [Run(int(a, 16), int(n), int(c)) for a, n, c in (line.split() for line in lines)]

    def _run(self, options: list[str], arguments: list[str]) -> str:
        environment = {**os.environ, "QEMU_CPU": self.cpu, "Q4_CPU_FEATURES": ""}
        command = [self.qemu, *options, str(self.binary), *arguments]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode != 0:
            raise ToolError(f"{' '.join(command[-5:])}: exit code {result.returncode}: {result.stderr.strip()[:300]}")
        return result.stdout


def build_plugin() -> Path:
    """The qemu plugin for this machine, built where its source is newer."""
    source, plugin = FOLDER / "plugin.c", BUILD / "kernel-cost" / "plugin.so"
    if not plugin.exists() or plugin.stat().st_mtime < source.stat().st_mtime:
        compiler = find_program("cc", "gcc", "clang")
        if compiler is None:
            raise ToolError("no C compiler for the qemu plugin; Debian's package is gcc")
        plugin.parent.mkdir(parents=True, exist_ok=True)
        run([compiler, "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", source, "-o", plugin])
    return plugin


def build_driver(toolchain: str) -> tuple[Path, str]:
    """The driver program, linked statically, and the compiler that made it, e.g. 'gcc 12'."""
    folder = BUILD / "kernel-cost" / toolchain
    environment = prepare(toolchain)
    toolchain_file = f"-DCMAKE_TOOLCHAIN_FILE={REPO}/toolchains/aarch64-{toolchain}.cmake"
    # not position-independent: addresses in the file are addresses at run time
    link = "-DCMAKE_EXE_LINKER_FLAGS=-static -no-pie"
    cmake_build(folder, "q4_kernel_cost", [toolchain_file, link], environment)
    return folder / "q4_kernel_cost", compiler_name(folder)


def compiler_name(folder: Path) -> str:
    """'gcc 12' or 'clang 19': what CMake found in this build directory."""
    text = "".join(path.read_text() for path in folder.glob("CMakeFiles/*/CMakeCCompiler.cmake"))
    values = dict(line[4:-1].split(" ", 1) for line in text.splitlines() if line.startswith("set(") and " " in line)
    name = values.get("CMAKE_C_COMPILER_ID", "").strip('"')
    version = values.get("CMAKE_C_COMPILER_VERSION", "").strip('"')
    return f"{ {'GNU': 'gcc', 'Clang': 'clang'}.get(name, name) } {version.split('.')[0]}"
