"""What `q4engine mcp` offers: each tool's arguments as a JSON schema, and the command that does it.

A tool runs a command in a process of its own, so that what it does is what a terminal gives, nothing of it gets among
the protocol's lines, and a call that is given up ends with its process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from q4engine.errors import Q4Error, shown

Arguments = Mapping[str, Any]
Schema = dict[str, Any]

_MOST = 1 << 20
_MODEL: Schema = {"type": "string", "minLength": 1, "description": "path of a GGUF file"}
_CAPTURE: Schema = {"type": "string", "minLength": 1, "description": "path of a capture"}
_THREADS: Schema = {"type": "integer", "minimum": 1, "maximum": 256}
_JSON: Schema = {"type": "boolean", "description": "all figures as JSON instead of the report's text"}


def _lengths(description: str) -> Schema:
    length = {"type": "integer", "minimum": 0, "maximum": _MOST}
    return {"type": "array", "items": length, "minItems": 1, "maxItems": 16, "description": description}


def _count(description: str, low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}


@dataclass(frozen=True)
class Tool:
    """words: the command's, of checked arguments.  measures: whether it wants the machine for itself.

    read: what the command printed as a JSON object; None where it is a text.
    """

    name: str
    description: str
    properties: Mapping[str, Schema]
    required: tuple[str, ...]
    words: Callable[[Arguments], list[str]]
    read: Callable[[Arguments, str], Any]
    measures: bool = False

    @property
    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
            "additionalProperties": False,
        }


def command(tool: Tool, arguments: Arguments) -> list[str]:
    """The process to start."""
    return [sys.executable, "-P", "-m", "q4engine", *tool.words(arguments)]


def find(name: str) -> Tool:
    """Q4Error where there is none of the name."""
    for tool in TOOLS:
        if tool.name == name:
            return tool
    raise Q4Error(f"there is no tool {shown(name)}, expected {', '.join(tool.name for tool in TOOLS)}")


def _option(arguments: Arguments, name: str, option: str) -> list[str]:
    """An option with its value, a list with commas; a flag where that is true. None where it was not given."""
    value = arguments.get(name)
    if value is None or value is False:
        return []
    if value is True:
        return [option]
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return [f"{option}={text}"]


def _options(arguments: Arguments, names: Mapping[str, str]) -> list[str]:
    return [word for name, option in names.items() for word in _option(arguments, name, option)]


def _path(text: str) -> str:
    """As a command's own argument, not as an option of it."""
    return f"./{text}" if text.startswith("-") else text


def _inspect(arguments: Arguments) -> list[str]:
    options = _options(arguments, {"model": "--model", "kernels": "--kernels", "threads": "--threads"})
    return ["inspect", *options, "--json"]


_BENCH = {
    "model": "--model", "prompt": "--n-prompt", "generate": "--n-gen", "depth": "--n-depth", "threads": "--threads",
    "repetitions": "--repetitions", "compare_with_llama_cpp": "--vs=llama-cpp",
}  # fmt: skip
_EXPLAIN = {
    "model": "--model", "threads": "--threads", "prompt": "--n-prompt", "generate": "--n-gen",
    "repetitions": "--repetitions", "check": "--check",
}  # fmt: skip
_READING = {"markers": "--markers", "core": "--core", "read_peak": "--read-peak", "json": "--json"}


def _stalls(arguments: Arguments) -> list[str]:
    return ["analyse", "stalls", _path(arguments["capture"]), *_options(arguments, _READING)]


def _compare(arguments: Arguments) -> list[str]:
    captures: Sequence[str] = arguments["captures"]
    names = {"by": "--by", "all": "--all", "json": "--json"}
    return ["analyse", "compare", *map(_path, captures), *_options(arguments, names)]


def _read(arguments: Arguments, text: str) -> Any:
    return json.loads(text)


def _read_where_asked(arguments: Arguments, text: str) -> Any:
    return json.loads(text) if arguments.get("json") else None


def _read_lines(arguments: Arguments, text: str) -> Any:
    return {"results": [json.loads(line) for line in text.splitlines()]}


def _read_file(arguments: Arguments, text: str) -> Any:
    """Without the list of tensors, which is long, unless that was asked for."""
    found = json.loads(text)
    if arguments.get("tensors") or "tensors" not in found:
        return found
    by_type: dict[str, dict[str, int]] = {}
    for tensor in found.pop("tensors"):
        sums = by_type.setdefault(tensor["type"], {"tensors": 0, "bytes": 0})
        sums["tensors"] += 1
        sums["bytes"] += tensor["bytes"]
    return {**found, "tensors_by_type": by_type}


TOOLS = (
    Tool(
        "inspect",
        "What a GGUF model file holds: metadata and tensors by type (with tensors: each one's shape and bytes); "
        "or, with kernels, which kernels would run it on this machine.",
        {
            "model": _MODEL,
            "tensors": {"type": "boolean", "description": "every tensor, too"},
            "kernels": {"type": "boolean", "description": "load the model and list its kernels instead"},
            "threads": _THREADS,
        },
        ("model",),
        _inspect,
        _read_file,
    ),
    Tool(
        "bench",
        "Measure the speed of prompts and of generation on this machine, each beside its limit: a plain read of the "
        "weights, or int8 products. Takes seconds to minutes.",
        {
            "model": _MODEL,
            "prompt": _lengths("prompt lengths (default 512; 0: none)"),
            "generate": _lengths("tokens to generate (default 128; 0: none)"),
            "depth": _lengths("tokens in the cache before a test (default 0)"),
            "threads": {"type": "array", "items": _THREADS, "minItems": 1, "maxItems": 16},
            "repetitions": _count("default 5", 1, 1000),
            "compare_with_llama_cpp": {"type": "boolean", "description": "in turns with an installed llama-cpp-python"},
        },
        ("model",),
        lambda arguments: ["bench", *_options(arguments, _BENCH), "--output=jsonl"],
        _read_lines,
        measures=True,
    ),
    Tool(
        "explain",
        "Why a model is as slow as it is on this machine: what bounds prompts and generation, faults with their "
        "evidence, changes with a computed gain; check tries them. Takes about a minute, with check several.",
        {
            "model": _MODEL,
            "threads": _THREADS,
            "prompt": _count("tokens of a prompt (default 128)", 1, _MOST),
            "generate": _count("tokens to generate (default 32)", 1, _MOST),
            "repetitions": _count("default 5", 4, 1000),
            "check": {"type": "boolean", "description": "try each change in turns with what was asked for"},
        },
        ("model",),
        lambda arguments: ["explain", *_options(arguments, _EXPLAIN), "--json"],
        _read,
        measures=True,
    ),
    Tool(
        "stalls",
        "What bounds each phase of a capture (of q4engine run --capture, perf stat, Streamline, simpleperf or "
        "topdown-tool): memory, the core, the front end or waiting, by counters, with margins and confidence.",
        {
            "capture": _CAPTURE,
            "markers": {"type": "string", "minLength": 1, "description": "markers file of q4engine run --markers"},
            "core": {"type": "string", "minLength": 1, "description": "core that counted, such as neoverse-v2"},
            "read_peak": {"type": "number", "exclusiveMinimum": 0, "description": "GB/s that the machine reads"},
            "json": _JSON,
        },
        ("capture",),
        _stalls,
        _read_where_asked,
    ),
    Tool(
        "compare",
        "What differs between captures of engines, builds, settings or machines: which phases, operations and events, "
        "by how much, and how sure that is. The first is what the others are compared with.",
        {
            "captures": {"type": "array", "items": _CAPTURE, "minItems": 2, "maxItems": 26},
            "by": {"enum": ["operation", "tensor"], "description": "tensor: products told apart by their weights"},
            "all": {"type": "boolean", "description": "what did not change, too"},
            "json": _JSON,
        },
        ("captures",),
        _compare,
        _read_where_asked,
    ),
)
