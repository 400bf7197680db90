"""What the build scripts ask of the machine that they run on: paths, programs, packages, one-line messages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
BUILD = REPO / "build"
DIST = REPO / "dist"
OWN_TOOLS = BUILD / "tools"  # system_tools.py
NATIVE_ARM = platform.machine() in ("aarch64", "arm64")


class ToolError(Exception):
    """One line for the user: what is missing or failed, and the command that mends it."""


class UsageError(ToolError):
    """A request that cannot be met as it was written."""


def prefer_own_tools() -> None:
    """Programs that `make setup` unpacked, and those that pip brought (CMake), come before this machine's, here and in
    what is started from here."""
    path = os.environ.get("PATH", os.defpath)
    own = (str(OWN_TOOLS / "bin"), str(Path(sys.executable).parent))
    missing = [folder for folder in own if folder not in path.split(os.pathsep)]
    os.environ["PATH"] = os.pathsep.join([*missing, path])


def say(message: str) -> None:
    """Progress of a step that takes a while."""
    print(f"q4engine: {message}", flush=True)


def main(program: Callable[[], int]) -> None:
    """Runs a script's main function; what goes wrong becomes one line and exit code 1, wrong usage 2."""
    prefer_own_tools()
    try:
        sys.exit(program())
    except (ToolError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def run(command: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None = None, cwd: Path = REPO) -> str:
    """Runs a command silently and returns what it printed; where it fails, its output is shown and ToolError raised."""
    words = [os.fspath(word) for word in command]
    environment = None if env is None else {**os.environ, **env}
    result = subprocess.run(
        words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if result.returncode != 0:
        sys.stderr.write(result.stdout)
        raise ToolError(f"`{' '.join(words[:4])} …` failed with exit code {result.returncode}")
    return result.stdout


def pip(*arguments: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> None:
    """Runs this environment's pip, which follows the user's pip configuration."""
    run([sys.executable, "-m", "pip", *arguments], env)


def cmake_build(
    folder: Path, target: str, definitions: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> None:
    """Builds one target of native/ in a build folder of its own, set up with these definitions where it is new."""
    if not (folder / "CMakeCache.txt").exists():
        generator = ["-G", "Ninja"] if find_program("ninja") else []
        run(["cmake", "-S", REPO / "native", "-B", folder, *generator, *definitions], env)
    run(["cmake", "--build", folder, "--target", target], env)


def find_program(*names: str) -> str | None:
    """The path of the first of `names` that is on PATH."""
    return next((path for name in names if (path := shutil.which(name))), None)


def python_includes() -> list[Path]:
    """Folders with this Python's headers, or with those that `make setup` unpacked; empty without any."""
    own = Path(sysconfig.get_paths()["include"])
    found = [own] if (own / "Python.h").exists() else list(OWN_TOOLS.glob("libpython*/usr/include/python3.*"))
    return [*found, found[0].parent] if found else []


def apt_install(packages: Sequence[str], reason: str) -> None:
    """Installs Debian packages where we may (root, apt); otherwise raises a ToolError that names the command."""
    command = f"apt-get install -y {' '.join(packages)}"
    if os.environ.get("Q4_NO_APT"):
        raise ToolError(f"{reason}, and Q4_NO_APT is set; install it with: {command}")
    if not shutil.which("apt-get"):
        raise ToolError(f"{reason}; this system has no apt-get: install what Debian calls {' '.join(packages)}")
    if os.geteuid() != 0:
        raise ToolError(f"{reason}; install it with: sudo {command}")
    say(f"installing {' '.join(packages)}")
    wait = "DPkg::Lock::Timeout=600"  # for another apt that runs
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "-o", wait, *packages]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    first = subprocess.run(install, env={**os.environ, **quiet}, capture_output=True)
    if first.returncode != 0:  # package lists absent or out of date
        try:
            run(["apt-get", "update", "-qq"])
            run(install, quiet)
        except ToolError as error:
            raise ToolError(f"{reason}; `{command}` failed") from error
