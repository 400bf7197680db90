"""Instruction counts of the Arm kernels, exact under emulation: what was reached stays reached."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from host import find_program
from kernel_cost import mca
from kernel_cost.emulate import FOLDER, Emulator, Subject, build_driver
from qemu import find_qemu

cost = importlib.import_module("kernel_cost.__main__")


@pytest.fixture(scope="module")
def driver() -> tuple[Path, str]:
    if find_program("aarch64-linux-gnu-gcc") is None or find_qemu(plugins=True) is None:
        pytest.skip("needs aarch64-linux-gnu-gcc, and a qemu-aarch64 that takes plugins")
    return build_driver("gnu")


@pytest.fixture(scope="module")
def emulator(driver: tuple[Path, str]) -> Emulator:
    return Emulator(driver[0])


@pytest.mark.long
@pytest.mark.skipif(not mca.available(), reason=f"needs llvm-mca of LLVM {mca.LLVM}")
def test_counts_and_cycles_are_no_worse_than_the_floors(emulator: Emulator, driver: tuple[Path, str]) -> None:
    floors = json.loads((FOLDER / "floors.json").read_text()).get(driver[1])
    if floors is None:
        pytest.skip(f"no floors for {driver[1]}")
    rows = cost.measure(emulator, "", with_cycles=True)
    assert cost.below_floor(rows, floors) == []
    assert {row["name"] for row in rows} == floors.keys()


def test_counts_are_exact(emulator: Emulator) -> None:
    """A GEMV's instructions are linear in its panels, so three sizes lie on one line."""

    def total(rows: int) -> int:
        found = emulator.record(["kernel", "q4_0_gemv_dotprod_fhm", str(rows), "256", "1"])
        return sum(run.instructions * run.executions for run in found)

    assert total(48) - total(32) == total(32) - total(16) > 0


def test_a_trace_is_the_counted_instructions_in_order(emulator: Emulator) -> None:
    command = ["kernel", "q6_k_gemv_dotprod", "24", "512", "1"]
    counted = sum(run.instructions * run.executions for run in emulator.record(command))
    assert sum(run.instructions for run in emulator.record(command, trace=True)) == counted


def test_targets(emulator: Emulator) -> None:
    """Instructions a weight or multiply-accumulate that the layouts allow, whatever the compiler: assembly loops."""
    kernels = {subject.label: subject for subject in emulator.subjects()}
    targets = {
        "q4_0_gemv_dotprod_fhm": 0.20,
        "q6_k_gemv_dotprod": 0.27,
        "q4_k_gemv_dotprod": 0.19,
        "q5_k_gemv_dotprod": 0.28,
        "q4_0_gemm_i8mm": 0.095,
        "q4_k_gemm_i8mm": 0.075,
    }
    for name, most in targets.items():
        assert cost.count(emulator, kernels[name])["instructions"] <= most


@pytest.mark.skipif(not mca.available(), reason=f"needs llvm-mca of LLVM {mca.LLVM}")
def test_cycles_of_the_decode_kernel(emulator: Emulator) -> None:
    lines = mca.assembly(
        emulator.record(["kernel", "q4_0_gemv_dotprod_fhm", "64", "1024", "1"], trace=True),
        mca.disassemble(emulator.binary),
    )
    assert 64 * 1024 / mca.estimate(lines, mca.CORES[0]).cycles >= 11.5


def test_a_worse_figure_is_reported() -> None:
    floors = {"k": {"instructions": 0.2, "neoverse-n2": 11.5}}
    good = {"name": "k", "instructions": 0.2, "neoverse-n2": 11.5}
    assert cost.below_floor([good], floors) == []
    assert cost.below_floor([good | {"instructions": 0.2001}], floors) == ["k: instructions 0.2001, floor 0.2"]
    assert cost.below_floor([good | {"neoverse-n2": 11.49}], floors) == []
    assert cost.below_floor([good | {"neoverse-n2": 11.47}], floors) == ["k: neoverse-n2 11.47, floor 11.5"]
    assert cost.below_floor([], floors) == ["k: has a floor, but is not there"]


def test_shapes_of_the_slices() -> None:
    assert cost.shape(Subject("kernel", "q4_0_gemv_dotprod", "gemv", 32), full=False) == (64, 1024, 1)
    assert cost.shape(Subject("kernel", "q4_0_gemm_i8mm", "gemm", 32), full=False) == (32, 1024, 16)
    few = Subject("kernel", "q4_0_gemv_i8mm", "few", 32, tokens=8)
    assert (few.label, cost.shape(few, full=False)) == ("q4_0_gemv_i8mm x8", (64, 1024, 8))
