"""``q4engine inspect``: what a GGUF file holds, and which kernels would run it."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from analysis.terminal import fitted, holds_all
from q4engine.cli import options
from q4engine.cli.placing import add_placing
from q4engine.errors import shown

if TYPE_CHECKING:
    from q4engine.gguf import GGUFFile, TensorInfo

_EPILOG = """\
examples:
  q4engine inspect model.gguf
  q4engine inspect model.gguf --kernels -t 4
  Q4_CPU_FEATURES=none q4engine inspect model.gguf --kernels   what would run without SIMD kernels
  q4engine inspect model.gguf --json | jq .tensors[0]

Metadata and tensors are shown for every GGUF file, also of architectures and types that the engine does not run, and
where the file is cut short behind its head or other parts of the model are missing.
"""

_SHOWN_ELEMENTS = 6
_SHOWN_CHARS = 100


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "inspect",
        run,
        help="show a GGUF file's metadata, tensors and kernels",
        description="Show a GGUF file's metadata and tensors, and with --kernels what would run it.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    parser.add_argument("--kernels", action="store_true", help="load the model and show its kernels instead")
    options.add_engine(parser)
    add_placing(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print to stdout."""
    from q4engine.gguf import GGUFFile

    path = options.model_path(args)
    if args.kernels:
        return _kernels(args)
    with GGUFFile.open(path, tolerant=True) as file:
        for fault in file.faults:
            options.note(f"note: {fault}")
        if args.json:
            print(json.dumps(_as_data(file), ensure_ascii=not holds_all(), indent=2, allow_nan=False))
        else:
            _print_file(file)
    return 0


# ---- metadata and tensors --------------------------------------------------------------------------------------------


def _as_data(file: GGUFFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "version": file.version,
        "alignment": file.alignment,
        "files": [str(path) for path in file.paths],
        "missing_bytes": file.missing_bytes,
        "faults": file.faults,
        "metadata": {key: _value_as_data(value) for key, value in file.metadata.items()},
        "tensors": [
            {"name": info.name, "type": info.type_name, "shape": list(info.shape), "bytes": info.n_bytes}
            for info in file.tensors.values()
        ],
    }


def _value_as_data(value: Any) -> Any:
    """A scalar as it is, an array as its type, length and first elements; JSON has no NaN or infinity."""
    from q4engine.gguf import GGUFArray

    if isinstance(value, GGUFArray):
        first = [_value_as_data(element) for element in value.to_list(_SHOWN_ELEMENTS)]
        return {"type": value.type.name, "length": len(value), "first": first}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _print_file(file: GGUFFile) -> None:
    _say(f"{_safe(str(file.path))}: GGUF version {file.version}, alignment {file.alignment}")
    if len(file.paths) > 1:
        _say(f"with {', '.join(_safe(path.name) for path in file.paths[1:])}")
    if file.missing_bytes:
        _say(f"the file is cut short: {file.missing_bytes} bytes are missing")
    _say(f"\nmetadata, {len(file.metadata)} keys")
    for key, value in file.metadata.items():
        _say(f"  {_safe(key)} = {_value_as_text(value)}")
    _say(f"\ntensors, {len(file.tensors)}")
    width = max((len(_safe(name)) for name in file.tensors), default=0)
    for info in file.tensors.values():
        shape = " x ".join(map(str, info.shape))
        _say(f"  {_safe(info.name):{width}}  {info.type_name:8} {shape:>16}  {info.n_bytes or 'unknown':>12}")
    print("\ntensors by type")
    for name in dict.fromkeys(info.type_name for info in file.tensors.values()):
        _print_total(name, [info for info in file.tensors.values() if info.type_name == name])
    _print_total("all", list(file.tensors.values()))


def _print_total(name: str, tensors: list[TensorInfo]) -> None:
    n_elements, n_bytes = sum(info.n_elements for info in tensors), sum(info.n_bytes for info in tensors)
    _say(f"  {name:8} {len(tensors):5} tensors {n_elements:>14} weights {n_bytes:>14} bytes")


def _value_as_text(value: Any) -> str:
    from q4engine.gguf import GGUFArray

    if isinstance(value, GGUFArray):
        first = ", ".join(_value_as_text(element) for element in value.to_list(_SHOWN_ELEMENTS))
        more = ", …" if len(value) > _SHOWN_ELEMENTS else ""
        return f"[{first}{more}] ({len(value)} of {value.type.name})"
    return shown(value, _SHOWN_CHARS) if isinstance(value, str) else str(value)


def _say(text: str) -> None:
    print("\n".join(fitted(text.split("\n"))))


def _safe(text: str) -> str:
    """Names from the file without the control characters that a terminal would obey."""
    return text if text.isprintable() else shown(text)[1:-1]


# ---- kernels ---------------------------------------------------------------------------------------------------------


def _kernels(args: argparse.Namespace) -> int:
    from q4engine import _native
    from q4engine.cli.loading import kernel_rows, load_engine

    engine = load_engine(args, options.model_path(args))
    rows = kernel_rows(engine)
    if args.json:
        data = {
            "backend": engine.backend,
            "threads": engine.n_threads,
            "cpu_features": _features(_native),
            "operations": engine.variant,
            "kernels": rows,
            "weights": [vars(choice) for choice in engine.kernels],
        }
        print(json.dumps(data, indent=2))
        return 0
    print(f"backend {engine.backend}, {engine.n_threads} threads")
    _say(f"CPU features that kernels may use: {' '.join(_features(_native)) or 'none'}")
    print(f"operations other than matrix products: {engine.variant}")
    _say(f"\n{'weights':>7}  {'type':5} {'layout':20} {'GEMV (1 token)':28} GEMM (more tokens)")
    for row in rows:
        _say(f"{row['weights']:>7}  {row['type']:5} {row['layout']:20} {row['gemv']:28} {row['gemm']}")
    return 0


def _features(native: Any) -> list[str]:
    import os

    features: list[str] = native.cpu_features(os.environ.get("Q4_CPU_FEATURES"))
    return features
