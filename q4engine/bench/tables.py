"""Results as Markdown, CSV, JSON (whole or a line a test) and SQL. Fields that llama-bench has too carry its names."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.terminal import encodable, holds_all
from q4engine.bench.model import ModelFacts
from q4engine.bench.runner import Result, Series
from q4engine.bench.statistics import deviation, mean, median

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One line of a report."""

    model: ModelFacts
    result: Result


# ---- Markdown --------------------------------------------------------------------------------------------------------

_COLUMNS = ("model", "size", "params", "threads", "test", "t/s", "rate", "of peak")
_PEER_COLUMNS = ("llama.cpp t/s", "ratio")
_POWER_COLUMN = "J/token"
_CAN_GO = ("params", "size", "rate", "threads", "llama.cpp t/s", "of peak", "model")  # in this order


class Markdown:
    """A table whose lines can be printed as results come in. ``width``: of the models' descriptions.

    ``most``: characters that a line may have, None: any number. What does not fit is left out; CSV and JSON have it.
    """

    def __init__(self, with_peer: bool, width: int = 0, most: int | None = None, with_power: bool = False) -> None:
        columns = _COLUMNS + (_PEER_COLUMNS if with_peer else ()) + ((_POWER_COLUMN,) if with_power else ())
        least = dict(zip(_COLUMNS + _PEER_COLUMNS, (width, 10, 8, 7, 15, 18, 14, 16, 18, 8), strict=True))
        widths = {name: max(len(name), least.get(name, 8)) for name in columns}
        for name in _CAN_GO:
            if most is not None and sum(widths.values()) + 3 * len(widths) + 1 > most:
                widths.pop(name, None)
        self._widths = list(widths.values())
        self._kept = [number for number, name in enumerate(columns) if name in widths]
        self._columns = columns
        self._left = "model" in widths  # columns that are text

    def head(self) -> list[str]:
        rule = ["-" * (width + 1) + (":" if i >= self._left else "-") for i, width in enumerate(self._widths)]
        return [self._line(self._columns), "|" + "|".join(rule) + "|"]

    def row(self, row: Row) -> str:
        model, result = row.model, row.result
        cells = [
            model.kind, f"{model.n_bytes / 2**20:.2f} MiB", f"{model.n_params / 1e6:.2f} M", str(result.n_threads),
            result.test.name, _rate(result.own), _work(result), _share(result),
        ]  # fmt: skip
        if result.peer:
            cells += [_rate(result.peer), "withheld" if result.ratio is None else f"{result.ratio:.2f}"]
        if _POWER_COLUMN in self._columns:
            joules = result.joules_per_token
            cells.append("–" if joules is None else f"{joules:.3g}")
        return self._line(cells)

    def _line(self, cells: Sequence[str]) -> str:
        padded = [
            encodable(cells[number]).rjust(width) if i >= self._left else encodable(cells[number]).ljust(width)
            for i, (number, width) in enumerate(zip(self._kept, self._widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"


def _rate(series: Series) -> str:
    return f"{series.mean:.2f} ± {series.deviation:.2f}"


def _work(result: Result) -> str:
    return "–" if result.rate is None else f"{result.rate:.1f} {_unit(result)}"


def _unit(result: Result) -> str | None:
    if not result.test.is_one_kind:
        return None
    return "GB/s" if result.test.n_gen else "GOP/s"


def _share(result: Result) -> str:
    if result.limit is None or result.percent_of_limit is None:
        return "withheld" if result.exceeds_limit else "–"
    return f"{result.percent_of_limit:.1f} % of {result.limit.rate:.1f}"


# ---- JSON and CSV ----------------------------------------------------------------------------------------------------


def as_dict(row: Row) -> dict[str, Any]:
    """All that is known of one test. Times in nanoseconds, ``_ts`` in tokens per second, rates in 10⁹ a second."""
    model, result = row.model, row.result
    test, limit = result.test, result.limit
    data: dict[str, Any] = {
        "model_filename": model.path,
        "model_type": model.kind,
        "model_size": model.n_bytes,
        "model_n_params": model.n_params,
        "load_ns": round(model.load_seconds * 1e9),
        "n_threads": result.n_threads,
        "n_batch": result.n_batch,
        "type_k": model.kv_form,
        "type_v": model.kv_form,
        "n_prompt": test.n_prompt,
        "n_gen": test.n_gen,
        "n_depth": test.depth,
        "test": test.name,
        "test_time": result.started,
        **_series(result.own),
        "bytes_per_test": result.work.n_bytes,
        "int8_macs_per_test": result.work.int8_macs,
        "rate": result.rate,
        "rate_unit": _unit(result),
        "limit": limit.name if limit else None,
        "limit_rate": limit.rate if limit else None,
        "percent_of_limit": result.percent_of_limit,
        "limit_samples": limit.samples if limit else [],
        "migrations": result.migrations,
        "others_percent_of_cpu": result.others,
        "before": result.before.as_dict(),
        "after": result.after.as_dict() if result.after else None,
        "repeated": result.repeated,
        "warnings": result.warnings(),
        "joules_per_token": result.joules_per_token,
        "energy": _energy(result),
        "peer": None,
    }
    if result.peer:
        data["peer"] = {"name": result.peer.target, "ratio": result.ratio, **_series(result.peer)}
    return data


def _energy(result: Result) -> dict[str, Any] | None:
    """The figure's sensors, and every sensor on its own: joules and watts over all repetitions."""
    if result.energy is None or not result.energy.spent:
        return None
    sensors = {spent.sensor.name: {"joules": spent.joules, "watts": spent.watts} for spent in result.energy.spent}
    return {"of": result.energy.name, "joules": result.energy.joules, "sensors": sensors}


def _series(series: Series) -> dict[str, Any]:
    nanoseconds = [round(seconds * 1e9) for seconds in series.seconds]
    warm_up = series.warm_up_seconds
    return {
        "avg_ns": round(mean(nanoseconds)),
        "stddev_ns": round(deviation(nanoseconds)),
        "avg_ts": series.mean,
        "stddev_ts": series.deviation,
        "median_ts": series.n_tokens / median(series.seconds),
        "drift_percent": series.drift,
        "warmup_ns": None if warm_up is None else round(warm_up * 1e9),
        "samples_ns": nanoseconds,
        "samples_ts": series.rates,
    }


def to_json(rows: Iterable[Row], machine: dict[str, Any]) -> str:
    """One object: the format's version, the machine, and an object a test with all samples."""
    data = {"format": FORMAT_VERSION, "machine": machine, "results": [as_dict(row) for row in rows]}
    return json.dumps(data, indent=2, ensure_ascii=not holds_all())


_CSV_FIELDS = (
    "model_filename", "model_type", "model_size", "model_n_params", "load_ns", "n_threads", "n_batch", "type_k",
    "type_v", "n_prompt", "n_gen", "n_depth", "test", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
    "median_ts", "drift_percent", "rate", "rate_unit", "limit", "limit_rate", "percent_of_limit", "migrations",
    "others_percent_of_cpu", "joules_per_token",
)  # fmt: skip
_CSV_MACHINE = ("q4engine", "commit", "cpu", "kernel")


def csv_lines(rows: Iterable[Row], machine: dict[str, Any], head: bool = True) -> list[str]:
    """A line a test, without the samples; the machine's and the peer's figures are columns."""
    peer_fields = ("avg_ts", "stddev_ts", "median_ts", "ratio")
    lines = []
    if head:
        lines.append(_csv([*_CSV_MACHINE, *_CSV_FIELDS, *(f"peer_{name}" for name in peer_fields)]))
    for row in rows:
        data = as_dict(row)
        peer = data["peer"] or {}
        values = [machine.get(name) for name in _CSV_MACHINE] + [data[name] for name in _CSV_FIELDS]
        lines.append(_csv(values + [peer.get(name) for name in peer_fields]))
    return lines


def _csv(values: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow("" if value is None else value for value in values)
    return text.getvalue()


def json_line(row: Row, machine: dict[str, Any]) -> str:
    """A test as one line of JSON, with the machine's facts in it; llama-bench's names for two of them."""
    data = {"build_commit": machine.get("commit"), "cpu_info": machine.get("cpu"), **machine, **as_dict(row)}
    return json.dumps(data, ensure_ascii=not holds_all())


_TABLE = "q4engine_bench"
_TEXTS = (
    "build_commit", "cpu_info", "kernel", "model_filename", "model_type", "test", "test_time", "rate_unit", "limit",
    "type_k", "type_v",
)  # fmt: skip


def sql_lines(row: Row, machine: dict[str, Any], head: bool = True) -> list[str]:
    """Statements for SQLite: a table with the columns of CSV, and the row. Numbers are as exact as Python has them."""
    named = {"q4engine": "q4engine_version", "commit": "build_commit", "cpu": "cpu_info", "kernel": "kernel"}
    data = as_dict(row)
    values = {named[name]: machine.get(name) for name in _CSV_MACHINE} | {name: data[name] for name in _CSV_FIELDS}
    lines = []
    if head:
        columns = (f'"{name}" {"TEXT" if name in (*_TEXTS, "q4engine_version") else "REAL"}' for name in values)
        lines.append(f"CREATE TABLE IF NOT EXISTS {_TABLE} ({', '.join(columns)});")
    names = ", ".join(f'"{name}"' for name in values)
    lines.append(f"INSERT INTO {_TABLE} ({names}) VALUES ({', '.join(map(_sql, values.values()))});")
    return lines


def _sql(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return repr(value) if math.isfinite(value) else "NULL"
    return "'" + str(value).replace("'", "''").replace("\0", "") + "'"
