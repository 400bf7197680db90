"""Times each matrix kernel of this machine with pyperf: `python tests/bench/kernels.py --type q4_0 -o kernels.json`.

Needs `pip install -e '.[bench]'`. The kernels run as the engine runs them, from a plan of one product whose operation
times itself: GEMV on a matrix much larger than any cache, GEMM on 2816 rows. Values are milliseconds a product;
`python -m pyperf compare_to` compares two files. How they stand against the machine's limits says q4_kernel_bench.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from q4engine import _native
from q4engine.gguf.types import TensorType

TYPES = (TensorType.Q4_0, TensorType.Q4_1, TensorType.Q8_0, TensorType.Q6_K, TensorType.F16)
COLUMNS = 1024
GEMV_BYTES = 96_000_000
GEMM_ROWS, GEMM_TOKENS = 2816, 78
_OPERATIONS = 2  # native/recorder.h: stamps at every operation
_MATMUL = 2  # its place in the plan


class Product:
    """A matrix of synthetic weights and a session that multiplies ``n_tokens`` embeddings with it."""

    def __init__(self, kind: TensorType, rows: int, n_tokens: int, n_threads: int, features: str | None) -> None:
        row = np.random.default_rng(0).integers(0, 64, kind.row_bytes(COLUMNS), np.uint8)  # every scale is finite
        table = np.zeros((1, COLUMNS), np.float32) + np.linspace(-1, 1, COLUMNS, dtype=np.float32)
        self.model = _native.Model(
            n_threads=n_threads,
            n_threads_batch=0,
            cpus=None,
            features=features,
            kv_form=None,
            n_layers=1,
            tables=[(table.view(np.uint8).ravel(), TensorType.F32.value, 1, COLUMNS)],
            vectors=[],
            weights=[(kind.name, kind.value, COLUMNS, 0, [(np.tile(row, rows), rows)])],
            buffers=[COLUMNS, rows],
            rope_tables=[],
            plan=[
                ("embed", "embedding", -1, False, {"out": 0, "table": 0, "scale": 1.0}),
                ("quantize", "quantize", -1, False, {"source": 0}),
                ("matmul", kind.name, -1, False, {
                    "source": 0, "out": 1, "out_col": 0, "weight": 0, "bias": -1, "add": False, "scale": 1.0,
                    "logit_cap": 0.0,
                }),
            ],
            release=False,
        )  # fmt: skip
        self._session = _native.Session(self.model, n_tokens, n_tokens)
        self._session.record(_OPERATIONS, [])
        self._tokens = np.zeros(n_tokens, np.int32)
        self._logits = np.empty((n_tokens, rows), np.float32)
        self._n_threads = n_threads
        kernel = self.model.kernels()[0]
        self.kernel = kernel[6] if n_tokens == 1 else kernel[7]

    def seconds(self) -> float:
        """One product: from the first thread's start to the end of the barrier behind it."""
        self._session.decode(self._tokens, 0, len(self._tokens) > 1, self._logits)
        stamps = np.frombuffer(self._session.recorded()[-1]["stamps"], np.uint64).reshape(self._n_threads, -1)
        first, last = 2 * _MATMUL, 2 * _MATMUL + 2  # marks: the walk's start, then two an operation
        return int(stamps[:, last].max() - stamps[:, first].min()) / 1e9


def product(kind: TensorType, gemm: bool, n_threads: int, features: str | None) -> Product:
    """The matrix that a kernel is timed on."""
    rows = GEMM_ROWS if gemm else GEMV_BYTES // kind.row_bytes(COLUMNS) // 32 * 32
    return Product(kind, rows, GEMM_TOKENS if gemm else 1, n_threads, features)


def timer(make: Callable[[], Product]) -> Callable[[int], float]:
    """pyperf's time function. The matrix is made in the process that measures, and once."""
    made = cache(make)
    return lambda loops: sum(made().seconds() for _ in range(loops))


def main() -> None:
    import pyperf

    def pass_on(command: list[str], args: argparse.Namespace) -> None:
        for name in ("type", "threads", "features"):
            if getattr(args, name) is not None:
                command += [f"--{name}", str(getattr(args, name))]

    runner: Any = pyperf.Runner(processes=3, values=5, add_cmdline_args=pass_on)
    runner.argparser.add_argument("--type", choices=[kind.name.lower() for kind in TYPES], help="default: all")
    runner.argparser.add_argument("--threads", type=int, default=1)
    runner.argparser.add_argument("--features", help="as the environment variable Q4_CPU_FEATURES")
    args = runner.parse_args()
    for kind in TYPES:
        for gemm in (False, True):
            if args.type in (None, kind.name.lower()):
                name = f"{kind.name.lower()} {'gemm' if gemm else 'gemv'}, {args.threads} threads"
                runner.bench_time_func(
                    name, timer(lambda kind=kind, gemm=gemm: product(kind, gemm, args.threads, args.features))
                )


if __name__ == "__main__":
    main()
