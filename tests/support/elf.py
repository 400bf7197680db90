"""Reads what a profiler would of a shared library: function symbols, dispatch tables, version needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection


def extract_native(wheel: Path, folder: Path) -> Path:
    """The extension module of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract("q4engine/_native.abi3.so", folder))


class Library:
    """One shared library; addresses are virtual."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self.elf = ELFFile(self._file)
        symtab = self.elf.get_section_by_name(".symtab")
        self.symbols = list(symtab.iter_symbols()) if isinstance(symtab, SymbolTableSection) else []

    def close(self) -> None:
        self._file.close()

    @property
    def functions(self) -> dict[int, str]:
        """Address -> name."""
        return {s["st_value"]: s.name for s in self.symbols if s["st_info"]["type"] == "STT_FUNC" and s["st_value"]}

    def tables(self, *prefixes: str) -> dict[str, range]:
        """Data symbols whose name starts with one of `prefixes`, with their address ranges."""
        return {
            s.name: range(s["st_value"], s["st_value"] + s["st_size"])
            for s in self.symbols
            if s["st_info"]["type"] == "STT_OBJECT" and s.name.startswith(prefixes)
        }

    def function_pointers(self, table: range) -> list[int]:
        """The code addresses that the loader writes into a table (relative relocations into .text)."""
        text = self.elf.get_section_by_name(".text")
        code = range(text["sh_addr"], text["sh_addr"] + text["sh_size"])
        targets = []
        for section in self.elf.iter_sections():
            if isinstance(section, RelocationSection):
                for relocation in section.iter_relocations():
                    if relocation["r_offset"] in table and relocation.entry.get("r_addend") in code:
                        targets.append(relocation["r_addend"])
        return targets

    def needed_glibc(self) -> tuple[int, int]:
        """The newest GLIBC_x.y version that the library asks for."""
        versions = [(0, 0)]
        for section in self.elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for _, auxiliaries in section.iter_versions():
                    for auxiliary in auxiliaries:
                        if auxiliary.name.startswith("GLIBC_2."):
                            versions.append((2, int(auxiliary.name.split(".")[1])))
        return max(versions)
