"""The head of a watched program's capture: what its model's file tells."""

from __future__ import annotations

from pathlib import Path

from endless import write_endless

from q4engine.gguf.reader import GGUFFile
from q4engine.watch.records import Process
from q4engine.watch.watched_model import describe_model


def of_files(*paths: Path) -> dict[str, object]:
    notes = [("model", str(path)) for path in paths]
    return describe_model(Process(1, 0, 0.0, notes, [], 0, {}), [])


def test_a_file(tmp_path: Path) -> None:
    path = write_endless(tmp_path / "synthetic-tiny.gguf")
    found = of_files(path, path)
    with GGUFFile.open(path) as gguf:
        architecture = gguf.metadata.get("general.architecture")
        assert found["n_layers"] == gguf.metadata.get(f"{architecture}.block_count")
        table = gguf.tensors["token_embd.weight"]
        rest = sum(tensor.n_bytes for tensor in gguf.tensors.values()) - table.n_bytes
        of_table = table.n_bytes // table.shape[0] if "output.weight" in gguf.tensors else table.n_bytes
    assert found["bytes_per_token"] == rest + of_table
    assert found["model_file"] == "synthetic-tiny.gguf"


def test_files_that_say_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    assert of_files(broken) == {"model_file": "broken.gguf"}
    assert of_files(tmp_path / "gone.gguf") == {"model_file": "gone.gguf"}
    assert of_files(broken, tmp_path / "other.gguf") == {}
    assert of_files() == {}
