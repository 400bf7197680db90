"""Programs that the tests start and pip cannot bring: ``python toolchains/system_tools.py``, a step of `make setup`.

Installed where they are missing: by apt where we are root, else out of Debian's packages unpacked below build/tools.
What cannot be had is named in one line, and the tests that need it say so when they skip. With Q4_NO_APT=1 nothing is
installed. A new tool is a row of TOOLS.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import debian
import qemu
from cross import CROSS_GCC, cross_gcc_version
from host import NATIVE_ARM, TOOLS, ToolError, apt_install, find_program, main, say
from kernel_cost import mca

BIN = TOOLS / "bin"
PYTHON_PACKAGE = f"libpython3.{sys.version_info.minor}-dev"
WRAPPER = """\
#!/bin/sh
# {program} of build/tools, with its libraries.
root=$(readlink -f "$0")
root=${{root%/bin/*}}/{folder}/root
libraries=$root/usr/lib/{libraries}:$root/lib/{libraries}
{start}
"""
# Programs that start others of their own hand their libraries on; what perf and strace start is the user's.
HANDS_ON = 'LD_LIBRARY_PATH=$libraries exec "$root/{path}" {options} "$@"'
ALONE = 'exec {loader} --library-path "$libraries" "$root/{path}" {options} "$@"'


@dataclass(frozen=True)
class Program:
    """A file of an unpacked package that becomes a command in build/tools/bin."""

    name: str
    path: str  # in the package
    options: str = ""
    starts_own: bool = False


@dataclass(frozen=True)
class Tool:
    """What tests need. `packages`: Debian's; `pinned`: of the release that debian.py names, on every machine."""

    name: str
    needed_by: str
    packages: tuple[str, ...]
    found: Callable[[], bool]
    programs: tuple[Program, ...] = ()
    pinned: bool = False
    install: Callable[[], None] | None = None  # in place of apt


def runs(*names: str) -> Callable[[], bool]:
    """Whether one of these programs is there and starts."""

    def found() -> bool:
        path = find_program(*names)
        command = [path, "-V" if names[0] == "ssh" else "--version"]
        return path is not None and subprocess.run(command, capture_output=True).returncode == 0

    return found
