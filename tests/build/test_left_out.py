"""ARCH decides which kernels are in the library: build and dispatch leave out those whose instructions it lacks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from cross import ALL_KERNELS, default_toolchain, parse_arch, prepare
from elf import Library
from host import ToolError

KERNEL = re.compile("_(gemv|gemm|dotprod|i8mm|fhm|neon)")


def build_kernel_files(arch: str, repo_root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Compiles the files of native/arm, without the rest, as `make cross ARCH=arch` would; returns the objects."""
    try:
        toolchain = default_toolchain()
        for name, value in prepare(toolchain).items():
            monkeypatch.setenv(name, value)
    except ToolError as error:
        pytest.skip(str(error))
    file = repo_root / "toolchains" / f"aarch64-{toolchain}.cmake"
    defines = [f"-DCMAKE_TOOLCHAIN_FILE={file}", f"-DQ4_ARCH={parse_arch(arch)}"]
    configure = ["cmake", "-G", "Ninja", "-S", repo_root / "native", "-B", folder, *defines]
    subprocess.run(configure, check=True, capture_output=True)
    commands = json.loads((folder / "compile_commands.json").read_text())
    kernels = repo_root / "native" / "arm"
    compiled = [entry["command"] for entry in commands if Path(entry["file"]).parent == kernels]
    objects = [command.split(" -o ")[1].split(" ")[0] for command in compiled]
    subprocess.run(["ninja", "-C", folder, *objects], check=True, capture_output=True)
    return [folder / name for name in objects]


def function_names(objects: list[Path]) -> tuple[set[str], set[str]]:
    """Kernel functions that the objects define, and those that the dispatch table refers to."""
    defined: set[str] = set()
    referred: set[str] = set()
    for path in objects:
        library = Library(path)
        for symbol in library.symbols:
            if symbol["st_info"]["type"] == "STT_FUNC":
                defined.add(symbol.name)
            elif symbol["st_shndx"] == "SHN_UNDEF" and path.name.startswith("table.") and KERNEL.search(symbol.name):
                referred.add(symbol.name)
        library.close()
    return defined, referred


@pytest.mark.parametrize(
    ("arch", "present", "absent"),
    [
        ("armv8-a", (), ("dotprod", "i8mm", "fhm")),
        ("armv8.2-a+dotprod", ("dotprod",), ("i8mm", "fhm")),
        ("armv8.2-a+dotprod+i8mm", ("dotprod", "i8mm"), ("fhm",)),
        (ALL_KERNELS, ("dotprod", "i8mm", "fhm"), ()),
    ],
)
def test_kernels_follow_arch(
    arch: str,
    present: tuple[str, ...],
    absent: tuple[str, ...],
    repo_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    defined, referred = function_names(build_kernel_files(arch, repo_root, tmp_path, monkeypatch))
    assert referred <= defined
    for feature in present:
        assert any(feature in name for name in referred), (feature, referred)
    for feature in absent:
        assert not any(feature in name for name in defined | referred), (feature, defined)
