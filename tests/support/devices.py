"""Machines that a sweep reaches: a real sshd of the test's own, and a stand-in for adb that is called so."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ADB_STAND_IN = f"""#!{sys.executable}
# A stand-in for adb: shell and push of one device, which is a folder of this machine.
import os, shutil, sys
from pathlib import Path
here = Path(__file__).resolve().parent
_, option, serial, command, *words = sys.argv
with (here / "calls").open("a") as calls:
    print(command, *words[:1], file=calls)
if (here / "gone").exists() or option != "-s" or serial != "stand-in":
    sys.exit(f"error: device '{{serial}}' not found")
if command == "push":
    shutil.copyfile(*words)
elif command == "shell" and words[0] == "-T":
    os.execv("/bin/sh", ["sh", "-c", words[1]])
else:
    sys.exit("adb: what is " + command)
"""

# The engine of these sweeps, by its command: leaves its parent's process id, waits where a file says so, and for as
# good as ever in the run whose number another file has.
WAITS = "sleep $(cat delay 2>/dev/null || echo 0)"
STOPS = "test $(wc -l < pids) -lt $(cat stop 2>/dev/null || echo 999) || sleep 600"
PROGRAM = ["sh", "-c", f"echo $PPID >> pids; {WAITS}; {STOPS}; echo took 0.25 s # {{threads}} {{prompt}}"]
SSHD_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""
# Root's sshd wants a user of its name, a folder below /run, and that root's account is not locked: given to it alone.
AS_ROOT = """\
mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/shadow /etc/shadow &&
mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec {command}
"""


def adb_stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts it first on PATH; its folder: a file "gone" there makes the device go away, "calls" has what was asked."""
    home = folder / "adb stand-in"
    home.mkdir()
    (home / "adb").write_text(ADB_STAND_IN)
    (home / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(home), prepend=os.pathsep)
    return home


def bundle(path: Path) -> Path:
    """A bundle whose Python is this one."""
    script = path.parent / "python3"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    with tarfile.open(path, "w:gz") as tar:
        tar.add(script, "stand-in/python3")
    return path


def write_machines_plan(folder: Path, machines: dict[str, str], blocks: int, axes: str = "prompt = [1, 2]\n") -> Path:
    """A plan of a program on these machines: of each its table's lines."""
    path = folder / "plan.toml"
    words = ", ".join(f"{word!r}" for word in PROGRAM)
    text = f"repetitions = {blocks}\n[axes]\nengine = 'program'\nthreads = 1\n{axes}machine = {[*machines]}\n"
    text += f"[engines.program]\ncommand = [{words}]\nprefill = {{ seconds = 'took ([0-9.]+)' }}\n"
    for name, lines in machines.items():
        text += f"[machines.{name}]\n{lines}\n" if name != "here" else ""
    path.write_text(text)
    return path


@dataclass(frozen=True)
class Sshd:
    """``options``: words for ssh, as TOML."""

    address: str
    port: int
    options: str
    process: subprocess.Popen[bytes]

    def table(self, folder: Path, how: str) -> str:
        """Lines of [machines.NAME]."""
        where = f"address = 'ssh://{self.address}:{self.port}'\nfolder = '{folder}'\n"
        return f"{where}options = {self.options}\n{how}"


@contextlib.contextmanager
def sshd(folder: Path, address: str = "127.0.0.1", before: Sequence[str] = ()) -> Iterator[Sshd]:
    """A real sshd of this user, with its own keys and settings in the folder. ``before``: a command that starts it."""
    programs = {name: shutil.which(name) for name in ("sshd", "ssh", "ssh-keygen")}
    if missing := [name for name, path in programs.items() if path is None]:
        pytest.skip(f"{', '.join(missing)}: not here (make setup brings it)")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = _free_port()
    (folder / "config").write_text(SSHD_CONFIG.format(folder=folder, port=port, address=address))
    command = [str(programs["sshd"]), "-D", "-e", "-f", str(folder / "config")]
    if os.geteuid() == 0:
        command = _as_root(folder, command)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*before, *command], stdin=subprocess.DEVNULL, stderr=log)
    options = ["-F", "none", "-i", str(folder / "key"), "-o", "IdentitiesOnly=yes"]
    options += ["-o", f"UserKnownHostsFile={folder}/known", "-o", "StrictHostKeyChecking=accept-new"]
    try:
        _wait_for(folder / "log", process)
        yield Sshd(address, port, str(options), process)
    finally:
        process.kill()
        process.wait()


def _as_root(folder: Path, command: Sequence[str]) -> list[str]:
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    lines = Path("/etc/passwd").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("sshd:")]
    (folder / "passwd").write_text("\n".join([*kept, "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin", ""]))
    (folder / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    script = AS_ROOT.format(folder=shlex.quote(str(folder)), command=" ".join(map(shlex.quote, command)))
    return ["unshare", "-m", "sh", "-c", script]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait_for(log: Path, process: subprocess.Popen[bytes]) -> None:
    while "Server listening" not in log.read_text():
        if process.poll() is not None:
            pytest.skip(f"sshd does not start here: {(log.read_text().strip() or 'it said nothing').splitlines()[-1]}")
        time.sleep(0.02)


def wait_for_lines(path: Path, count: int) -> list[str]:
    """The file's lines, when there are so many."""
    while not path.exists() or len(path.read_text().split()) < count:
        time.sleep(0.02)
    return path.read_text().split()
