"""Builds the bundle: ``python toolchains/bundle.py [--arch ARCH] [--toolchain gnu|clang|zig]``, one tar in dist/.

It holds q4engine with a Python, the libraries of both and their loader, all for aarch64, and runs from wherever it is
unpacked: on any Arm64 Linux, and from `adb shell` in a folder that may hold programs. Nothing is installed. The last
line printed is the path of the tar.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import arm64_python
from cross import CrossBuild, add_build_options, build_of, build_wheel
from debian import stamp_matches
from host import BUILD, DIST, REPO, ToolError, main, say
from requirements import requirements

HOME = BUILD / "bundle"
LOADER = "ld-linux-aarch64.so.1"
LIBRARY_FOLDERS = ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu")
# What programs ask for: libz.so.1. Plain .so files of the C library are debugging aids.
_LIBRARY = re.compile(r"lib[\w+-]+\.so(\.\d+)+")
# Parts of the standard library and of packages that nothing here uses.
_LEFT_OUT = ("__pycache__", "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo", "pydoc_data")
_LEFT_OUT_PATHS = ("numpy/_core/include", "numpy/_core/lib", "bin")

# sh is the only thing that it needs of the system, and readlink where it is called by a link. Q4_RUNNER is for trying a
# bundle on another machine.
LAUNCHER = """\
#!/bin/sh
# {what} of this folder, with its own loader and libraries, and nothing of the system's.
self=$0
if [ -h "$self" ]; then self=$(readlink -f "$self"); fi
case $self in
*/*) here=${{self%/*}} ;;
*) here=. ;;
esac
here=$(cd "$here" && pwd -P) || exit 1
# Libraries of the system's C library do not fit ours; Android's shells and Termux preload some.
unset LD_PRELOAD LD_LIBRARY_PATH PYTHONSTARTUP
export PYTHONHOME="$here/python" PYTHONPATH="$here/site" PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1 PYTHONUTF8=1
# Android's system call filters kill programs that register restartable sequences, which glibc does for speed alone.
export GLIBC_TUNABLES="${{GLIBC_TUNABLES:-glibc.pthread.rseq=0}}"
# --argv0: what Python takes for its own path and starts as sys.executable is the script python3.
exec ${{Q4_RUNNER:+"$Q4_RUNNER"}} "$here/lib/{loader}" --inhibit-cache --library-path "$here/lib" \\
    --argv0 "$here/python3" "$here/python/bin/python3.11" {arguments}"$@"
"""

README = """\
q4engine for Arm64 Linux, with all that it needs. Unpack it anywhere and run ./q4engine --help.

  q4engine   the program            python3   its Python: ./python3 -m annotate …
  lib/       the C library, its loader and other libraries (Debian)
  python/    Python (Debian)        site/     q4engine and the packages that it uses
  licences/  of everything that is not q4engine's own; packages in site/ carry theirs

From a computer to an Android phone: adb push this tar and a model to /data/local/tmp, then in `adb shell`:
cd /data/local/tmp && tar xzf the-tar && the-folder/q4engine run model.gguf -p "…".
"""


def _wanted(path: Path, root: Path) -> bool:
    relative = path.relative_to(root)
    if any(part in _LEFT_OUT for part in relative.parts) or path.suffix == ".pyc":
        return False
    return not any(relative.is_relative_to(other) for other in _LEFT_OUT_PATHS)


def copy_tree(source: Path, target: Path) -> None:
    """The files that are wanted, links replaced by what they point to; links to nowhere are left out."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and _wanted(path, source):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def copy_libraries(root: Path, target: Path) -> None:
    """The loader and all shared libraries, under the names that programs ask for."""
    target.mkdir(parents=True)
    for folder in LIBRARY_FOLDERS:
        paths = sorted((root / folder).iterdir())
        behind_links = {path.resolve() for path in paths if path.is_symlink()}
        for path in paths:
            wanted = path.name == LOADER or _LIBRARY.fullmatch(path.name)
            if wanted and (path.is_symlink() or path not in behind_links):
                shutil.copyfile(path, target / path.name)
                (target / path.name).chmod(0o755)
    if not (target / LOADER).exists():
        raise ToolError(f"{root}: no {LOADER} in it")


def copy_licences(root: Path, target: Path) -> None:
    for path in sorted((root / "usr/share/doc").glob("*/copyright")):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.parent.name)


def install_dependencies() -> Path:
    """What q4engine needs at run time, for aarch64; the folder."""
    folder, stamp, wanted = HOME / "deps", HOME / "deps.stamp", requirements()
    key = "\n".join(wanted)
    if not stamp_matches(stamp, key):
        say("installing numpy and the other dependencies for the bundle")
        stamp.unlink(missing_ok=True)
        arm64_python.pip_install(folder, *wanted)
        stamp.write_text(key)
    return folder


def write_script(path: Path, what: str, arguments: str) -> None:
    path.write_text(LAUNCHER.format(what=what, arguments=arguments, loader=LOADER))
    path.chmod(0o755)


def assemble(wheel: Path, folder: Path) -> None:
    """Puts everything into a fresh `folder`."""
    root, app = arm64_python.ROOT, HOME / "app"
    shutil.rmtree(folder, ignore_errors=True)
    arm64_python.pip_install(app, "--no-deps", str(wheel))
    copy_libraries(root, folder / "lib")
    copy_tree(root / "usr/lib/python3.11", folder / "python/lib/python3.11")
    (folder / "python/bin").mkdir()
    shutil.copyfile(root / "usr/bin/python3.11", folder / "python/bin/python3.11")
    (folder / "python/bin/python3.11").chmod(0o755)
    copy_tree(install_dependencies(), folder / "site")
    copy_tree(app, folder / "site")
    copy_licences(root, folder / "licences")
    shutil.copyfile(REPO / "LICENSE", folder / "LICENSE")
    (folder / "README").write_text(README)
    write_script(folder / "python3", "Python", "")
    write_script(folder / "q4engine", "q4engine", "-m q4engine ")


def _members(folder: Path) -> Iterator[tarfile.TarInfo]:
    """Files in a fixed order, owned by nobody in particular, so that the same contents give the same tar."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        info = tarfile.TarInfo(str(Path(folder.name) / path.relative_to(folder)))
        info.size = path.stat().st_size
        info.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
        yield info


def pack(folder: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    part = target.with_suffix(".part")
    with (
        part.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for info in _members(folder):
            with (folder.parent / info.name).open("rb") as contents:
                tar.addfile(info, contents)
    part.replace(target)
    return target


def make_bundle(build: CrossBuild) -> Path:
    """The tar in dist/, built anew."""
    HOME.mkdir(parents=True, exist_ok=True)
    arm64_python.HOME.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(build)
    arm64_python.install_root()
    version = wheel.name.split("-")[1]
    folder = HOME / f"q4engine-{version}-linux-aarch64"
    say("putting the bundle together")
    assemble(wheel, folder)
    return pack(folder, DIST / f"{folder.name}.tar.gz")


def bundle(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the bundle for Arm64 devices.")
    add_build_options(parser)
    options = parser.parse_args(arguments)
    build = build_of(options)
    print(make_bundle(build).relative_to(REPO))
    return 0


if __name__ == "__main__":
    main(bundle)
