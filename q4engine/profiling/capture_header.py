"""The head of a capture: which engine, model and machine it is of."""

from __future__ import annotations

from datetime import UTC, datetime

from q4engine import __version__, machine
from q4engine.engine import Engine
from q4engine.profiling.pmus import core_pmus, slots_of
from q4engine.profiling.recording import kv_bytes_by_window, kv_bytes_per_position, weight_bytes_per_token

_COMMAND_LENGTH = 2000


def capture_header(engine: Engine, command: str | None) -> dict[str, object]:
    """Keys of docs/capture-format.md that the engine and the machine give; None where not known."""
    kernels = dict.fromkeys(name for choice in engine.kernels for name in (choice.gemv, choice.gemm))
    return {
        "model": model_name(engine),
        "model_file": engine.gguf.path.name,
        "bytes_per_token": weight_bytes_per_token(engine),
        "kv_bytes_per_token": kv_bytes_per_position(engine),
        "kv_form": None if engine.kv_form == "f16" else engine.kv_form,
        "kv_windows": ",".join(f"{window}:{each}" for window, each in kv_bytes_by_window(engine).items()) or None,
        "n_layers": engine.config.n_layers,
        "n_threads": engine.n_threads,
        **_prompt_threads(engine),
        "kernels": ",".join(kernels) or None,
        **machine_header(command),
    }


def machine_header(command: str | None) -> dict[str, object]:
    """Keys that the machine gives, and who wrote the capture when."""
    return {
        "q4engine_version": __version__,
        "commit": machine.commit(),
        "arch": machine.architecture(),
        "cpu": machine.cpu_name(),
        "midr": ",".join(f"0x{midr:08x}" for midr in machine.midrs()) or None,
        "slots": slots_of(core_pmus()),
        "governor": ",".join(machine.governors()) or None,
        "command": None if command is None else command[:_COMMAND_LENGTH],
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _prompt_threads(engine: Engine) -> dict[str, object]:
    """Where calls of many tokens have other threads: how many, and from how many tokens on."""
    if engine.native is None or engine.n_threads_batch == engine.n_threads:
        return {}
    return {"n_threads_batch": engine.n_threads_batch, "batch_tokens": engine.native.batch_tokens()}


def model_name(engine: Engine) -> str:
    """Name, size and quantisation, as people say it: smollm2 135M Q4_0."""
    metadata = engine.gguf.metadata
    name = metadata.get("general.basename") or metadata.get("general.name") or engine.config.architecture
    # of the layers: the output matrix often keeps another type
    weights = [op.index("weight") for op in engine.graph.ops if op.kind in ("matmul", "experts") and op.layer >= 0]
    types = [engine.graph.weights[index][0].type.name for index in weights]
    quantisation = max(dict.fromkeys(types), key=types.count) if types else None
    size = metadata.get("general.size_label")
    return " ".join(str(part) for part in (name, size, quantisation) if part)
