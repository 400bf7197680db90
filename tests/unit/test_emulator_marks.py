"""The marks for an emulator's plugin: harmless on a real kernel, and not there unless asked for."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models.tiny import TINY_LLAMA, write_tiny

from q4engine.engine import Engine

PROGRAM = """
import sys
from q4engine.engine import Engine
session = Engine.load(sys.argv[1], n_threads=2).session(n_ctx=32)
session.recorder.record(int(sys.argv[2]), [])
session.decode([1, 2, 3])
session.decode([4])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("marks") / "synthetic.gguf", TINY_LLAMA)


def logits(model: Path) -> str:
    session = Engine.load(model, n_threads=1).session(n_ctx=32)
    session.recorder.record(3, [])
    found = session.decode([1, 2, 3])
    stamps = np.frombuffer(session.recorder.recorded()[0]["stamps"], np.uint64)
    assert (np.diff(stamps.astype(np.int64)) >= 0).all()
    return hashlib.sha256(found.tobytes()).hexdigest()


def test_a_real_kernel_ignores_them(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = logits(model)
    monkeypatch.setenv("Q4_EMULATOR_MARKS", "1")
    assert logits(model) == plain


def marks(model: Path, level: int, wanted: str) -> list[tuple[int, int]]:
    """(kind, thread) of every mark that a run made, by strace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    command = [strace, "-f", "-e", "trace=prctl", "-X", "raw", sys.executable, "-c", PROGRAM, model, str(level)]
    env = {**os.environ, "Q4_EMULATOR_MARKS": wanted}
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    if "PTRACE" in result.stderr and result.returncode:
        pytest.skip("strace may not trace here")
    assert result.returncode == 0, result.stderr
    found = re.findall(r"prctl\(0x51344d4b[^,]*, (\w+), (\w+), ", result.stderr)
    return [(int(kind, 0), int(thread, 0)) for kind, thread in found]


def test_none_unless_asked_for(model: Path) -> None:
    assert marks(model, 2, "") == []


def test_two_a_call_and_two_a_thread_where_operations_are_not_recorded(model: Path) -> None:
    found = marks(model, 1, "1")
    assert sorted(found) == [(0, 0)] * 4 + [(1, 0)] * 4 + [(1, 1)] * 4
    assert found[0] == found[-1] == (0, 0)


def test_one_for_every_operation_on_every_thread(model: Path) -> None:
    n_ops = len(Engine.load(model, n_threads=1).graph.ops)
    found = marks(model, 2, "1")
    for thread in (0, 1):
        count = found.count((1, thread))
        assert 2 * (1 + n_ops) <= count <= 2 * (1 + 2 * n_ops)
