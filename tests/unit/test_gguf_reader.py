"""The reader's values against the gguf package's own reader, and what it gives back."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_bytes import BOOL, F32, F64, I8, I16, I32, I64, STRING, U8, U16, U32, U64, File, Tensor, array, pair

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFArray, GGUFFile
from q4engine.gguf.types import ValueType

SAMPLES = {
    U8: [0, 255],
    I8: [-128, 127],
    U16: [0, 65535],
    I16: [-32768, 32767],
    U32: [0, 1 << 31],
    I32: [-(1 << 31), 5],
    F32: [0.5, -1e30],
    BOOL: [True, False],
    STRING: ["", "höher"],
    U64: [0, (1 << 64) - 1],
    I64: [-(1 << 63), 9],
    F64: [1e300, -0.1],
}


def test_every_value_type(tmp_path: Path) -> None:
    pairs = [pair(f"scalar.{kind}", kind, values[1]) for kind, values in SAMPLES.items()]
    pairs += [array(f"array.{kind}", kind, values) for kind, values in SAMPLES.items()]
    pairs.append(array("empty", STRING, []))
    path = tmp_path / "values.gguf"
    path.write_bytes(File(pairs=pairs).build())
    with GGUFFile.open(path) as file:
        for kind, values in SAMPLES.items():
            stored = np.float32(values[1]) if kind == F32 else values[1]
            assert file.metadata[f"scalar.{kind}"] == stored
            assert type(file.metadata[f"scalar.{kind}"]) is type(values[1])
            whole = file.metadata[f"array.{kind}"]
            assert len(whole) == 2
            assert whole.type == kind
            assert whole.to_list() == ([float(np.float32(value)) for value in values] if kind == F32 else values)
            assert whole.to_list(limit=1) == whole.to_list()[:1]
        assert file.metadata["empty"].to_list() == []
        assert file.metadata.type_of("array.4") is ValueType.ARRAY
        assert "absent" not in file.metadata
        assert file.metadata.integer("absent", 7) == 7


def assert_same(path: Path) -> None:
    """Every key, value, tensor row and tensor byte as the gguf package's reader gives them."""
    theirs = gguf.GGUFReader(path)
    with GGUFFile.open(path) as ours:
        expected = {key: field for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
        assert list(ours.metadata) == list(expected)
        for key, field in expected.items():
            value = ours.metadata[key]
            assert (value.to_list() if isinstance(value, GGUFArray) else value) == field.contents(), key
        assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
        for tensor in theirs.tensors:
            info = ours.tensors[tensor.name]
            assert info.type == int(tensor.tensor_type)
            assert info.shape == tuple(int(dim) for dim in reversed(tensor.shape))
            assert (info.offset, info.n_bytes) == (tensor.data_offset, tensor.n_bytes)
            assert info.n_elements == tensor.n_elements
            assert np.array_equal(info.data, np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1))
        assert ours.alignment == theirs.alignment


@pytest.mark.parametrize("alignment", [32, 64, 4096])
def test_small_file_equals_the_gguf_package(tmp_path: Path, alignment: int) -> None:
    path = tmp_path / "small.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    writer.add_float32("llama.rope.freq_base", 1e6)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_token_list(["<s>", "ä", "\u0120the", ""])
    writer.add_token_scores([0.0, -1.5, 2.25, 0.0])
    rng = np.random.default_rng(0)
    writer.add_tensor("f32", rng.standard_normal((3, 5)).astype(np.float32))
    writer.add_tensor("f16", rng.standard_normal(7).astype(np.float16))
    q8 = gguf.quants.quantize(rng.standard_normal((4, 64)).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q8", q8, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert_same(path)


def test_qwen2_vocabulary_equals_the_gguf_package(shared_data: Path) -> None:
    """152k tokens and 151k merges; the two other vocabularies of the kind are the same code."""
    assert_same(shared_data / "tokenizers" / "ggml-vocab-qwen2.gguf")


def test_views_are_read_only_and_share_the_mapping(tmp_path: Path) -> None:
    path = tmp_path / "views.gguf"
    path.write_bytes(File().build())
    file = GGUFFile.open(path)
    raw = file.tensors["one"].data
    scores = file.metadata.reals("tokenizer.ggml.scores")
    assert not raw.flags.writeable and not raw.flags.owndata and not scores.flags.owndata
    assert raw.tolist() == list(range(36))
    file.close()
    assert raw[35] == 35  # the view keeps the mapping
    with pytest.raises(Q4Error, match="closed"):
        _ = file.tensors["one"].data


def test_tensor_lookup_names_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "lookup.gguf"
    path.write_bytes(File().build())
    with GGUFFile.open(path) as file:
        assert file.tensor("one", (2, 32)).name == "one"
        with pytest.raises(Q4Error, match=r"tensor 'three' is missing"):
            file.tensor("three")
        with pytest.raises(Q4Error, match=r"tensor 'one' has shape \(2, 32\), expected \(32, 2\)"):
            file.tensor("one", (32, 2))


def test_tensors_may_lie_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "order.gguf"
    path.write_bytes(File(tensors=[Tensor("b", (8,), 0, offset=64), Tensor("a", (32, 2))]).build())
    with GGUFFile.open(path) as file:
        assert list(file.tensors) == ["b", "a"]
        assert file.tensors["a"].data[0] == 0
        assert file.tensors["b"].data[0] == 64
