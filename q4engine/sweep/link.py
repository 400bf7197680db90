"""A way to another machine: commands and files by the system's OpenSSH, or by adb's shell and push."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shlex
import subprocess
from pathlib import Path
from typing import IO

from q4engine.errors import Q4Error, shown
from q4engine.sweep.other_machines import Machine

# A host that is gone is noticed within 15 s; nobody is there to type a password.
_SSH_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
)
_PATIENCE = 60.0  # seconds for a command that only looks
_SLOWEST = 100e3  # bytes a second of a connection that still counts as one


class MachineGone(Q4Error):
    """The machine is not reached, or not any more."""


class Link:
    """The way to one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def command(self, script: str) -> list[str]:
        """What runs a POSIX shell's script there."""
        machine = self.machine
        if machine.kind == "adb":
            return ["adb", "-s", machine.host, "shell", "-T", script]
        options = [word for option in _SSH_OPTIONS for word in ("-o", option)]
        port = ["-p", str(machine.port)] if machine.port else []
        user = ["-l", machine.user] if machine.user else []
        return [
            "ssh",
            "-T",
            *machine.options,
            *options,
            *port,
            *user,
            machine.host,
            f"exec sh -c {shlex.quote(script)}",
        ]

    def say(self, script: str, seconds: float = _PATIENCE, given: IO[bytes] | None = None) -> str:
        """What the script prints. MachineGone where it is not reached, Q4Error where the script fails."""
        stdin = subprocess.DEVNULL if given is None else given
        try:
            done = subprocess.run(self.command(script), stdin=stdin, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise MachineGone(f"did not answer within {seconds:.0f} s") from None
        except OSError as error:
            raise MachineGone(f"{self.command('')[0]} cannot be started: {error.strerror}") from None
        out, err = (text.decode("utf-8", "replace").strip() for text in (done.stdout, done.stderr))
        if done.returncode == 0:
            return out
        last = shown((err or out or "it said nothing").splitlines()[-1], 200)
        if done.returncode == 255 or err.startswith(("error: device", "adb: ")):
            raise MachineGone(f"is not reached: {last}")
        raise Q4Error(f"a command there ended with exit code {done.returncode}: {last}")

    def send(self, path: Path, target: str) -> bool:
        """Brings a file there unless it is there already, as a whole or not at all; whether it travelled.

        Its content is checked when it has arrived. ``target`` names its content, so that it need not be checked again.
        """
        if self.say(f"test -e {_quoted(target)} && echo there || echo absent").endswith("there"):
            return False
        part = beside(target)
        seconds = _PATIENCE + path.stat().st_size / _SLOWEST
        self.say(_made_ready(target.rpartition("/")[0]))
        try:
            if self.machine.kind == "adb":
                self._push(path, part, seconds)
            else:
                with path.open("rb") as file:
                    self.say(f"cat > {_quoted(part)}", seconds, file)
            found, expected = self.say(f"sha256sum {_quoted(part)}", seconds)[:64], sha256(path)
            if found != expected:
                raise Q4Error(f"it did not arrive whole: found {shown(found)}, expected {expected}")
            self.say(f"mv {_quoted(part)} {_quoted(target)}")
        except Q4Error as error:
            with contextlib.suppress(Q4Error):  # its disk may be full of it
                self.say(f"rm -f {_quoted(part)}")
            raise type(error)(f"{path.name}: {error}") from None
        return True

    def _push(self, path: Path, target: str, seconds: float) -> None:
        command = ["adb", "-s", self.machine.host, "push", str(path), target]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineGone(f"adb push: {error}") from None
        if done.returncode != 0:
            raise MachineGone(f"adb push: {shown((done.stderr or done.stdout).strip(), 200)}")


def beside(target: str) -> str:
    """A name of this sweep's own, for what is not whole yet: others may bring the same there at this moment."""
    return f"{target}.part-{secrets.token_hex(4)}"


def _made_ready(folder: str) -> str:
    """A script: the folder is there, without what was left half done more than a day ago."""
    abandoned = f"find {_quoted(folder)} -maxdepth 1 -name '*.part-*' -mtime +0 -exec rm -rf '{{}}' ';'"
    return f"mkdir -p {_quoted(folder)} && {{ {abandoned} || true; }}"


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal. Q4Error where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Q4Error(f"{path}: cannot be read: {error.strerror}") from None


def _quoted(path: str) -> str:
    return shlex.quote(path)
