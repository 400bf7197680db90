"""qemu's user-mode emulator for aarch64: this machine's, or Debian's unpacked below build/qemu, which needs no root.

Plugins, which count instructions, are not to be had from an emulator that is linked statically, as Debian's is from 13
on; the one below build/qemu takes them.
"""

from __future__ import annotations

import functools
import platform
import subprocess

import debian
from host import BUILD, ToolError, find_program, run

HOME = BUILD / "qemu"
PROGRAM = HOME / "qemu-aarch64"
BINARY = HOME / "root/usr/bin/qemu-aarch64"  # which PROGRAM starts
NAMES = ("qemu-aarch64", "qemu-aarch64-static")
# The program and the libraries that it loads, but for the C library, which is this machine's: plugins are built here,
# and a C library loads nothing that was linked against a newer one.
PACKAGES = (
    *("qemu-user", "libcapstone4", "libffi8", "libgcc-s1", "libglib2.0-0", "libgmp10", "libgnutls30", "libhogweed6"),
    *("libidn2-0", "libnettle8", "libnuma1", "libp11-kit0", "libpcre2-8-0", "libtasn1-6", "libunistring2"),
    *("liburing2", "zlib1g"),
)
# uname -m -> Debian's name of the architecture, the folder of its libraries, the C library's loader
MACHINES = {
    "x86_64": ("amd64", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
    "aarch64": ("arm64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
}
WRAPPER = """\
#!/bin/sh
# qemu-aarch64 of this folder, with its libraries.
root=$(dirname "$(readlink -f "$0")")/root
exec {loader} --library-path "$root/lib/{folder}:$root/usr/lib/{folder}" "$root/usr/bin/qemu-aarch64" "$@"
"""


@functools.cache
def takes_plugins(program: str) -> bool:
    """Whether this qemu was built with plugins."""
    return "-plugin" in subprocess.run([program, "--help"], capture_output=True, text=True, errors="replace").stdout


def find_qemu(plugins: bool = False) -> str | None:
    """The path of qemu-aarch64, with `plugins` one that takes them; None where none is set up."""
    path = find_program(*NAMES)
    if path is not None and not (plugins and not takes_plugins(path)):
        return path
    return str(PROGRAM) if PROGRAM.exists() and BINARY.exists() else None


def install() -> None:
    """Debian's emulator for this machine, below build/qemu."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise ToolError(f"qemu-aarch64 is missing, and not to be had for a {platform.machine()}")
    architecture, folder, loader = machine
    what = "qemu-aarch64, which runs Arm programs on this machine (about 25 MB below build/)"
    if not BINARY.exists():
        (HOME / "root.stamp").unlink(missing_ok=True)
    debian.unpack(HOME / "root", architecture, PACKAGES, what)
    for program in BINARY.parent.iterdir():
        if program != BINARY:  # other architectures' emulators, 70 MB of them
            program.unlink()
    part = PROGRAM.with_suffix(".part")
    part.write_text(WRAPPER.format(folder=folder, loader=loader))
    part.chmod(0o755)
    run([part, "--version"])
    part.replace(PROGRAM)


def require_qemu(plugins: bool = False) -> str:
    """As `find_qemu`, set up first where it is absent."""
    found = find_qemu(plugins)
    if found is None:
        install()
        found = str(PROGRAM)
    return found
