"""The bundle, unpacked in a folder of its own, with an empty environment and nothing of an Arm system beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle import LOADER, make_bundle
from cross import ALL_KERNELS, CrossBuild, default_toolchain
from host import NATIVE_ARM
from qemu import find_qemu

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def archive(arm_runner: object) -> Path:
    """Built here, where the emulated Python is set up."""
    return make_bundle(CrossBuild(default_toolchain(), ALL_KERNELS))


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("some where")
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
        tar.extractall(folder)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def bundled(unpacked: Path) -> Program:
    """Runs a program of the bundle with no environment but the emulator's, from the root folder."""
    env = {} if NATIVE_ARM else {"Q4_RUNNER": str(find_qemu()), "QEMU_CPU": "max,sve=off"}

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(unpacked / program), *arguments]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, stdin=subprocess.DEVNULL)

    return run


def test_it_is_one_folder_of_plain_files(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
    assert {member.name.split("/")[0] for member in members} == {archive.name.removesuffix(".tar.gz")}
    assert all(member.isfile() for member in members)
    names = {member.name.split("/", 1)[1] for member in members}
    assert {"q4engine", "python3", "README", "LICENSE", f"lib/{LOADER}", "lib/libc.so.6"} <= names
    assert any(name.startswith("licences/libc6") for name in names)


def test_same_fingerprint_as_here(bundled: Program, smollm2_path: Path) -> None:
    arguments = ("fingerprint", str(smollm2_path), "-n", "1", "-t", "2", "--json", "-p", "The capital of France is")
    there = bundled("q4engine", *arguments)
    assert there.returncode == 0, there.stderr
    here = subprocess.run([sys.executable, "-m", "q4engine", *arguments], capture_output=True, text=True)
    assert here.returncode == 0, here.stderr
    assert json.loads(there.stdout)["sha256"] == json.loads(here.stdout)["sha256"]


def test_all_that_is_loaded_is_in_the_bundle(bundled: Program, unpacked: Path) -> None:
    code = (
        "import q4engine._native, numpy, ssl, sqlite3, ctypes, lzma, bz2, platform; print(platform.machine());"
        "maps = [line.split(None, 5) for line in open('/proc/self/maps') if '.so' in line];"
        "print(*sorted({fields[5].strip() for fields in maps}), sep='\\n')"
    )
    result = bundled("python3", "-c", code)
    assert result.returncode == 0, result.stderr
    machine, *loaded = result.stdout.splitlines()
    assert machine == "aarch64"
    assert len(loaded) > 10
    assert [path for path in loaded if not path.startswith(f"{unpacked}/")] == []


def test_its_python_can_start_itself(bundled: Program, unpacked: Path) -> None:
    code = "import subprocess, sys; subprocess.check_call([sys.executable, '-c', 'import sys; print(sys.prefix)'])"
    result = bundled("python3", "-c", code)
    assert result.returncode == 0, result.stderr
    assert str(unpacked / "python") in result.stdout


def test_errors_and_exit_codes_come_through(bundled: Program) -> None:
    result = bundled("q4engine", "inspect", "/no/such/model.gguf")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert bundled("q4engine", "no-such-command").returncode == 2


def test_a_link_to_the_launcher_works(unpacked: Path, bundled: Program, tmp_path: Path) -> None:
    link = tmp_path / "q4"
    link.symlink_to(unpacked / "q4engine")
    result = bundled(str(link), "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("q4engine ")
