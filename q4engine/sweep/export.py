"""Results for other tools: a row a sample (CSV, Parquet), or llama-bench's objects, one a combination and phase."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from q4engine.bench.statistics import deviation, mean
from q4engine.errors import Q4Error
from q4engine.sweep.combination import AXES, NAMES, Combination
from q4engine.sweep.results import DONE, NOISY, Run, Sample

_OF_RUN = ("block", "attempt", "state", "reason", "started")
_OF_SAMPLE = ("phase", "sample", "tokens", "seconds", "tokens_per_second")
_OF_MACHINE = ("cpu", "kernel", "q4engine", "commit")
COLUMNS = (*NAMES, *_OF_RUN, *_OF_SAMPLE, *_OF_MACHINE, "engine_version", "engine_commit", "others_percent_of_cpu")

_WHOLE = (*(axis.name for axis in AXES if axis.is_number), "block", "attempt", "sample", "tokens")
_NUMBERS = ("seconds", "tokens_per_second", "others_percent_of_cpu")


def rows(runs: Iterable[Run]) -> Iterator[tuple[Any, ...]]:
    """A row a sample in the order of ``COLUMNS``; of a run without samples one, so that nothing goes missing."""
    for run in runs:
        head = (*run.combination.values, *(getattr(run, name) for name in _OF_RUN))
        tail = (
            *(run.machine.get(name) for name in _OF_MACHINE),
            run.engine.get("engine"),
            run.engine.get("commit"),
            run.conditions.get("others_percent_of_cpu"),
        )
        numbers: dict[str, int] = {}
        for sample in run.samples:
            number = numbers[sample.phase] = numbers.get(sample.phase, -1) + 1
            rate = sample.tokens / sample.seconds
            yield (*head, sample.phase, number, sample.tokens, sample.seconds, rate, *tail)
        if not run.samples:
            yield (*head, *(None,) * len(_OF_SAMPLE), *tail)


def to_csv(runs: Sequence[Run]) -> bytes:
    """A line a sample, with a head."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(runs))
    return text.getvalue().encode()


def to_jsonl(runs: Sequence[Run]) -> bytes:
    """An object a line with llama-bench's names (``-o jsonl``), one for each combination and each of pp and tg."""
    groups: dict[tuple[Combination, str], list[tuple[Run, list[Sample]]]] = {}
    for run in runs:
        for phase in ("prefill", "decode") if run.state in (DONE, NOISY) else ():
            if found := [sample for sample in run.samples if sample.phase == phase]:
                groups.setdefault((run.combination, phase), []).append((run, found))
    lines = [json.dumps(_as_llama_bench(combination, phase, found)) for (combination, phase), found in groups.items()]
    return "".join(f"{line}\n" for line in lines).encode()


def _as_llama_bench(combination: Combination, phase: str, found: Sequence[tuple[Run, list[Sample]]]) -> dict[str, Any]:
    first = found[0][0]
    samples = [sample for _, of_run in found for sample in of_run]
    nanoseconds = [round(sample.seconds * 1e9) for sample in samples]
    rates = [sample.tokens / sample.seconds for sample in samples]
    is_prompt = phase == "prefill"
    behind = 0 if is_prompt else combination.number("prompt")
    return {
        "build_commit": first.engine.get("commit") or first.machine.get("commit") or "unknown",
        "cpu_info": first.machine.get("cpu"),
        "backends": "CPU",
        "engine": combination["engine"],
        "engine_version": first.engine.get("engine"),
        "model_filename": combination["model"],
        "model_type": combination["type"] or None,
        "model_size": first.engine.get("model_size"),
        "model_n_params": first.engine.get("model_n_params"),
        "n_batch": combination["batch"],
        "type_k": combination["kv"],
        "type_v": combination["kv"],
        "n_threads": combination["threads"],
        "cpu_mask": combination["mask"] or None,
        "cpu_features": combination["features"] or None,
        "build": combination["build"],
        "machine": combination["machine"],
        "n_prompt": combination.number("prompt") if is_prompt else 0,
        "n_gen": 0 if is_prompt else combination.number("generate"),
        "n_depth": combination.number("depth") + behind,
        "test_time": first.started,
        "avg_ns": round(mean(nanoseconds)),
        "stddev_ns": round(deviation(nanoseconds)),
        "avg_ts": mean(rates),
        "stddev_ts": deviation(rates),
        "samples_ns": nanoseconds,
        "samples_ts": rates,
    }


def to_parquet(runs: Sequence[Run]) -> bytes:
    """The rows of the CSV with their types, the same of all results. Q4Error without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Q4Error("Parquet needs pyarrow: pip install pyarrow") from None
    found = list(rows(runs))
    kinds = {**dict.fromkeys(_WHOLE, pyarrow.int64()), **dict.fromkeys(_NUMBERS, pyarrow.float64())}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    table = pyarrow.table({name: [row[number] for row in found] for number, name in enumerate(COLUMNS)}, schema)
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


FORMATS: dict[str, Callable[[Sequence[Run]], bytes]] = {"csv": to_csv, "jsonl": to_jsonl, "parquet": to_parquet}
