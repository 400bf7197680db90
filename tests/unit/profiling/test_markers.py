"""The markers file of a run, and the head of its capture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from models.tiny import TINY_GEMMA2, write_tiny

from analysis.readers import read
from q4engine import __version__
from q4engine.engine import Backend, Engine
from q4engine.errors import Q4Error
from q4engine.profiling.capture_header import capture_header, model_name
from q4engine.profiling.markers import Markers
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.recording import kv_bytes_read


def test_every_call_has_a_marker_and_the_last_one_an_end(tiny: Path, tmp_path: Path) -> None:
    session = Engine.load(tiny, n_threads=1).session(n_ctx=64)
    with observe(session, Observation(markers=tmp_path / "m.csv")):
        session.decode([1, 2, 3])
        session.decode([4])
    found = read(tmp_path / "m.csv").markers
    assert [(marker.n_past, marker.n_eval) for marker in found] == [(0, 3), (3, 1), (4, 0)]
    assert [marker.time_s for marker in found] == sorted(marker.time_s for marker in found)


def test_a_run_without_calls_leaves_no_file(tmp_path: Path) -> None:
    Markers(tmp_path / "m.csv").close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Q4Error, match=r"absent/m\.csv: the markers cannot be written: No such file"):
        Markers(tmp_path / "absent" / "m.csv")


def test_the_head_of_a_capture(tiny: Path) -> None:
    engine = Engine.load(tiny, n_threads=2)
    header = capture_header(engine, "q4engine run " + "x" * 5000)
    assert (header["q4engine_version"], header["n_threads"], header["n_layers"]) == (__version__, 2, 2)
    assert header["model"] == model_name(engine) == "synthetic tiny random Q4_0"
    assert header["model_file"] == tiny.name and header["arch"] == os.uname().machine
    assert len(str(header["command"])) == 2000
    assert capture_header(engine, None)["command"] is None
    # two layers with keys and values of 2 heads of 16 numbers, two bytes each
    assert header["kv_bytes_per_token"] == 2 * 2 * 2 * 16 * 2 and header["kv_windows"] is None


@pytest.mark.parametrize(("backend", "bytes_of_a_number"), [("native", 2), ("numpy", 4)])
def test_the_head_tells_of_windows(tmp_path: Path, backend: Backend, bytes_of_a_number: int) -> None:
    """Two of gemma2's three layers see 24 positions."""
    engine = Engine.load(write_tiny(tmp_path / "gemma2.gguf", TINY_GEMMA2), n_threads=1, backend=backend)
    of_a_layer = 2 * 2 * 16 * bytes_of_a_number
    header = capture_header(engine, None)
    assert header["kv_bytes_per_token"] == 3 * of_a_layer and header["kv_windows"] == f"24:{2 * of_a_layer}"
    assert kv_bytes_read(engine, 24) == 24 * 3 * of_a_layer
    assert kv_bytes_read(engine, 100) == (100 + 2 * 24) * of_a_layer
