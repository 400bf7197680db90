"""Draws the example pictures of docs/analysis.md from synthetic captures: `python docs/examples/make.py [FOLDER]`.

The numbers are made up: they follow the shape of a 0.5B model on four cores, and no machine was measured for them.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from llama_bench_texts import around, as_jsonl, result  # noqa: E402
from synthetic_captures import Part, write_per_op  # noqa: E402

from analysis import benchmarks, compare, functions, roofline, scaling, stalls, timeline  # noqa: E402

GHZ = 2.8e9
# Weights of a 24-layer model in Q4_0, bytes: rows x columns x 4.5 / 8.
SHAPE = "151936x2048"
WEIGHTS = 151936 * 2048 * 4.5 / 8
HEADER = {
    "model": "synthetic 0.5B Q4_0",
    "midr": "0x410fd493",
    "cpu": "Neoverse-N2",
    "governor": "performance",
    "read_peak_gbps": 45.0,
    "bytes_per_token": round(WEIGHTS),
}


def _rates(be: float, m: float, ipc: float, simd: float, loads: float, gbps: float) -> dict[str, float]:
    """Counts a second of one thread: stall shares, instructions a cycle, their classes, bytes from memory."""
    instructions = GHZ * ipc
    refills = gbps * 1e9 / 64
    return {
        "CPU_CYCLES": GHZ,
        "STALL_BACKEND": GHZ * be,
        "STALL_BACKEND_MEM": GHZ * be * m,
        "STALL_FRONTEND": GHZ * 0.02,
        "INST_RETIRED": instructions,
        "INST_SPEC": instructions,
        "ASE_SPEC": instructions * simd,
        "VFP_SPEC": instructions * 0.01,
        "DP_SPEC": instructions * 0.12,
        "LD_SPEC": instructions * loads,
        "ST_SPEC": instructions * 0.02,
        "L1D_CACHE_REFILL": refills * 1.3,
        "L2D_CACHE_REFILL": refills * 1.05,
        "L3D_CACHE_REFILL": refills,
    }


def parts(threads: int) -> tuple[Part, ...]:
    """The operations of a call. Tokens share one memory: four threads read little more than two do."""
    per_thread = min(14.0, 38.0 / threads)
    stalled = 0.45 + 0.2 * (threads >= 4)
    return (
        Part("gemm", 1.6e-3, SHAPE, rates=_rates(0.2, 0.08, 2.6, 0.66, 0.17, 0.4), when="prompt"),
        Part(
            "gemv",
            WEIGHTS / (per_thread * 1e9),
            SHAPE,
            rates=_rates(stalled, 0.52, 0.95, 0.48, 0.33, per_thread),
            when="token",
        ),
        Part("attention", 1.2e-4, rates=_rates(0.3, 0.25, 1.6, 0.5, 0.3, 3.0)),
        Part("swiglu", 3e-5, rates=_rates(0.15, 0.1, 2.0, 0.6, 0.2, 0.2)),
        Part("rms_norm", 2e-5, scales=False, rates=_rates(0.25, 0.1, 1.4, 0.5, 0.3, 0.2)),
        Part("barrier", 1.5e-5, scales=False, rates=_rates(0.05, 0.05, 0.4, 0.0, 0.3, 0.0)),
    )


def captures(folder: Path) -> Path:
    """The folder of captures over threads and prompt lengths, below `folder`."""
    made = folder / "synthetic"
    made.mkdir()
    for threads in (1, 2, 4):
        for prompt in (16, 32, 64, 128, 256, 512):
            _write(made / f"synthetic-t{threads}-p{prompt}.csv", parts(threads), threads, prompt)
    return made


def slower(folder: Path) -> Path:
    """A run of four threads whose barriers take longer and whose products read a little less a second."""
    factors = {"barrier": 25.0, "gemv": 1.06}
    changed = [replace(part, seconds=part.seconds * factors.get(part.op, 1.0)) for part in parts(4)]
    return _write(folder / "synthetic-after.csv", changed, 4, 64)


# Samples of a hundred that fall into each function.
FUNCTIONS = {
    "prefill": {"q4_gemm_q4_0": 81, "q4_attention": 7, "q4_quantize_columns": 5, "q4_swiglu": 3, "__GI___pthread": 4},
    "decode": {
        "q4_gemv_q4_0": 74,
        "q4_barrier_wait": 13,
        "q4_attention": 6,
        "q4_rms_norm": 3,
        "q4_swiglu": 2,
        "q4_rope": 2,
    },
}


def samples(folder: Path) -> tuple[Path, Path]:
    """Text as `perf script` prints it, of a prompt and of tokens, and the markers file between them."""
    lines, at = [], 100.0
    for shares in FUNCTIONS.values():
        for name in [name for name, count in shares.items() for _ in range(5 * count)]:
            at += 0.001
            lines.append(f"q4engine 4711 {at:.6f}: 1000000 cpu-clock: 7f00 {name}+0x10 (/usr/lib/_native.abi3.so)")
    (folder / "synthetic-script.txt").write_text("\n".join(lines) + "\n")
    (folder / "synthetic-markers.csv").write_text(
        "time_ns,n_past,n_eval,phase\n100000500000,0,64,prefill\n100500500000,64,1,decode\n101100000000,65,0,\n"
    )
    return folder / "synthetic-script.txt", folder / "synthetic-markers.csv"


def speeds(folder: Path) -> Path:
    """Results as llama-bench writes them, of two builds on one machine; the second is faster at generating."""
    found = []
    for build, factor in ((6000, 1.0), (6100, 1.12)):
        for threads in (1, 2, 4):
            told = {"n_threads": threads, "build_number": build, "build_commit": f"synth{build}"}
            found.append(result(512, 0, around(95.0 * threads), **told))
            found.append(result(0, 128, around(factor * min(11.0 * threads, 26.0)), **told))
    (folder / "synthetic-speeds.jsonl").write_text(as_jsonl(found))
    return folder / "synthetic-speeds.jsonl"


def _write(path: Path, made_of: Sequence[Part], threads: int, prompt: int) -> Path:
    rates = _rates(0, 0, 0, 0, 0, 0)
    return write_per_op(
        path, made_of, threads=threads, prompt=prompt, n_decode=24, header=HEADER, counts_per_second=rates
    )


def _small(path: Path) -> None:
    """The picture with as many colours as it needs, which halves its file."""
    with Image.open(path) as drawn:
        drawn.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def main(folder: Path) -> None:
    """Write every example picture into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = captures(Path(scratch))
        one, after = str(made / "synthetic-t4-p64.csv"), str(slower(Path(scratch)))
        stalls.main([one, "--plot", str(folder / "stalls.png")])
        roofline.main([one, "--compute-peak", "1600", "--plot", str(folder / "roofline.png")])
        timeline.main([one, "--plot", str(folder / "timeline.png")])
        scaling.main([str(made), "--plot", str(folder / "scaling.png")])
        compare.main([one, after, "--plot", str(folder / "compare.png")])
        script, markers = map(str, samples(Path(scratch)))
        functions.main([script, "--markers", markers, "--plot", str(folder / "functions.png")])
        benchmarks.main([str(speeds(Path(scratch))), "--peak", "50", "--plot", str(folder / "benchmarks.png")])
    for name in ("stalls", "roofline", "timeline", "scaling", "compare", "functions", "benchmarks"):
        _small(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
