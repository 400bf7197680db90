"""Machines as an axis: this one, and others by ssh:// or adb://, as [machines.NAME] of a plan has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown
from q4engine.sweep.plan_tables import of_table, one_text, only

HERE = "here"
_NAME = re.compile(r"[\w.-]{1,60}")
# No name begins with a dash: ssh would take it for an option.
_SSH = re.compile(r"ssh://(?:(?P<user>\w[\w.-]*)@)?(?P<host>\w[\w.-]*|\[[0-9a-fA-F:.%\w]+\])(?::(?P<port>\d{1,5}))?")
_ADB = re.compile(r"adb://(?P<host>\w[\w.:-]*)")
_FOLDERS = {"ssh": ".cache/q4engine-sweep", "adb": "/data/local/tmp/q4engine-sweep"}
_FOLDER = re.compile(r"[^-\0\n'\"\\$`][^\0\n'\"\\$`]*")
_KEYS = ("address", "folder", "bundle", "python", "options")


@dataclass(frozen=True)
class Machine:
    """``kind``: here, ssh or adb. ``folder``: on it, for what is sent there. ``options``: of ssh.

    ``bundle``: a tar.gz of ``make bundle``, which is sent there; else ``python``: that machine's, which has q4engine.
    """

    name: str
    kind: str = HERE
    user: str = ""
    host: str = ""
    port: int = 0
    folder: str = ""
    bundle: Path | None = None
    python: str = ""
    options: tuple[str, ...] = ()

    def as_data(self) -> list[Any]:
        """What makes its runs what they are; how it is reached may change."""
        return [self.kind, self.host]


def machines_of(table: Mapping[str, Any], folder: Path) -> dict[str, Machine]:
    """The machines that a plan may name: "here", and its own [machines.NAME]. Q4Error names what is wrong."""
    found = {HERE: Machine(HERE)}
    for name, given in table.items():
        place = f"machines.{name}"
        if not _NAME.fullmatch(name) or name == HERE:
            raise Q4Error(f"[machines]: {shown(name)} is no name for another machine")
        given = of_table(given, place)
        only(given, place, _KEYS)
        found[name] = _machine(name, given, place, folder)
    return found


def _machine(name: str, given: Mapping[str, Any], place: str, folder: Path) -> Machine:
    kind, user, host, port = _address(one_text(given.get("address"), f"{place}.address"), place)
    options = given.get("options", [])
    if not isinstance(options, list) or not all(isinstance(word, str) and word for word in options):
        raise Q4Error(f'[{place}]: options is a list of words for ssh, as ["-i", "key"]')
    if options and kind != "ssh":
        raise Q4Error(f"[{place}]: options are ssh's, the address is adb's")
    on_it = one_text(given.get("folder", _FOLDERS[kind]), f"{place}.folder")
    if not _FOLDER.fullmatch(on_it):
        raise Q4Error(f"[{place}]: folder: {shown(on_it)}: expected one without quotes, dollars and backslashes")
    if ("bundle" in given) == ("python" in given):
        raise Q4Error(f"[{place}]: give bundle (of make bundle) or python (an interpreter there that has q4engine)")
    python = one_text(given.get("python", ""), f"{place}.python", may_be_empty="bundle" in given)
    bundle = folder / one_text(given["bundle"], f"{place}.bundle") if "bundle" in given else None
    return Machine(name, kind, user, host, port, on_it, bundle, python, tuple(options))


def _address(text: str, place: str) -> tuple[str, str, str, int]:
    if (found := _SSH.fullmatch(text)) and int(found["port"] or 22) <= 65535:
        return "ssh", found["user"] or "", found["host"].strip("[]"), int(found["port"] or 0)
    if found := _ADB.fullmatch(text):
        return "adb", "", found["host"], 0
    raise Q4Error(f"[{place}]: address: found {shown(text)}, expected ssh://[user@]host[:port] or adb://serial")
