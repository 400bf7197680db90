"""The arithmetic contract on aarch64: on this CPU's kernels, and with its features switched off, the same golden hashes
as everywhere. Runs natively on an Arm machine, and under qemu once for each QEMU_CPU.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import bits
import pytest

from q4engine import _native

pytestmark = pytest.mark.skipif(platform.machine() not in ("aarch64", "arm64"), reason="runs on aarch64")

# What qemu's cores have, as kernels see it. neoverse-n1 has half-precision arithmetic, but no FMLAL.
CPU_FEATURES = {
    "cortex-a72": set(),
    "neoverse-n1": {"dotprod", "fp16"},
    "max,sve=off": {"dotprod", "i8mm", "fp16", "fhm"},
}


def expected_suffixes(features: str) -> tuple[set[str], set[str]]:
    """How the names of Q4_0's GEMV and GEMM kernels end when `features` is what there is, best first."""
    names = set(features.split(","))
    if "dotprod" not in names:
        return {"portable"}, {"portable"}
    few = "i8mm" if "i8mm" in names else "dotprod"  # a GEMV kernel's function for more than one token names it
    return {f"{few}_fhm" if "fhm" in names else few}, {few}


@pytest.fixture(scope="module", params=bits.SPECS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, bits.write_model(request.param, tmp_path_factory.mktemp("bits"))


@pytest.mark.skipif("QEMU_CPU" not in os.environ, reason="an emulated CPU is known by its name, this one is not")
def test_dispatch_sees_the_cpu_that_qemu_emulates() -> None:
    assert set(_native.cpu_features()) == CPU_FEATURES[os.environ["QEMU_CPU"]]


@pytest.mark.parametrize(("n_threads", "n_batch"), [(1, 1), (2, 7), (3, 512)])
def test_same_bits_on_this_cpu(model: tuple[str, Path], n_threads: int, n_batch: int) -> None:
    name, path = model
    expected = bits.golden()[name]
    assert bits.file_sha256(path) == expected["model"], "the writer of tiny models gives other bytes here"
    assert bits.outcome(path, n_threads, n_batch).sha256 == expected["logits"]


@pytest.mark.parametrize("features", bits.feature_lists())
def test_same_bits_with_features_switched_off(features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Q4_CPU_FEATURES", features)
    found = bits.outcome(bits.write_model("llama", tmp_path), 2, 7)
    assert found.sha256 == bits.golden()["llama"]["logits"]
    gemv, gemm = expected_suffixes(features)
    q4_0 = {kernel for kernel in found.kernels if "q4_0" in kernel}
    for part, suffixes in (("gemv", gemv), ("gemm", gemm)):
        ran = {kernel for kernel in q4_0 if part in kernel or "portable" in kernel}
        assert ran, (features, found.kernels)
        assert all(kernel.endswith(tuple(suffixes)) for kernel in ran), (features, ran)
