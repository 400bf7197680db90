"""Times loading a model against llama.cpp, in turns, and measures the memory that each takes.

    python -m pip install llama-cpp-python==0.3.36       (in an environment that has q4engine)
    python tests/models/gigabyte.py MODEL.gguf           (a synthetic model of 1 GB)
    python toolchains/load_times.py MODEL.gguf [-c 4096] [-t 2] [-r 5]

Each load is a process of its own, up to the point where a prompt could follow: model and a context of -c tokens, whose
KV cache is fp16 in both. The file is read once before, so that it lies in the page cache. Wall time is that of the load
without the interpreter's start and imports, CPU time is user and system of the same span, peak is the process's VmHWM.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_QUIET = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)


def load_q4engine(args: argparse.Namespace) -> dict[str, Any]:
    from q4engine.engine import Engine

    start = _now()
    engine = Engine.load(args.model, n_threads=args.threads)
    session = engine.session(n_ctx=args.ctx_size)
    found = _taken(start)
    session.truncate(0)
    return found


def load_llama_cpp(args: argparse.Namespace) -> dict[str, Any]:
    import llama_cpp  # type: ignore[import-not-found, unused-ignore]

    llama_cpp.llama_log_set(_QUIET, None)
    start = _now()
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(args.model).encode(), llama_cpp.llama_model_default_params())
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_threads, params.n_threads_batch = args.ctx_size, args.threads, args.threads
    if not llama_cpp.llama_init_from_model(model, params):
        raise SystemExit("llama.cpp does not load it")
    return _taken(start)


SIDES = {"q4engine": load_q4engine, "llama.cpp": load_llama_cpp}


def _now() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def _taken(start: tuple[float, float]) -> dict[str, Any]:
    end = _now()
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return {"wall": end[0] - start[0], "cpu": end[1] - start[1], "peak": peak * 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("-c", "--ctx-size", type=int, default=4096)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args)))
        return
    size = len(args.model.read_bytes())
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(args.rounds):
        for side in SIDES:
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{args.model.name}: {size / 1e6:.1f} MB, {args.threads} threads, context {args.ctx_size}, {args.rounds} rounds"
    )
    for side, rounds in found.items():
        wall, cpu, peak = (statistics.median(each[name] for each in rounds) for name in ("wall", "cpu", "peak"))
        low, high = min(each["wall"] for each in rounds), max(each["wall"] for each in rounds)
        print(f"  {side:<10} {wall:.3f} s ({low:.3f} to {high:.3f}), CPU {cpu:.3f} s, peak {peak / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
