"""What tests of the analysis commands share: made-up counts, and ways to run a command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import synthetic_captures as captures
from synthetic_captures import Part, decode
from synthetic_cases import PEAK, counts

REPO = Path(__file__).resolve().parents[2]

PNG = b"\x89PNG\r\n\x1a\n"

PROMPT = counts(0.9, be=0.2, m=0.1, fe=0.03, ipc=2.0, mix=0.7, l2=1.0, gbps=2)

TOKEN = counts(0.02, be=0.6, m=0.5, fe=0.02, ipc=0.8, mix=0.5, l2=40, gbps=31)

HEADER = {"midr": "0x410fd493", "read_peak_gbps": PEAK, "bytes_per_token": 600e6, "n_threads": 4}

PARTS = (
    Part("gemm", 4e-4, "4096x1024"),
    Part("attention", 5e-5),
    Part("rms_norm", 1e-5, scales=False),
)

Main = Callable[[Sequence[str]], int]
Run = Callable[..., tuple[int, str, str]]


def spawn(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", f"analysis.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120)


def write_tokens(path: Path, seconds: float, share: float) -> Path:
    """A capture of 40 tokens, each of `seconds`, whose memory stalls are `share` of the back end's."""
    token = counts(seconds, be=0.6, m=share)
    return captures.write_capture(path, decode(40, seconds, token), HEADER | {"kernels": path.stem})
