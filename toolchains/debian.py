"""Packages of Debian bookworm, unpacked below build/ and nowhere else.

apt works here on a private state of its own (lists, cache, package status), so that the host's packages and
architectures stay as they are; no root is needed. Bookworm is pinned, so that the same programs come to every Debian
and Ubuntu.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from host import ToolError, apt_install, run, say

RELEASE = "bookworm"
MIRROR = os.environ.get("Q4_DEBIAN_MIRROR", "http://deb.debian.org/debian")
KEYRING = "debian-archive-keyring"

APT_CONFIG = """\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
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
        apt_install([KEYRING], f"Debian's archive keys are missing, which check the packages of {RELEASE}")
        return keyring(state)
    run(["dpkg", "-x", next(state.glob(f"{KEYRING}_*.deb")), state / "keyring"])
    return keyring(state)


def download(state: Path, architecture: str, packages: Sequence[str], dependencies: bool) -> list[Path]:
    """Fetches the packages, signatures checked by apt; with `dependencies` all that they need, but no C library."""
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    source = f"deb [arch={architecture} signed-by={keyring(state)}] {MIRROR} {RELEASE} main\n"
    (state / "sources.list").write_text(source)
    config = state / "apt.conf"
    config.write_text(APT_CONFIG.format(state=state, architecture=architecture))
    run(["apt-get", "-c", config, "-qq", "update"])
    if not dependencies:
        run(["apt-get", "-c", config, "-qq", "download", *packages], cwd=state / "debs")
        return sorted((state / "debs").glob("*.deb"))
    options = ["--no-install-recommends", "--download-only", "-o", "Debug::NoLocking=1"]
    run(["apt-get", "-c", config, "-qq", "-y", *options, "install", *packages])
    fetched = sorted((state / "cache/archives").glob("*.deb"))
    # This machine's own: programs of its are linked against it, and a loader takes no other's.
    return [path for path in fetched if not path.name.startswith(("libc6_", "libc-bin_"))]


def unpack(root: Path, architecture: str, packages: Sequence[str], what: str, *, dependencies: bool = False) -> None:
    """Unpacks the packages into `root` unless they are there already; `what` is said where they are not.

    With `dependencies`, what they depend on too, but for the C library.
    """
    key = "\n".join((RELEASE, *packages))
    stamp = root.parent / f"{root.name}.stamp"
    if stamp_matches(stamp, key):
        return
    if os.environ.get("Q4_NO_APT"):
        raise ToolError(f"{what}: not here, and Q4_NO_APT is set")
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise ToolError(f"{what} needs apt-get and dpkg (Debian or Ubuntu)")
    say(f"setting up {what}")
    for old in (stamp, root):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    # not below build/: apt splits its configuration at spaces, which the path of a checkout may have
    with tempfile.TemporaryDirectory() as state:
        for package in download(Path(state), architecture, packages, dependencies):
            run(["dpkg", "-x", package, root])
    stamp.write_text(key)
