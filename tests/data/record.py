"""Records the files of this folder anew: ``.venv/bin/python tests/data/record.py``; README.md says what they are.

Needs perf and this project installed. The commands run in a temporary folder, so that the files hold no path of this
machine. tests/golden/test_recorded_data.py has figures typed from the files: they are typed anew after a recording.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(REPO / "tests"), str(REPO / "tests" / "support")]

from annotate_daemon import Daemon  # noqa: E402
from models.tiny import write_tiny  # noqa: E402

from annotate import Endpoints  # noqa: E402

MODEL = "synthetic-tiny.gguf"

RUN = f"q4engine run {MODEL} -p abcdefgh --no-chat -n 4 --temp 0 -t 2 --annotate off"
LONGER = f"q4engine run {MODEL} -p abcdefgh --no-chat -n 200 -c 300 --temp 0 -t 2 --annotate off"
EVENTS = "task-clock,page-faults,context-switches,cpu-migrations,cycles,instructions"
INTERVALS = "perf_stat_interval.csv"
# file -> the command that makes it, or others beside it
COMMANDS = {
    "perf_stat.txt": f"perf stat -e {EVENTS} -o perf_stat.txt -- {RUN}",
    "perf_stat.csv": f"perf stat -x , -e {EVENTS} -o perf_stat.csv -- {RUN}",
    "perf_stat.json": f"perf stat -j -e {EVENTS} -o perf_stat.json -- {RUN}",
    INTERVALS: "perf stat -x , -I 50 -e task-clock,page-faults -o perf_stat_interval.csv -- "
    f"{LONGER} --markers perf_stat_interval_markers.csv",
    "capture.csv": f"{RUN} --capture capture.csv",
    "capture_per_op.csv": f"{RUN} --per-op --capture capture_per_op.csv --markers markers.csv --trace trace.json",
}
# What a run says to a daemon of gatord's kind; the connections' bytes are kept as the EXTERNAL frames of a capture.
ANNOTATED = f"q4engine run {MODEL} -p abcdefgh --no-chat -n 4 --temp 0 -t 2 --annotate on --annotate-ops"


def packed(number: int) -> bytes:
    """A number as the capture format packs it: seven bits a byte, the last one's sign bit extended."""
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        if (number == 0 and not byte & 0x40) or (number == -1 and byte & 0x40):
            return bytes([*out, byte])
        out.append(byte | 0x80)


def external_frame(fd: int, data: bytes) -> bytes:
    body = packed(10) + packed(fd) + data
    return len(body).to_bytes(4, "little") + body


def shell(command: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LC_ALL": "C"}
    subprocess.run(command, shell=True, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def record_annotations(folder: Path) -> None:
    """annotate_frames.apc: a daemon listens on the names and ports that Streamline's has."""
    with Daemon(Endpoints()) as daemon:
        shell(ANNOTATED, folder)
        daemon.wait(lambda: daemon.closed_connections == len(daemon.streams) > 0)
        frames = b"".join(external_frame(fd, data) for fd, data in enumerate(daemon.raw_streams, start=3))
    (folder / "annotate_frames.apc").write_bytes(frames)


def machine() -> str:
    release = platform.freedesktop_os_release()["PRETTY_NAME"]
    perf = subprocess.run(["perf", "--version"], capture_output=True, text=True).stdout.strip()
    kind = "a virtual machine" if "hypervisor" in Path("/proc/cpuinfo").read_text() else "a machine"
    return f"{kind} of {os.cpu_count()} CPUs, {platform.machine()}, {release}, {perf}"


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_tiny(folder / MODEL)
        for name, command in COMMANDS.items():
            started = time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
            shell(command, folder)
            if name == INTERVALS:  # perf counts its seconds from its own start
                (folder / "perf_stat_interval_start.txt").write_text(f"{started:.3f}\n")
        record_annotations(folder)
        for path in sorted(folder.iterdir()):
            if path.name != MODEL:
                (HERE / path.name).write_bytes(path.read_bytes())
                print(f"{path.name}: {path.stat().st_size} bytes")
    print(f"recorded on {machine()}: README.md says so")
    return 0


if __name__ == "__main__":
    sys.exit(main())
