"""What a watched program's model is, for the head of a capture: from its file, else from the operations themselves."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from q4engine.errors import Q4Error
from q4engine.gguf.reader import GGUFFile
from q4engine.watch.nodes import Node
from q4engine.watch.records import Process, WatchedCall
from q4engine.watch.spans import walk


def describe_model(process: Process, calls: list[WatchedCall]) -> dict[str, object]:
    """Keys of docs/capture-format.md; None where not known. Of several models of a process nothing is said."""
    keys: dict[str, object] = {}
    files = list(dict.fromkeys(process.noted("model")))
    if len(files) == 1:
        keys["model_file"] = Path(files[0]).name
        keys |= _of_file(Path(files[0]))
    return keys | _of_operations(process, calls)


@lru_cache(8)  # each context asks
def _of_file(path: Path) -> dict[str, object]:
    try:
        with GGUFFile.open(path, tolerant=True) as gguf:
            metadata = gguf.metadata
            name = metadata.get("general.basename") or metadata.get("general.name")
            architecture = metadata.get("general.architecture")
            types = [tensor.type_name for tensor in gguf.tensors.values() if tensor.name.startswith("blk.")]
            usual = max(dict.fromkeys(types), key=types.count) if types else None
            size = metadata.get("general.size_label")
            return {
                "model": " ".join(str(part) for part in (name or architecture, size, usual) if part) or None,
                "n_layers": metadata.get(f"{architecture}.block_count"),
                "bytes_per_token": _bytes_per_token(gguf, str(architecture)),
            }
    except (Q4Error, OSError, TypeError, ValueError, OverflowError):  # a name or a number that is none
        return {}


def _bytes_per_token(gguf: GGUFFile, architecture: str) -> int:
    """All tensors; of an embedding with an output matrix of its own one row, of experts those that a token meets."""
    total = 0
    for tensor in gguf.tensors.values():
        n_bytes = tensor.n_bytes
        if "_exps" in tensor.name:
            used = gguf.metadata.get(f"{architecture}.expert_used_count") or 1
            n_bytes = n_bytes * int(used) // max(1, int(gguf.metadata.get(f"{architecture}.expert_count") or 1))
        elif tensor.name == "token_embd.weight" and "output.weight" in gguf.tensors:
            n_bytes //= max(1, tensor.shape[0])
        total += n_bytes
    return total


def _of_operations(process: Process, calls: list[WatchedCall]) -> dict[str, object]:
    """Of the first call of one token whose operations were recorded."""
    found: dict[str, object] = {}
    for watched in walk(process, {id(call) for call in calls}) if process.operations else ():
        if not watched.threads:
            continue
        found["n_threads"] = max(len(watched.threads), int(str(found.get("n_threads", 0))))
        if watched.call.n_eval == 1:
            nodes = [span.node for span in watched.threads[0].spans if span.node is not None]
            found |= _sums({id(node): node for node in nodes})
            break
    return found


def _sums(nodes: dict[int, Node]) -> dict[str, object]:
    read = [node.weight_bytes for node in nodes.values() if node.weight_bytes is not None]
    kept = [node.kv_row_bytes for node in nodes.values() if node.kv_row_bytes]
    return {
        **({"bytes_per_token": sum(read)} if read else {}),
        **({"kv_bytes_per_token": sum(kept)} if kept else {}),
    }
