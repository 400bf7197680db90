"""Fixtures of the analysis commands' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import synthetic_captures as captures
from analysis_commands import HEADER, PARTS, PROMPT, TOKEN, Main, Run
from synthetic_captures import decode, prefill

from analysis.command_line import run
from analysis.judging import Capture, load


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture")
    calls = [*prefill(512, 0.9, PROMPT, batches=2), *decode(20, 0.02, TOKEN)]
    return captures.write_capture(folder / "synthetic.csv", calls, HEADER)


@pytest.fixture(scope="module")
def per_op(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("per-op")
    for threads in (1, 2):
        for prompt in (16, 32, 64, 128, 256, 512):
            path = folder / f"synthetic-t{threads}-p{prompt}.csv"
            rates = {"INST_RETIRED": 2e9, "L3D_CACHE_REFILL": 1e8}
            captures.write_per_op(
                path, PARTS, threads=threads, prompt=prompt, n_decode=12, header=HEADER, counts_per_second=rates
            )
            path.write_text(path.read_text().replace("n_threads: 4", f"n_threads: {threads}"))
    return folder


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    path = tmp_path_factory.mktemp("counted") / "synthetic.csv"
    return load(captures.write_capture(path, [*prefill(512, 0.9, PROMPT), *decode(20, 0.02, TOKEN)], HEADER))


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    path = tmp_path_factory.mktemp("timed") / "synthetic.csv"
    return load(captures.write_per_op(path, PARTS, threads=2, prompt=16, n_decode=8, header=HEADER | {"n_threads": 2}))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(main: Main, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            status = run(main)
        except SystemExit as stop:
            status = int(stop.code or 0)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call
