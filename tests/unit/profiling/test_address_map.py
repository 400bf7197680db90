"""`q4engine run --address-map`: which addresses are which tensor and the KV cache, as `analysis.memory` reads them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Cli
from models.tiny import write_tiny

from analysis.address_map import read_map
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.profiling.address_map import write_address_map

N_CTX = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("map") / "tiny.gguf")


def test_ranges_are_where_the_data_lies(model: Path) -> None:
    with Engine.load(model, n_threads=1) as engine:
        session = engine.session(n_ctx=N_CTX)
        ranges = session.recorder.address_ranges()
        sizes = {name: end - start for kind, name, start, end in ranges if kind == "weights"}
        assert sizes == {choice.tensor: choice.packed_bytes for choice in engine.kernels}
        cached = sum(end - start for kind, _, start, end in ranges if kind in ("keys", "values"))
        assert cached == N_CTX * engine.native.kv_bytes_per_position()
        (table,) = [(start, end) for kind, _, start, end in ranges if kind == "table"]
        data = np.asarray(engine.graph.tables[0].data)
        assert table == (data.ctypes.data, data.ctypes.data + data.nbytes)
        starts = sorted((start, end) for _, _, start, end in ranges)
        assert all(before[1] <= after[0] for before, after in pairwise(starts))
        del session


def test_the_command_writes_what_the_analysis_reads(q4: Cli, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    result = q4("run", model, "-p", "abc", "-n", "1", "-t", "1", "-no-cnv", "--temp", "0", "--address-map", path)
    assert result.code == 0
    known = read_map(path)
    kinds = {one.kind for one in known.ranges}
    assert kinds == {"weights", "table", "keys", "values", "activations"}
    titles = {one.title for one in known.ranges}
    assert "token_embd.weight" in titles and "KV cache: keys, blk.0" in titles and "activations" in titles


def test_what_is_wrong_is_one_line(q4: Cli, model: Path, tmp_path: Path) -> None:
    words = ("run", model, "-p", "abc", "-n", "1", "-t", "1", "-no-cnv")
    result = q4(*words, "--address-map", tmp_path / "nowhere" / "map.csv")
    assert result.code == 1 and "the address map cannot be written: No such file or directory" in result.err
    assert q4(*words, "--address-map", model).code == 2
    with Engine.load(model, backend="numpy") as engine, pytest.raises(Q4Error, match="needs the native backend"):
        write_address_map(tmp_path / "map.csv", engine.session(n_ctx=N_CTX))
    assert not (tmp_path / "map.csv").exists()
