"""Programs that the tests start and pip cannot bring: ``python toolchains/system_tools.py``, a step of `make setup`.

What is missing is installed: by apt where we are root, else (and where this machine's release has another version than
the tests want) out of Debian's packages, unpacked below build/tools. What cannot be had is named in one line, and the
tests that need it skip and say so. With Q4_NO_APT=1 nothing is fetched. A new tool is a row of TOOLS.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import debian
import qemu
from cross import CROSS_GCC, cross_gcc_version
from host import NATIVE_ARM, OWN_TOOLS, ToolError, apt_install, find_program, main, python_includes, say
from kernel_cost import mca

WRAPPER = """\
#!/bin/sh
# {path}, unpacked beside this folder, with its libraries.
here=$(dirname "$(readlink -f "$0")")
root=${{here%/bin}}/{folder}
libraries=$root/usr/lib/{libraries}:$root/lib/{libraries}:$root/usr/lib/{libraries}/pulseaudio
{start} "$root/{path}" {options} "$@"
"""


@dataclass(frozen=True)
class Tool:
    """What tests need, and Debian's packages that bring it. programs: their paths in the packages.

    `exact`: of another release than debian.py names it would be another version. `starts_own`: a program starts others
    of the same packages. `unpacked`: as a service it would be started where apt installs it. `check`: the option with
    which a program shows that it starts, or how else one knows.
    """

    name: str
    needed_by: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    check: str | Callable[[], bool] = "--version"
    exact: bool = False
    starts_own: bool = False
    unpacked: bool = False
    options: str = ""

    @property
    def folder(self) -> str:
        return self.packages[0]

    def found(self) -> bool:
        if callable(self.check):
            return self.check()
        return all(starts(program.rpartition("/")[2], self.check) for program in self.programs)


def starts(program: str, option: str = "--version") -> bool:
    """Whether this program is here and runs: distributions have some that only tell where to get the real one."""
    path = find_program(program)
    return path is not None and subprocess.run([path, option], capture_output=True).returncode == 0


LLVM_TOOL = Tool(
    f"LLVM {mca.LLVM}",
    "cycles of kernels",
    (f"llvm-{mca.LLVM}",),
    (f"usr/bin/llvm-mca-{mca.LLVM}", f"usr/bin/llvm-objdump-{mca.LLVM}"),
    check=mca.available,
)

TOOLS = (
    Tool(
        f"aarch64-linux-gnu-gcc {CROSS_GCC}",
        "kernel floors, Arm tests",
        ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"),
        ("usr/bin/aarch64-linux-gnu-gcc",),
        check=lambda: NATIVE_ARM or cross_gcc_version() == CROSS_GCC,
        exact=True,
        starts_own=True,
        options='--sysroot="$root"',
    ),
    LLVM_TOOL,
    Tool(
        "Chromium",
        "browser tests",
        ("chromium",),
        ("usr/lib/chromium/chromium",),
        check=lambda: any(map(starts, ("chromium", "chromium-browser", "google-chrome"))),
        starts_own=True,
    ),
    Tool("perf", "tests of perf stat", ("linux-perf",), ("usr/bin/perf",)),
    Tool("strace", "the emulator's marks", ("strace",), ("usr/bin/strace",)),
    Tool("tmux", "the chat in a terminal", ("tmux",), ("usr/bin/tmux",), check="-V"),
    Tool(
        "sshd",
        "sweeps over ssh",
        ("openssh-server",),
        ("usr/sbin/sshd", "usr/bin/ssh", "usr/bin/ssh-keygen"),
        check=lambda: all(map(find_program, ("sshd", "ssh", "ssh-keygen"))),
        starts_own=True,
        unpacked=True,
    ),
    Tool(
        "Python.h",
        "the stable ABI",
        (f"libpython3.{sys.version_info.minor}-dev",),
        (),
        check=lambda: bool(python_includes()),
    ),
)

CLANG = Tool(
    f"clang-{mca.LLVM}",
    "builds by clang",
    (f"clang-{mca.LLVM}", f"lld-{mca.LLVM}"),
    (f"usr/bin/clang-{mca.LLVM}",),
    starts_own=True,
)
"""Brought where a matrix asks for it."""


def unpack(tool: Tool) -> None:
    """The tool below build/tools, its programs in build/tools/bin; no root is needed."""
    machine = qemu.MACHINES.get(platform.machine())
    if machine is None:
        raise ToolError(f"{tool.name} is not to be had for a {platform.machine()}")
    architecture, libraries, loader = machine
    debian.unpack(OWN_TOOLS / tool.folder, architecture, tool.packages, tool.name, dependencies=True)
    # What perf and strace start is the user's and takes its own libraries.
    start = "LD_LIBRARY_PATH=$libraries exec" if tool.starts_own else f'exec {loader} --library-path "$libraries"'
    for path in tool.programs:
        wrapper = OWN_TOOLS / "bin" / path.rpartition("/")[2]
        wrapper.parent.mkdir(exist_ok=True)
        text = WRAPPER.format(path=path, folder=tool.folder, libraries=libraries, start=start, options=tool.options)
        wrapper.write_text(text)
        wrapper.chmod(0o755)


def by_apt(tool: Tool) -> None:
    """The tool from this machine's own release."""
    apt_install(tool.packages, f"{tool.name} is missing")


def ways(tool: Tool) -> list[Callable[[Tool], None]]:
    """How the tool can be brought here, best first."""
    if os.environ.get("Q4_NO_APT") or not shutil.which("apt-get"):
        return []
    release = platform.freedesktop_os_release().get("VERSION_CODENAME")
    as_root = os.geteuid() == 0 and not (tool.exact and release != debian.RELEASE) and not tool.unpacked
    return [by_apt, unpack] if as_root else [unpack]


def bring(tool: Tool) -> bool:
    """Installs the tool where it is missing; whether it is here then."""
    for way in ways(tool):
        if tool.found():
            break
        try:
            way(tool)
        except ToolError as error:
            say(str(error))
    return tool.found()


def bring_all() -> int:
    missing = [tool for tool in TOOLS if not bring(tool)]
    emulator = [] if NATIVE_ARM or bring_emulator() else ["qemu-aarch64 with plugins (Arm tests)"]
    if names := [f"{tool.name} ({tool.needed_by})" for tool in missing] + emulator:
        packages = " ".join(package for tool in missing for package in tool.packages)
        how = f"; Debian's packages: {packages}" if packages else ""
        say(f"missing, so that tests will skip: {', '.join(names)}{how}")
    return 0


def bring_emulator() -> bool:
    """Debian's emulator with plugins, where this machine has none (qemu.py)."""
    try:
        qemu.require_qemu(plugins=True)
    except ToolError as error:
        say(str(error))
    return qemu.find_qemu(plugins=True) is not None


if __name__ == "__main__":
    main(bring_all)
