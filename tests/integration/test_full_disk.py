"""A disk that becomes full while a command writes: one line, no half file under a final name, the file from before."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from killed_commands import COMMANDS

ROOM = 24 << 10  # bytes: every command writes more
EARLIER = b"earlier\n"
GROWING = ("run", "bench")  # captures take their name with the first rows, and keep those that are whole
# A file system of that size where the user may mount one, in a name space of its own; else no file may grow beyond it.
MOUNT = 'mount -t tmpfs -o size={size} tmpfs "$1" && cp "$2"/* "$1" && shift 2 && "$@"; code=$?; {after}; exit $code'


def may_mount(folder: Path) -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


def limited(words: list[str], outputs: Path, kept: Path, mounts: bool) -> subprocess.CompletedProcess[str]:
    """Runs the command where its outputs have little room, and copies what is there then to ``kept``."""
    module, words = (words[0], words[1:]) if words[0].startswith("analysis.") else ("q4engine", words)
    command = [sys.executable, "-m", module, *words]
    if mounts:
        earlier = outputs.parent / "earlier"
        shutil.copytree(outputs, earlier)
        script = MOUNT.format(size=ROOM + (4096 * len(list(outputs.iterdir()))), after='cp -a "$OUTPUTS"/. "$KEPT"')
        command = ["unshare", "-m", "sh", "-c", script, "sh", str(outputs), str(earlier), *command]
    else:
        command = [
            "sh",
            "-c",
            f'ulimit -f {ROOM // 512}; "$@"; code=$?; cp -a "$OUTPUTS"/. "$KEPT"; exit $code',
            "sh",
            *command,
        ]
    env = {**os.environ, "OUTPUTS": str(outputs), "KEPT": str(kept)}
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)


@pytest.mark.parametrize("name", ["quantize", "convert", "run", "bench", "stalls"])
def test_a_full_disk(name: str, tmp_path: Path) -> None:
    (inputs := tmp_path / "inputs").mkdir()
    (outputs := tmp_path / "outputs").mkdir()
    (kept := tmp_path / "kept").mkdir()
    command = COMMANDS[name](inputs)
    moved = {path: outputs / path.name for path in command.outputs}
    for path in moved.values():
        path.write_bytes(EARLIER)
    places = {str(path): str(to) for path, to in moved.items()} | {str(inputs / "captures"): str(outputs)}
    mounts = may_mount(outputs)
    done = limited([places.get(word, word) for word in command.words], outputs, kept, mounts)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    wanted = "MB are free there" if name == "bench" and mounts else "cannot be written"  # bench looks at the disk first
    assert len(lines) == 1 and wanted in lines[0], done.stderr
    after = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert after.keys() == {path.name for path in moved.values()}
    for path, whole in command.outputs.items():
        content = after[path.name]
        assert content == EARLIER or (name in GROWING and whole(content)), content[-300:]
