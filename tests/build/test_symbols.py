"""Profilers must be able to name every kernel and operation: symbols, debug information, honest wheel tags."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib import util
from pathlib import Path

import pytest
from elf import Library, extract_native

TABLES = ("q4_arch_kernels", "q4_kernel_", "q4_type_", "q4_ops_")


@pytest.fixture(params=["host", "aarch64"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Library]:
    """The module that this Python imports, and the one in the cross-built wheel."""
    if request.param == "host":
        spec = util.find_spec("q4engine._native")
        assert spec is not None and spec.origin is not None
        path = Path(spec.origin)
    else:
        path = extract_native(request.getfixturevalue("cross_wheel"), tmp_path)
    library = Library(path)
    yield library
    library.close()


def dispatched(library: Library) -> dict[str, list[int]]:
    """Table -> addresses of the functions that it dispatches to."""
    return {name: library.function_pointers(table) for name, table in library.tables(*TABLES).items()}


def test_every_kernel_and_operation_has_a_symbol(library: Library) -> None:
    tables = dispatched(library)
    assert {"q4_arch_kernels", "q4_kernel_q4_0", "q4_type_q4_0_base", "q4_ops_base"} <= tables.keys()
    for table, addresses in tables.items():
        names = [library.functions.get(address) for address in addresses]
        assert names, table
        assert None not in names, table
        for name in names:
            assert name.startswith("q4_"), (table, name)


def test_nm_names_them(library: Library) -> None:
    listed = {
        int(address, 16): name
        for address, kind, name in re.findall(
            r"^([0-9a-f]+) ([tT]) (\S+)$",
            subprocess.run(["nm", library.path], capture_output=True, text=True, check=True).stdout,
            re.MULTILINE,
        )
        if not name.startswith("$")
    }
    wanted = {address for addresses in dispatched(library).values() for address in addresses}
    assert wanted
    assert wanted <= listed.keys()


def test_addr2line_finds_them_in_their_files(library: Library, repo_root: Path) -> None:
    wanted = sorted({address for addresses in dispatched(library).values() for address in addresses})
    command = ["addr2line", "-a", "-f", "-i", "-e", library.path, *(hex(address) for address in wanted)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    blocks = re.split(r"^0x[0-9a-f]+\n", output, flags=re.MULTILINE)[1:]
    native = str(repo_root / "native")
    for address, block in zip(wanted, blocks, strict=True):
        *_, function, place = block.splitlines()  # the outermost of a chain of inlined ones comes last
        assert function == library.functions[address]
        path, _, line = re.sub(r" \(discriminator \d+\)$", "", place).rpartition(":")
        assert path.startswith(native), (function, place)
        assert int(line) > 0, (function, place)


def test_x86_kernels_of_few_tokens_prefetch(library: Library) -> None:
    """Compilers may drop a prefetch, which changes no result and costs a call of eight tokens half of its speed."""
    kernels = {name for name in library.functions.values() if re.match("q4_gemv_.*_avx", name)}
    if library.elf["e_machine"] != "EM_X86_64":
        assert not kernels
        return
    code = subprocess.run(["objdump", "-d", library.path], capture_output=True, text=True, check=True).stdout
    functions = re.split(r"^[0-9a-f]+ <(\w+)>:$", code, flags=re.MULTILINE)[1:]
    of_name = dict(zip(functions[::2], functions[1::2], strict=True))
    kernels = {name for name in kernels if not name.endswith("_scratch")}
    assert kernels
    assert {name for name in kernels if "prefetcht1" not in of_name[name]} == set()


def test_the_wheel_promises_what_it_keeps(cross_wheel: Path, tmp_path: Path) -> None:
    tag = cross_wheel.stem.split("-", 2)[2]
    library = Library(extract_native(cross_wheel, tmp_path))
    assert tag.startswith("cp311-abi3-")
    assert library.elf["e_machine"] == "EM_AARCH64"
    if promise := re.fullmatch(r"cp311-abi3-manylinux_(\d+)_(\d+)_aarch64", tag):
        assert library.needed_glibc() <= (int(promise[1]), int(promise[2]))
    else:
        assert tag == "cp311-abi3-linux_aarch64"
    library.close()
