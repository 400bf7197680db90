"""Synthetic results in llama-bench's forms: the same ones in each, with the columns of its newer and older versions."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

GIB = 1 << 30
SIZE = 3 * GIB // 2

Result = dict[str, Any]

HEAD = {
    "build_commit": "abc1234",
    "build_number": 6000,
    "cpu_info": "Synthetic A",
    "gpu_info": "",
    "backends": "CPU",
    "model_filename": "models/synthetic-q4_0.gguf",
    "model_type": "synthetic 1B Q4_0",
    "model_size": SIZE,
    "model_n_params": 1_500_000_000,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 4,
    "cpu_mask": "0x0",
    "cpu_strict": False,
    "poll": 50,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": 99,
    "use_mmap": True,
}
# The oldest versions have a column for each backend, and no depth.
OLD = ("build_commit", "build_number", "cpu_info", "gpu_info", "model_filename", "model_type", "model_size",
       "model_n_params", "n_batch", "n_threads", "n_gpu_layers")  # fmt: skip


def result(n_prompt: int, n_gen: int, rates: Sequence[float], n_depth: int = 0, **changes: Any) -> Result:
    """A test with these samples in tokens/s."""
    tests = {"n_prompt": n_prompt, "n_gen": n_gen, "n_depth": n_depth, "test_time": "2026-01-01T00:00:00Z"}
    times = [round(1e9 * (n_prompt + n_gen) / rate) for rate in rates]
    return {
        **HEAD,
        **tests,
        "avg_ns": round(fmean(times)),
        "stddev_ns": round(stdev(times)) if len(times) > 1 else 0,
        "avg_ts": fmean(rates),
        "stddev_ts": stdev(rates) if len(rates) > 1 else 0.0,
        "samples_ns": times,
        "samples_ts": list(rates),
    } | changes


def old(one: Result) -> Result:
    """The same by a version of 2023: 16-bit keys and values."""
    flags = {"cuda": 0, "opencl": 0, "metal": 0, "gpu_blas": 0, "blas": 1, "f16_kv": 1, "mul_mat_q": 1}
    kept = {name: value for name, value in one.items() if name in OLD}
    rest = {name: value for name, value in one.items() if name not in HEAD and name != "n_depth"}
    return kept | flags | rest


def as_json(results: Sequence[Result]) -> str:
    return json.dumps(results, indent=2) + "\n"


def as_jsonl(results: Sequence[Result]) -> str:
    return "".join(json.dumps(one) + "\n" for one in results)


def _texts(one: Result) -> dict[str, str]:
    """Truth is 1 and 0, and there are no samples."""
    kept = {name: value for name, value in one.items() if not isinstance(value, list)}
    return {name: f"{value:f}" if isinstance(value, float) else str(int(value) if isinstance(value, bool) else value)
            for name, value in kept.items()}  # fmt: skip


def as_csv(results: Sequence[Result]) -> str:
    rows = [_texts(one) for one in results]
    lines = [",".join(rows[0]), *(",".join(f'"{text}"' for text in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def as_sql(results: Sequence[Result], table: str = "llama_bench") -> str:
    """Quotes within a value are not doubled."""
    rows = [_texts(one) for one in results]
    columns = ",\n".join(f"  {name} TEXT" for name in rows[0])
    lines = [f"CREATE TABLE IF NOT EXISTS {table} (\n{columns}\n);\n"]
    for row in rows:
        values = ", ".join(f"'{text}'" for text in row.values())
        lines.append(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values});")
    return "\n".join(lines) + "\n"


def as_md(results: Sequence[Result], blank: str = "") -> str:
    """``blank``: what stands between pp or tg and the number, as it did in older versions."""
    lines = [
        "| model                    |       size |     params | backend    | threads |            test |        t/s |",
        "| ------------------------ | ---------: | ---------: | ---------- | ------: | --------------: | ---------: |",
    ]
    for one in results:
        parts = [f"{name}{blank}{n}" for name, n in (("pp", one["n_prompt"]), ("tg", one["n_gen"])) if n]
        test = "+".join(parts) + (f" @ d{one['n_depth']}" if one["n_depth"] else "")
        size = f"{one['model_size'] / GIB:.2f} GiB"
        cells = [one["model_type"], size, "1.50 B", "CPU", one["n_threads"], test,
                 f"{one['avg_ts']:.2f} ± {one['stddev_ts']:.2f}"]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join([*lines, "", f"build: {results[0]['build_commit']} ({results[0]['build_number']})"]) + "\n"


def around(middle: float, n: int = 5, percent: float = 1.0) -> list[float]:
    """Samples whose median is the middle, evenly within so many percent of it."""
    return [middle * (1 + percent / 100 * math.sin(2 * at - n + 1)) for at in range(n)]
