"""What a JSON file is that holds none of perf's records: of known tools by name, of others by their keys."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from analysis.errors import printable
from analysis.readers.json_counts import holds_counts
from analysis.readers.json_records import KEYS

MOST_CHARACTERS = 1 << 16
_MOST_KEYS, _SHOWN = 200, 6
_TOKEN = re.compile(r'"(?:[^"\\]|\\.){0,2000}"|[{}\[\]:,]')
_NUMBER = re.compile(r'"\s{0,8}(?:-?[\d.,]{0,30}(?:[eE][+-]?\d{1,4})?%?|none|nan|inf|summary)\s{0,8}"')
_WORDS = ("thread", "core", "die", "socket", "node", "cluster", "cache", "cpu", "cgroup", "unit", "cpus")
"""Keys of perf's whose values are no numbers."""
_NO_COUNTS = "it holds no counts; record some with `perf stat -j` or `q4engine run --capture FILE.csv`"
_SPEEDS = "it holds speeds, no counts; `q4engine bench --capture DIR` records them for `python -m analysis.scaling DIR`"
_READ = "`python -m analysis.benchmarks` reads it; it holds no counts, which `q4engine bench --capture DIR` records"

# Keys of which a file of the tool has all, what it is, and what to do. The most telling first.
_KINDS: tuple[tuple[frozenset[str], str, str], ...] = (
    (
        frozenset(("traceEvents",)),
        "a trace for a viewer",
        "open it in ui.perfetto.dev; the counts are in the capture (--capture) of the same run",
    ),
    (
        frozenset(("ph", "ts", "name")),
        "a list of trace events",
        "open it in ui.perfetto.dev; it holds times, no counts",
    ),
    (
        frozenset(("Performance_counter",)),
        "an answer of WindowsPerf as JSON",
        "hand over what `wperf stat` prints without -json",
    ),
    (frozenset(("build_commit", "avg_ts")), "an answer of llama-bench", _READ),
    (frozenset(("n_prompt", "n_gen", "avg_ts")), "an answer of llama-bench", _READ),
    (frozenset(("pp", "tg", "speed_tg")), "an answer of llama-batched-bench", _SPEEDS),
    (frozenset(("timings", "predicted_per_second")), "an answer of llama-server", _NO_COUNTS),
    (frozenset(("request_throughput",)), "an answer of a serving benchmark", _NO_COUNTS),
    (frozenset(("captures", "format_version")), "a report of these commands (--json)", "name the capture behind it"),
    (frozenset(("stop_reason", "text")), "an answer of `q4engine run --json`", _NO_COUNTS),
    (
        frozenset(("linux-perf-json-version",)),
        "samples by `perf data convert`",
        "read `perf script` with analysis.functions",
    ),
    (frozenset(("benchmarks", "metadata")), "a result of pyperf", _NO_COUNTS),
    (frozenset(("benchmarks", "machine_info")), "a result of pytest-benchmark", _NO_COUNTS),
    (frozenset(("benchmarks", "context")), "a result of Google Benchmark", _NO_COUNTS),
    (frozenset(("results", "command", "mean")), "a result of hyperfine", _NO_COUNTS),
    (frozenset(("lscpu",)), "an answer of `lscpu -J`", "it describes a CPU; name it with --core beside a capture"),
    (frozenset(("sysstat",)), "a report of sadf", _NO_COUNTS),
    (
        frozenset(("model_type", "architectures")),
        "a model's configuration",
        "name a capture; the model goes to --model",
    ),
    (frozenset(("MetricName", "MetricExpr")), "a table of metrics", "name a capture; perf's tables are not read"),
    (frozenset(("EventName", "EventCode")), "a table of events", "name a capture; perf's tables are not read"),
    (frozenset(("ArchStdEvent",)), "a table of events", "name a capture; perf's tables are not read"),
    (
        frozenset(("$schema", "profiles")),
        "a profile for speedscope",
        "it holds samples, no counts; export `perf script`",
    ),
    (
        frozenset(("libs", "threads", "meta")),
        "a profile for Firefox",
        "it holds samples, no counts; export `perf script`",
    ),
)


class Seen(NamedTuple):
    """keys: those of the outermost objects, in order. all_keys: of inner ones too. is_list: a list is outermost.

    is_flat: no value of the outermost objects is a list or an object, nor words where perf has numbers.
    """

    keys: list[str]
    all_keys: set[str]
    is_list: bool
    is_flat: bool


def of_head(head: Sequence[str]) -> tuple[str, str] | None:
    """(what the file is, what to do), None where it is no JSON, or may be perf's."""
    text = "\n".join(head)[:MOST_CHARACTERS]
    seen = keys_of(text)
    if seen is None or seen.all_keys & KEYS - {"unit", "event", "interval"}:
        return None
    if not seen.keys and not _is_json(text):
        return None
    for keys, what, advice in _KINDS:
        if keys <= seen.all_keys:
            return what, advice
    if holds_counts(text):
        return None
    if seen.keys and seen.is_flat and not seen.is_list:
        return None  # records of `--metric-only` have no keys but the metrics' names
    return described(seen), f"perf's JSON has the keys counter-value and event; {_NO_COUNTS}"


def described(seen: Seen) -> str:
    """A JSON file in words, by the keys that it begins with."""
    shape = "a list" if seen.is_list else "an object"
    if not seen.keys:
        return f"JSON, {shape} without keys"
    more = ", …" if len(seen.keys) > _SHOWN else ""
    names = ", ".join(printable(key, 40) for key in seen.keys[:_SHOWN])
    objects, keys = " of objects" if seen.is_list else "", "keys" if len(seen.keys) > 1 else "key"
    return f"JSON of another tool, {shape}{objects} with the {keys} {names}{more}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def keys_of(text: str) -> Seen | None:
    """The keys of a JSON text that may be cut; None where it does not begin as one."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return None
    if not re.match(r"\ufeff?\s*(?:\{\s*(?:\"|\}|$)|\[\s*(?:[\[{\"\d\]-]|$|true|false|null))", text):
        return None  # a bracket of prose, a time in brackets
    found: dict[str, int] = {}
    depth, string, is_flat = 0, "", True
    before = key = ""
    is_list = text.lstrip("\ufeff \t\r\n").startswith("[")
    for match in _TOKEN.finditer(text):
        token = match[0]
        is_value, key = (token != ":" and before == ":"), key if token != ":" else string
        before = token
        if token == ":":
            if string:
                found.setdefault(string, depth)
            string = ""
        elif token[0] == '"':
            is_flat = is_flat and not (is_value and key not in _WORDS and not _NUMBER.fullmatch(token))
            string = token[1:-1]
        elif token in "{[":
            depth += 1
            is_flat = is_flat and depth <= 1 + is_list
        elif token != ",":
            depth -= 1
        if len(found) > _MOST_KEYS:
            break
    least = min(found.values(), default=0)
    return Seen([key for key, at in found.items() if at == least], set(found), is_list, is_flat)
