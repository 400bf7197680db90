"""What `make setup` does about programs that the tests start and pip cannot bring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import host
import pytest
import system_tools
from system_tools import TOOLS, Tool, bring

ABSENT = Tool("Nothing", "no test", ("no-such-package",), ("usr/bin/q4-no-such-program",))


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that only writes down how it was called, and nothing else on PATH; the file that it writes to."""
    calls, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "dpkg"):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> "{calls}"\nexit 1\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("Q4_NO_APT", raising=False)
    return calls


def test_without_apt_what_is_missing_is_named_in_one_line(apt: Path, tmp_path: Path) -> None:
    """On a bare machine: nothing is fetched, and setting up goes on."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "Q4_NO_APT": "1"}
    code = "import host, pathlib, system_tools, qemu\n"
    code += f"host.OWN_TOOLS = pathlib.Path({str(tmp_path)!r})\n"
    code += "qemu.HOME = host.OWN_TOOLS / 'qemu'\nqemu.BINARY = qemu.PROGRAM = qemu.HOME / 'none'\n"
    code += "host.main(system_tools.bring_all)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment | {"PYTHONPATH": "toolchains"}, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    line = done.stdout.splitlines()[-1]
    assert line.startswith("q4engine: missing, so that tests will skip: ")
    for tool in TOOLS:
        if tool.name != "Python.h":  # which a Python may have without any package
            assert tool.name in line and tool.packages[0] in line
    if not host.NATIVE_ARM:
        assert "qemu-aarch64" in line
    assert not apt.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root has apt unpack packages, and does not install any")
def test_as_root_it_is_apt_that_installs(apt: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert not bring(ABSENT)
    calls = apt.read_text()
    assert any(line.startswith("apt-get install") and line.endswith(" no-such-package") for line in calls.splitlines())
    assert "apt-get update" in calls  # package lists may be absent
    assert "Nothing is missing" in capfd.readouterr().out


def test_another_release_installs_nothing_that_must_be_exact(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"VERSION_CODENAME": "sid"})
    exact = [tool for tool in TOOLS if tool.exact]
    assert exact and all(system_tools.ways(tool) == [system_tools.unpack] for tool in exact)


def test_a_program_of_the_path_that_does_not_start_is_not_there(apt: Path) -> None:
    program = apt.parent / "bin" / "perf"  # as Ubuntu's, without the kernel's own package
    program.write_text("#!/bin/sh\necho no perf for this kernel >&2\nexit 2\n")
    program.chmod(0o755)
    perf = next(tool for tool in TOOLS if tool.name == "perf")
    assert not perf.found()
    program.write_text("#!/bin/sh\necho perf version 6.1\n")
    assert perf.found()
