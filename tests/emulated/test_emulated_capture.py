"""SmolLM2 under the emulator with counting plugin and simulated caches: what a capture of it must say.

Run by ``make test-arm``, which sets up the emulated Python with the current wheel.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from emulate import instruction_shares, plugin
from emulate.__main__ import emulated_capture
from emulate.capture import GROUP

from analysis.calls import Calls

PROMPT = "The quick brown fox jumps over the lazy dog, then counts: 1, 2, 3, 5, 8, 13, 21, 34."
CACHES = plugin.Caches(l1=(32 << 10, 4), l2=(512 << 10, 8), l3=(2 << 20, 16))


@dataclass
class Emulated:
    path: Path
    header: dict[str, str]
    rows: list[dict[str, str]]
    events: list[str]

    def calls(self) -> list[dict[str, str]]:
        return [row for row in self.rows if not row["op"]]

    def operations(self, call: dict[str, str]) -> list[dict[str, str]]:
        return [row for row in self.rows if row["op"] and row["call"] == call["call"]]


def count(row: dict[str, str], event: str) -> int:
    return int(row[f"{event}@{GROUP}"])


@pytest.fixture(scope="module")
def emulated(arm_runner: object, smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    """A prefill and two decode calls with one thread; caches smaller than the model. About 20 s."""
    path = tmp_path_factory.mktemp("emulated") / "capture.csv"
    arguments = ["-t", "1", "-p", PROMPT, "--no-chat", "-n", "3", "--temp", "0"]
    emulated_capture(smollm2_path, arguments, path, caches=CACHES)
    lines = path.read_text(encoding="utf-8").splitlines()
    keys = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    events = [column.removesuffix(f"@{GROUP}") for column in rows[0] if column.endswith(f"@{GROUP}")]
    return Emulated(path, keys, rows, events)


def test_the_header_says_what_it_is(emulated: Emulated) -> None:
    assert emulated.header["emulated"] == "yes"
    assert emulated.header["counters"] == "available"
    assert emulated.header["simulated_caches"].startswith("L1 32 KiB 4 ways, L2 512 KiB 8 ways, L3 2048 KiB 16 ways")
    assert emulated.header[f"group.{GROUP}"].split("events=")[1].split(",") == emulated.events
    assert not {"read_peak_gbps", "midr", "governor"} & emulated.header.keys()


def test_nothing_measured_is_mixed_in(emulated: Emulated) -> None:
    assert all("@" not in column or column.endswith(f"@{GROUP}") for column in emulated.rows[0])
    assert not [event for event in emulated.events if event.startswith(("STALL", "CPU_CYCLES"))]
    assert {row["freq_hz"] or row["page_faults"] or row["migrations"] for row in emulated.rows} == {""}


def test_calls_are_those_of_the_run(emulated: Emulated) -> None:
    calls = [(row["phase"], int(row["n_past"]), int(row["n_eval"])) for row in emulated.calls()]
    n_prompt = calls[0][2]
    assert 20 < n_prompt <= 80
    assert calls == [("prefill", 0, n_prompt), ("decode", n_prompt, 1), ("decode", n_prompt + 1, 1)]


def test_operations_add_up_to_their_call(emulated: Emulated) -> None:
    for call in emulated.calls():
        for event in emulated.events:
            total = sum(count(row, event) for row in emulated.operations(call))
            assert total == pytest.approx(count(call, event), rel=0.01), (call["call"], event)


def test_classes_add_up_to_all_instructions_but_a_few(emulated: Emulated) -> None:
    names = ("LD_SPEC", "ST_SPEC", "DP_SPEC", "ASE_SPEC", "VFP_SPEC", "BR_RETIRED", "CRYPTO_SPEC")
    for call in emulated.calls():
        rest = count(call, "INST_RETIRED") - sum(count(call, name) for name in names)
        assert 0 <= rest < 0.01 * count(call, "INST_RETIRED")


def test_decode_reads_the_model_once_a_token(emulated: Emulated) -> None:
    weights, kv = (int(emulated.header[key]) for key in ("bytes_per_token", "kv_bytes_per_token"))
    for call in emulated.calls()[1:]:
        expected = weights + kv * (int(call["n_past"]) + 1)
        assert count(call, "L3D_CACHE_REFILL") * CACHES.line == pytest.approx(expected, rel=0.05)


def test_decode_refills_more_an_instruction_than_prefill(emulated: Emulated) -> None:
    prefill, *decode = [count(row, "L3D_CACHE_REFILL") / count(row, "INST_RETIRED") for row in emulated.calls()]
    assert min(decode) >= 5 * prefill


def test_products_are_i8mm_in_prefill_and_dotprod_in_decode(emulated: Emulated) -> None:
    prefill, decode, _ = emulated.calls()
    assert count(prefill, "matrix_products") > 10 * count(prefill, "dot_products")
    assert count(decode, "dot_products") > 0
    assert count(decode, "matrix_products") == 0


@pytest.mark.parametrize("command", ["stalls", "roofline", "timeline"])
def test_analysis_reads_it_and_claims_no_stalls(emulated: Emulated, command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", f"analysis.{command}", emulated.path], capture_output=True, text=True, check=True
    )
    assert "EMULATED" in result.stdout
    assert "not measured" in result.stdout
    assert not {"memory-bound", "compute-bound"} & set(result.stdout.split())


def test_the_break_down_covers_all_instructions(emulated: Emulated) -> None:
    rows = instruction_shares.counts_of(emulated.path)
    text = instruction_shares.render(rows)
    assert "gemv ffn_gate+ffn_up" in text
    for _, part in rows.groupby("phase"):
        operations, whole, tokens = instruction_shares.per_token(Calls(part))
        assert operations["INST_RETIRED"].sum() == pytest.approx(whole["INST_RETIRED"], rel=0.01)
        assert tokens == part[part["op"] == ""]["n_eval"].sum()
