"""An arm64 Python that runs under qemu's user-mode emulation: Debian bookworm's, unpacked below build/arm64.

apt works here on a private state of its own (lists, cache, package status), so that the host's packages and
architectures stay as they are; no root is needed. Bookworm is pinned, so that the same Python comes to every Debian and
Ubuntu. Layout of build/arm64: ``root`` the unpacked packages, ``deps`` what pip installed for aarch64, ``app``
q4engine's wheel, ``python`` the wrapper that runs it all.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from host import BUILD, ToolError, apt_install, pip, require_qemu, run, say
from requirements import requirements

HOME = BUILD / "arm64"
ROOT = HOME / "root"
PYTHON = HOME / "python"

RELEASE = "bookworm"
MIRROR = os.environ.get("Q4_DEBIAN_MIRROR", "http://deb.debian.org/debian")
PACKAGES = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1", "libstdc++6"),
    *("libexpat1", "zlib1g", "libffi8", "libssl3", "liblzma5", "libbz2-1.0", "libsqlite3-0", "libuuid1"),
)
KEYRING = "debian-archive-keyring"
# Wheels that run on bookworm's glibc 2.36, newest first.
PLATFORMS = (
    *(f"manylinux_2_{minor}_aarch64" for minor in (36, 35, 34, 31, 28, 27, 26, 24, 17)),
    *("manylinux2014_aarch64", "linux_aarch64"),
)

APT_CONFIG = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Sandbox::User "root";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
Dir::Etc::SourceList "{state}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::Languages "none";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""

# -0 makes sys.executable the wrapper, so that subprocesses of a test start it and not the bare arm64 binary. SVE stays
# off in the default CPU: numpy warns and crawls with it under qemu.
WRAPPER = """\
#!/bin/sh
# Python for aarch64 under emulation; QEMU_CPU chooses the core.
here=$(dirname "$(readlink -f "$0")")
export QEMU_CPU="${QEMU_CPU:-max,sve=off}" PYTHONHOME="$here/root/usr" PYTHONPATH="$here/app:$here/deps"
export PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1
exec QEMU -0 "$here/python" -L "$here/root" "$here/root/usr/bin/python3.11" "$@"
"""


def stamp_matches(path: Path, key: str) -> bool:
    return path.is_file() and path.read_text() == key


def keyring(state: Path) -> Path:
    """Debian's archive keys: the host's, or out of its package, which Ubuntu has too and signs with its own."""
    for folder in (Path("/usr/share/keyrings"), state / "keyring/usr/share/keyrings"):
        for suffix in (".gpg", ".pgp"):
            path = folder / f"{KEYRING}{suffix}"
            if path.exists():
                return path.resolve()
    try:
        run(["apt-get", "download", "-qq", KEYRING], cwd=state)
    except ToolError:  # no package lists on this machine yet
        apt_install([KEYRING], "Debian's archive keys are missing, which check the arm64 packages")
        return keyring(state)
    run(["dpkg", "-x", next(state.glob(f"{KEYRING}_*.deb")), state / "keyring"])
    return keyring(state)


def download_packages(state: Path) -> list[Path]:
    """Fetches the arm64 packages, signatures checked by apt."""
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    source = f"deb [arch=arm64 signed-by={keyring(state)}] {MIRROR} {RELEASE} main\n"
    (state / "sources.list").write_text(source)
    config = state / "apt.conf"
    config.write_text(APT_CONFIG.format(state=state))
    run(["apt-get", "-c", config, "-qq", "update"])
    run(["apt-get", "-c", config, "-qq", "download", *PACKAGES], cwd=state / "debs")
    return sorted((state / "debs").glob("*.deb"))


def install_root() -> None:
    """Unpacks the arm64 system into build/arm64/root unless it is there already."""
    key = "\n".join((RELEASE, *PACKAGES))
    stamp = HOME / "root.stamp"
    if stamp_matches(stamp, key):
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ToolError("the arm64 Python for emulation needs apt-get and dpkg (Debian or Ubuntu)")
    say("setting up an arm64 Python for emulation (about 170 MB below build/)")
    state = HOME / "apt"
    for old in (stamp, state, ROOT):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    state.mkdir(parents=True)
    for package in download_packages(state):
        run(["dpkg", "-x", package, ROOT])
    shutil.rmtree(state)
    stamp.write_text(key)


def install_wrapper() -> None:
    text = WRAPPER.replace("exec QEMU", f'exec "{require_qemu()}"')
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
