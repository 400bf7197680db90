"""Which emulator is used: this machine's, or the one below build/qemu where that is missing or takes no plugins."""

from __future__ import annotations

from pathlib import Path

import pytest
import qemu

STATIC = "usage: qemu-aarch64 [options] program [arguments...]\n-version             display version information"
DYNAMIC = f"{STATIC}\n-plugin              [file=]<file>[,<argname>=<argvalue>]"


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Debian's emulator would be unpacked; PATH leads to an empty folder."""
    monkeypatch.setattr(qemu, "PROGRAM", tmp_path / "build" / "qemu-aarch64")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("bin", "build"):
        (tmp_path / name).mkdir()
    return qemu.PROGRAM


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return str(path)


def test_there_is_none(unpacked: Path) -> None:
    assert qemu.find_qemu() is None
    assert qemu.find_qemu(plugins=True) is None


@pytest.mark.parametrize("name", qemu.NAMES)
def test_the_machines_own_comes_first(name: str, unpacked: Path, tmp_path: Path) -> None:
    own = program(tmp_path / "bin" / name, DYNAMIC)
    program(unpacked, DYNAMIC)
    assert qemu.find_qemu() == qemu.find_qemu(plugins=True) == qemu.require_qemu(plugins=True) == own


def test_one_without_plugins_runs_programs_but_counts_nothing(unpacked: Path, tmp_path: Path) -> None:
    own = program(tmp_path / "bin" / "qemu-aarch64", STATIC)
    assert qemu.find_qemu() == own
    assert qemu.find_qemu(plugins=True) is None
    program(unpacked, DYNAMIC)
    assert qemu.find_qemu(plugins=True) == str(unpacked)
    assert qemu.find_qemu() == own


def test_other_machines_are_told(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu.platform, "machine", lambda: "riscv64")
    with pytest.raises(qemu.ToolError, match="not to be had for a riscv64"):
        qemu.require_qemu()
