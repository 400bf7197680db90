"""An arm64 Python that runs under qemu's user-mode emulation: Debian bookworm's, unpacked below build/arm64.

Layout of build/arm64: ``root`` the unpacked packages, ``deps`` what pip installed for aarch64, ``app`` q4engine's
wheel, ``python`` the wrapper that runs it all.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import debian
from debian import stamp_matches
from host import BUILD, pip, say
from qemu import require_qemu
from requirements import requirements

HOME = BUILD / "arm64"
ROOT = HOME / "root"
PYTHON = HOME / "python"

PACKAGES = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1", "libstdc++6"),
    *("libexpat1", "zlib1g", "libffi8", "libssl3", "liblzma5", "libbz2-1.0", "libsqlite3-0", "libuuid1"),
)
# Wheels that run on bookworm's glibc 2.36, newest first.
PLATFORMS = (
    *(f"manylinux_2_{minor}_aarch64" for minor in (36, 35, 34, 31, 28, 27, 26, 24, 17)),
    *("manylinux2014_aarch64", "linux_aarch64"),
)

# -0 makes sys.executable the wrapper, so that subprocesses of a test start it and not the bare arm64 binary. SVE stays
# off in the default CPU: numpy warns and crawls with it under qemu.
WRAPPER = """\
#!/bin/sh
# Python for aarch64 under emulation; QEMU_CPU chooses the core, Q4_QEMU another emulator.
here=$(dirname "$(readlink -f "$0")")
export QEMU_CPU="${QEMU_CPU:-max,sve=off}" PYTHONHOME="$here/root/usr" PYTHONPATH="$here/app:$here/deps"
export PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
exec "${Q4_QEMU:-QEMU}" -0 "$here/python" -L "$here/root" "$here/root/usr/bin/python3.11" "$@"
"""


def install_root() -> None:
    """Unpacks the arm64 system into build/arm64/root unless it is there already."""
    debian.unpack(ROOT, "arm64", PACKAGES, "an arm64 Python for emulation (about 170 MB below build/)")


def install_wrapper() -> None:
    text = WRAPPER.replace("QEMU}", f"{require_qemu()}}}")
    if not stamp_matches(PYTHON, text):
        PYTHON.write_text(text)
        PYTHON.chmod(0o755)


def pip_install(target: Path, *what: str) -> None:
    """Installs wheels for aarch64 into a fresh `target`."""
    shutil.rmtree(target, ignore_errors=True)
    platforms = [f"--platform={name}" for name in PLATFORMS]
    pip("install", "-qq", "--target", target, "--python-version=3.11", "--only-binary=:all:", *platforms, *what)


def install_dependencies(wanted: Sequence[str]) -> None:
    key = "\n".join(wanted)
    stamp = HOME / "deps.stamp"
    if not stamp_matches(stamp, key):
        say("installing numpy and the other dependencies for aarch64")
        stamp.unlink(missing_ok=True)
        pip_install(HOME / "deps", *wanted)
        stamp.write_text(key)


def install_wheel(wheel: Path) -> None:
    """q4engine's own wheel; a new one replaces the old."""
    key = f"{wheel.name} {hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    stamp = HOME / "app.stamp"
    if not stamp_matches(stamp, key):
        stamp.unlink(missing_ok=True)
        pip_install(HOME / "app", "--no-deps", str(wheel))
        stamp.write_text(key)


def install(wheel: Path) -> Path:
    """Sets everything up that is not there yet; returns the arm64 Python's wrapper."""
    require_qemu()
    HOME.mkdir(parents=True, exist_ok=True)
    install_root()
    install_wrapper()
    install_dependencies(requirements("test"))
    install_wheel(wheel)
    return PYTHON
