"""Models in several files: the same bits as in one, and one clear line where a part is missing or disagrees."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli_runs import Cli
from gguf_bytes import STRING, U32, pair
from split_files import Lie, part_name, split_model

from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.gguf.split import paths_of


def refusal(path: Path) -> str:
    with pytest.raises(Q4Error) as caught:
        GGUFFile.open(path)
    assert str(caught.value).isprintable() and "\n" not in str(caught.value)
    return str(caught.value)


def test_the_same_logits_as_from_one_file(tmp_path: Path, tiny: Path) -> None:
    first = split_model(tiny, tmp_path)
    with Engine.load(tiny, n_threads=1) as whole, Engine.load(first, n_threads=1) as split:
        assert [path.name for path in split.gguf.paths] == [part_name("model", number, 3) for number in range(3)]
        assert list(split.gguf.tensors) == list(whole.gguf.tensors)
        ids = whole.tokenizer.encode("Hello there")
        assert np.array_equal(whole.session().decode(ids), split.session().decode(ids))


def test_quantise_makes_one_file_of_them(tmp_path: Path, tiny: Path, q4: Cli) -> None:
    first = split_model(tiny, tmp_path)
    assert q4("quantize", first, tmp_path / "split.gguf", "--type", "q8_0").code == 0
    assert q4("quantize", tiny, tmp_path / "whole.gguf", "--type", "q8_0").code == 0
    assert (tmp_path / "split.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_no_output_replaces_a_part(tmp_path: Path, tiny: Path, q4: Cli) -> None:
    first = split_model(tiny, tmp_path)
    second = tmp_path / part_name("model", 1, 3)
    before = second.read_bytes()
    assert "is the file to read" in q4("quantize", first, second, "--type", "q8_0").err
    assert q4("run", first, "-p", "x", "--capture", second).code == 2
    assert second.read_bytes() == before


def test_a_missing_part(tmp_path: Path, tiny: Path, q4: Cli) -> None:
    first = split_model(tiny, tmp_path)
    second = tmp_path / part_name("model", 1, 3)
    second.unlink()
    assert refusal(first) == f"{second}: no such file; {first.name} needs it, as part 2 of it"
    shown = q4("inspect", first, "--json")
    data = json.loads(shown.out)
    assert shown.code == 0 and "no such file" in shown.err and len(data["faults"]) == 1
    assert data["metadata"]["general.architecture"] == "llama" and data["files"] == [str(first)]


def test_another_part_than_the_first(tmp_path: Path, tiny: Path, q4: Cli) -> None:
    split_model(tiny, tmp_path)
    second = tmp_path / part_name("model", 1, 3)
    assert refusal(second).endswith(f"is part 2 of 3 of a model; give the first one, {part_name('model', 0, 3)}")
    shown = q4("inspect", second)
    assert shown.code == 0 and "split.no = 1" in shown.out and "is part 2 of 3" in shown.err


def test_a_name_that_does_not_fit(tmp_path: Path, tiny: Path) -> None:
    first = split_model(tiny, tmp_path)
    renamed = first.rename(tmp_path / "other.gguf")
    assert refusal(renamed).endswith("is part 1 of 3 of a model, expected a name that ends in -00001-of-00003.gguf")


def test_parts_swapped(tmp_path: Path, tiny: Path) -> None:
    first = split_model(tiny, tmp_path)
    shutil.copy(tmp_path / part_name("model", 2, 3), tmp_path / part_name("model", 1, 3))
    assert "says that it is part 3 of 3, expected part 2 of 3" in refusal(first)


def test_a_truncated_part(tmp_path: Path, tiny: Path) -> None:
    first = split_model(tiny, tmp_path)
    third = tmp_path / part_name("model", 2, 3)
    third.write_bytes(third.read_bytes()[:-100])
    message = refusal(first)
    assert message.startswith(f"{third}: ") and "bytes are missing" in message


LIES = {
    "number past the count": (0, Lie(number=3), "key 'split.no' is 3, expected 0 to 2"),
    "another count": (1, Lie(count=4), "says that it is part 2 of 4, expected part 2 of 3"),
    "a whole model": (1, Lie(count=1), "says that it is a whole model, expected part 2 of 3"),
    "more tensors than there are": (0, Lie(n_tensors=999), "key 'split.tensors.count' is 999, but its 3 files have 21"),
    "another architecture": (
        2,
        Lie(pairs=(pair("general.architecture", STRING, "qwen2"),)),
        "key 'general.architecture' differs from that of model-00001-of-00003.gguf",
    ),
    "a number of another type": (1, Lie(pairs=(pair("general.alignment", STRING, "x"),)), "'general.alignment'"),
    "another number of layers": (1, Lie(pairs=(pair("llama.block_count", U32, 7),)), "key 'llama.block_count' differs"),
}


@pytest.mark.parametrize("name", LIES)
def test_parts_that_disagree(tmp_path: Path, tiny: Path, name: str) -> None:
    number, lie, expected = LIES[name]
    first = split_model(tiny, tmp_path, lies={number: lie})
    assert expected in refusal(first)


def test_a_tensor_in_two_parts(tmp_path: Path, tiny: Path) -> None:
    first = split_model(tiny, tmp_path, count=2)
    content = bytearray((tmp_path / part_name("model", 0, 2)).read_bytes())
    second = tmp_path / part_name("model", 1, 2)
    with GGUFFile.open(second, tolerant=True) as file:
        name = next(name for name in file.tensors if name.startswith("blk.1.attn_"))
    with GGUFFile.open(first, tolerant=True) as file:
        twin = next(one for one in file.tensors if len(one) == len(name) and one.startswith("blk.0."))
    assert content.count(twin.encode()) == 1
    first.write_bytes(content.replace(twin.encode(), name.encode()))
    assert f"tensor '{name}' is also in {first.name}" in refusal(first)


def test_names_of_parts() -> None:
    assert paths_of(Path("a/b-00002-of-00002.gguf")) == [Path("a") / part_name("b", number, 2) for number in range(2)]
    assert paths_of(Path("a/b-2-of-2.gguf")) == [Path("a/b-2-of-2.gguf")]


@pytest.mark.parametrize("n_missing", [1, 33, 1000])
def test_inspect_of_a_file_cut_short(tmp_path: Path, tiny: Path, q4: Cli, n_missing: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:-n_missing])
    with GGUFFile.open(tiny) as file:
        last = max(info.offset + info.n_bytes for info in file.tensors.values())
    padding = tiny.stat().st_size - last
    data = json.loads(q4("inspect", path, "--json").out)
    assert data["missing_bytes"] == max(n_missing - padding, 0) and len(data["tensors"]) == 21
    if n_missing > padding:
        assert f"the file is cut short: {n_missing - padding} bytes are missing" in q4("inspect", path).out
        assert f"{n_missing - padding} bytes are missing" in q4("run", path, "-p", "x").err


def test_inspect_of_a_file_cut_inside_its_head(tmp_path: Path, tiny: Path, q4: Cli) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny.read_bytes()[:2000])
    shown = q4("inspect", path)
    assert shown.code == 1 and shown.out == "" and shown.err.startswith(f"error: {path}: ")
