"""The aarch64 wheel's watching library in programs that the emulator runs (on an Arm host: this machine): a stand-in of
llama.cpp's libraries, and its prebuilt ones."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import arm64_python
import pandas as pd
import pytest
import synthetic_llama
from cross import default_toolchain, prepare
from emulate import peer
from host import NATIVE_ARM, ToolError
from models.tiny import TINY_LLAMA, write_tiny
from qemu import require_qemu

from q4engine.profiling.counters import Counters
from q4engine.watch import program
from q4engine.watch.outputs import Outputs, write
from q4engine.watch.records import read

SECONDS = 600
DRIVER = Path(__file__).parents[1] / "support" / "llama_driver.c"
NO_OPERATION = ("", "begin", "end", "barrier")
TIMES = ["start_ns", "duration_ns", "cpu"]
# Of a Llama's graph: 15 nodes a layer that are called one by one, 4 around them, and each norm with its product.
NODES = 15 * TINY_LLAMA.n_layers + 4 + 2 * TINY_LLAMA.n_layers + 1


@pytest.fixture(scope="module")
def library(cross_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As it is in the wheel."""
    with zipfile.ZipFile(cross_wheel) as wheel:
        return Path(wheel.extract(f"q4engine/{program.LIBRARY}", tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    toolchain = default_toolchain()
    return peer.compiler(toolchain, prepare(toolchain))


@pytest.fixture(scope="module")
def stand_in(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_llama.build(tmp_path_factory.mktemp("synthetic-llama-arm"), compiler)


def on_arm(words: Sequence[object], cpu: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Runs an aarch64 program with these variables."""
    command = list(map(str, words))
    if NATIVE_ARM:
        command = ["env", *(f"{name}={value}" for name, value in variables.items()), *command]
    else:
        arm64_python.install_root()
        given = [word for name, value in variables.items() for word in ("-E", f"{name}={value}")]
        command = [require_qemu(), "-cpu", cpu, "-L", str(arm64_python.ROOT), *given, *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)


def watched(library: Path, words: Sequence[object], cpu: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same with the library, which leaves its records in the folder."""
    folder.mkdir()
    return on_arm(words, cpu, **variables(library, folder))


def variables(library: Path, folder: Path) -> dict[str, object]:
    return {"LD_PRELOAD": library, program.FOLDER: folder, program.OPERATIONS: 1}


def table_of(records: Path) -> pd.DataFrame:
    """The capture of a program's records."""
    processes = [process for path in sorted(records.glob("*.q4watch")) if (process := read(path)) is not None]
    capture = records / "run.csv"
    what = Outputs(capture, per_op=True, counters=Counters(state="not asked for"))
    assert write(what, processes).names == ["run.csv"]
    return pd.read_csv(capture, comment="#", keep_default_na=False, dtype=str)


def told(table: pd.DataFrame) -> list[list[str]]:
    """All but times; whether a thread waited differs from run to run."""
    rows = table[table["op"] != "barrier"].drop(columns=TIMES)
    return sorted(rows.to_numpy().tolist())


def calls(table: pd.DataFrame) -> list[str]:
    whole = table[table["op"] == ""]
    return [" ".join(row) for row in whole[["n_past", "n_eval", "sequences"]].to_numpy()]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_rows_as_here(library: Path, stand_in: Path, tmp_path: Path, threads: int) -> None:
    """Calls, operations, threads and what each operation is, of libraries that dlopen brings."""
    words = [stand_in, stand_in.parent, threads, "shift"]
    result = watched(library, words, "cortex-a72", tmp_path / "arm")
    assert (result.returncode, result.stdout, result.stderr) == (7, "text of the program\n", "")
    arm = table_of(tmp_path / "arm")
    assert calls(arm) == ["0 5 1", "5 3 1", "8 1 1", "9 2 2"]
    assert sorted(arm["thread"].unique()) == ["", *map(str, range(threads))]
    if NATIVE_ARM or synthetic_llama.compiler() is None:
        return
    (tmp_path / "built").mkdir()
    here = synthetic_llama.build(tmp_path / "built")
    (tmp_path / "here").mkdir()
    environment = program.environment(tmp_path / "here", True, "", program.library())
    words = [here, here.parent, threads, "shift"]
    subprocess.run(list(map(str, words)), env=environment, capture_output=True, timeout=SECONDS)
    assert told(arm) == told(table_of(tmp_path / "here"))


def test_killed_on_arm(library: Path, stand_in: Path, tmp_path: Path) -> None:
    """All that was recorded until then is there."""
    result = watched(library, [stand_in, stand_in.parent, 2, "kill"], "cortex-a72", tmp_path / "arm")
    assert result.returncode != 0
    assert len(calls(table_of(tmp_path / "arm"))) == 4


@pytest.fixture(scope="module")
def libraries() -> Path:
    """llama.cpp's own for arm64 Linux."""
    try:
        return peer.libraries()
    except ToolError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def driver(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("driver") / "llama_driver"
    subprocess.run(
        [*compiler, "-std=c11", "-O1", "-Wall", "-Werror", str(DRIVER), "-o", str(binary), "-ldl"], check=True
    )
    return binary


# two threads that wait for each other spin, on a busy machine for long
@pytest.mark.parametrize(("cpu", "threads", "steps"), [("neoverse-n1", 1, 20), ("max,sve=off", 2, 4)])
def test_prebuilt_llama_cpp(
    library: Path, libraries: Path, driver: Path, tmp_path: Path, cpu: str, threads: int, steps: int
) -> None:
    model = write_tiny(tmp_path / "tiny.gguf")
    names = [next(libraries.glob(f"lib{name}.v*.so")).name for name in ("llama", "ggml")]
    words = [driver, libraries, *names, model, threads]
    words += [tmp_path / "log", steps]
    alone = on_arm(words, cpu)
    assert alone.returncode == 7, alone.stderr
    result = watched(library, words, cpu, tmp_path / "arm")
    assert (result.returncode, result.stdout, result.stderr) == (7, alone.stdout, alone.stderr)

    table = table_of(tmp_path / "arm")
    assert calls(table) == (tmp_path / "log").read_text().splitlines()
    assert "\n# other_graphs: 1 that" in (tmp_path / "arm" / "run.csv").read_text()  # the shift
    work = table[~table["op"].isin(NO_OPERATION)]
    assert set(work.groupby(["call", "thread"]).size()) == {NODES}
    assert sorted(work["thread"].unique()) == [str(i) for i in range(threads)]
    assert "unknown" not in set(work["op"])
    gate = work[work["tensor"] == "blk.1.ffn_gate"].iloc[0]
    assert gate[["type", "shape", "weight_bytes"]].tolist() == ["Q4_0", "96x64", str(96 * 64 * 18 // 32)]
    times = table.assign(duration=table["duration_ns"].astype(int)).groupby(["call", "thread"])["duration"].sum()
    for call, total in times.xs("", level="thread").items():
        assert (times.loc[call] == total).all()
