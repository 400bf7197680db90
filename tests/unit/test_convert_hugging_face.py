"""Hugging Face folders: the model that they were made of comes back, bit for bit; whatever is odd is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import Cli
from hf_folders import CLASSES, write_folder
from models.tiny import TINY, write_tiny
from safetensors.numpy import load_file, save_file

from q4engine.convert.hf_rope import rope_tensors
from q4engine.convert.hugging_face import read_folder
from q4engine.convert.json_file import JsonObject
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.dequantize import dequantize_tensor


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = TINY["llama"].with_changes(weight_type=TensorType.F32)
    return write_tiny(tmp_path_factory.mktemp("source") / "tiny.gguf", spec)


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    return write_folder(source, tmp_path / "model")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refusal(folder: Path) -> str:
    with pytest.raises(Q4Error) as caught:
        read_folder(folder)
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("tied", [True, False])
def test_the_same_logits(tmp_path: Path, q4: Cli, name: str, tied: bool) -> None:
    spec = TINY[name].with_changes(weight_type=TensorType.F32, tied_output=tied)
    source = write_tiny(tmp_path / "tiny.gguf", spec)
    out = tmp_path / "out.gguf"
    converted = q4("convert", write_folder(source, tmp_path / "model"), out)
    assert converted.code == 0, converted.err
    with Engine.load(source, n_threads=1) as first, Engine.load(out, n_threads=1) as second:
        ids = first.tokenizer.encode("Hello <|im_start|> there 123")
        assert second.tokenizer.encode("Hello <|im_start|> there 123") == ids
        assert np.array_equal(first.session().decode(ids), second.session().decode(ids))
        assert second.tokenizer.stop_ids == first.tokenizer.stop_ids
        key = "tokenizer.chat_template"
        assert second.gguf.metadata.string(key) == first.gguf.metadata.string(key)


@pytest.mark.parametrize("kind", ["f16", "bf16", None])
def test_types(tmp_path: Path, folder: Path, q4: Cli, kind: str | None) -> None:
    """Weights that are halves stay what they are, to the bit; F16 and BF16 are rounded to the nearest."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    halves = {name: values.astype(np.float16) for name, values in tensors.items()}
    save_file(halves if kind is None else tensors, path)
    assert q4("convert", folder, tmp_path / "o.gguf", *(["--type", kind] if kind else [])).code == 0
    with GGUFFile.open(tmp_path / "o.gguf") as file:
        info = file.tensor("blk.0.ffn_up.weight")
        values = tensors["model.layers.0.mlp.up_proj.weight"]
        found = dequantize_tensor(info)
        if kind == "bf16":
            assert info.type is TensorType.BF16 and np.abs(found / values - 1).max() <= 2.0**-8
            bits = values.view(np.uint32).astype(np.uint64)
            nearest = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)
            assert np.array_equal(found, nearest)
        else:
            assert info.type is TensorType.F16
            assert np.array_equal(found, values.astype(np.float16).astype(np.float32))
        assert file.tensor("output_norm.weight").type is TensorType.F32


def test_several_files(tmp_path: Path, folder: Path, source: Path, q4: Cli) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for part, mine in parts.items():
        save_file({name: tensors[name] for name in mine}, folder / part)
    index = {"weight_map": {name: part for part, mine in parts.items() for name in mine}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert q4("convert", folder, tmp_path / "o.gguf").code == 0
    with GGUFFile.open(tmp_path / "o.gguf") as one, GGUFFile.open(source) as other:
        assert sorted(one.tensors) == sorted(other.tensors)
    (folder / next(iter(parts))).unlink()
    assert "no such file; model.safetensors.index.json names it" in refusal(folder)
    index["weight_map"][names[0]] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "'../elsewhere.safetensors', expected one of this folder" in refusal(folder)


def test_unknown_tensors(folder: Path, tmp_path: Path, q4: Cli) -> None:
    path = folder / "model.safetensors"
    whole = load_file(path)
    for name in ("model.vision.weight", "model.layers.2.mlp.up_proj.weight", "model.layers.0.mlp.extra.weight"):
        save_file(whole | {name: np.zeros(4, np.float32)}, path)
        assert f"tensor '{name}' is no part of a llama model" in refusal(folder)
    save_file(whole | {"model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(8, np.float32)}, path)
    assert len(read_folder(folder).tensors) == len(whole)
    del whole["model.layers.1.mlp.up_proj.weight"]
    save_file(whole, path)
    missing = q4("convert", folder, tmp_path / "o.gguf")
    assert missing.code == 1 and missing.err == f"error: {tmp_path}/o.gguf: tensor 'blk.1.ffn_up.weight' is missing\n"
    assert not (tmp_path / "o.gguf").exists()


def test_an_output_that_is_not_there(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["lm_head.weight"]
    save_file(tensors, path)
    assert "has no tensor 'lm_head.weight', and config.json says" in refusal(folder)
    change(folder / "config.json", tie_word_embeddings=None)
    assert "output.weight" not in [each.name for each in read_folder(folder).tensors]


def test_what_is_left_out_is_told(tmp_path: Path, folder: Path, q4: Cli) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({"id": 320, "content": "<image>", "special": True})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    found = q4("convert", folder, tmp_path / "o.gguf")
    assert (
        found.code == 0 and "the added token '<image>' has the id 320, expected 0 to 319; it is left out" in found.err
    )


CONFIGS = {
    "another architecture": ({"architectures": ["BertModel"]}, """'architectures' is ["BertModel"], expected one of"""),
    "no architecture": ({"architectures": None}, "'architectures' is missing"),
    "no layers": ({"num_hidden_layers": 0}, "'num_hidden_layers' is 0, expected an integer from 1"),
    "layers in words": ({"num_hidden_layers": "two"}, "'num_hidden_layers' is 'two', expected an integer"),
    "layers that are true": ({"num_hidden_layers": True}, "'num_hidden_layers' is true, expected an integer"),
    "absurd heads": ({"num_attention_heads": 1 << 40}, "'num_attention_heads' is 1099511627776"),
    "other heads": ({"num_attention_heads": 8}, "self_attn.q_proj.weight' has shape (64, 64), expected 128 rows"),
    "an epsilon that no float holds": ({"rms_norm_eps": 10**400}, "0000…, expected a finite number"),
    "an architecture that is a list": ({"architectures": [[]]}, "'architectures' is [[]], expected one of"),
    "an epsilon in words": ({"rms_norm_eps": "small"}, "'rms_norm_eps' is 'small', expected a finite number"),
    "another activation": ({"hidden_act": "relu"}, "'hidden_act' is 'relu', expected silu"),
    "RoPE of another kind": (
        {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
        "'rope_scaling.rope_type' is 'dynamic', which is not implemented for llama",
    ),
    "RoPE without a factor": ({"rope_scaling": {"type": "linear"}}, "'rope_scaling.factor' is missing"),
    "RoPE that is no object": ({"rope_scaling": 3}, "'rope_scaling' is 3, expected an object"),
    "llama3's RoPE the wrong way round": (
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0}},
        "'rope_scaling.high_freq_factor' is 1.0",
    ),
    "a vocabulary too small": ({"vocab_size": 300}, "has shape (320, 64), expected 300 rows as config.json says"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_broken_configs(folder: Path, name: str) -> None:
    changes, expected = CONFIGS[name]
    change(folder / "config.json", **changes)
    assert expected in refusal(folder)


def test_half_a_character(folder: Path) -> None:
    change(folder / "tokenizer_config.json", chat_template="\ud800", bos_token=[])
    assert "the string '\\ud800' is no text that UTF-8 has" in refusal(folder)
    change(folder / "tokenizer_config.json", chat_template=[{"name": []}, {"name": "default", "template": "x"}])
    assert read_folder(folder).pairs


def test_json_that_is_none(folder: Path) -> None:
    for content in (b"", b"{", b"[1]", b"\xff\xfe{", b"[" * 100_000):
        (folder / "config.json").write_bytes(content)
        assert "config.json: is no JSON" in refusal(folder)


def test_rope_factors_of_llama3(tmp_path: Path) -> None:
    """High frequencies stay, low ones are divided by the factor, those between lie between."""
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_attention_heads": 32,
        "hidden_size": 2048,
        "num_hidden_layers": 1,
        "rope_theta": 500000.0,
        "rope_scaling": scaling,
    }
    from q4engine.convert.hf_config import read_shape

    whole = JsonObject(tmp_path / "config.json", config)
    factors = rope_tensors(whole, 10000.0, read_shape(whole).head_dim)["rope_freqs.weight"]
    wavelengths = 2 * np.pi * 500000.0 ** (np.arange(32) / 32)
    assert (factors[wavelengths < 8192 / 4] == 1).all() and (factors[wavelengths > 8192] == 8).all()
    between = factors[(wavelengths > 8192 / 4) & (wavelengths < 8192)]
    assert len(between) > 1 and (np.diff(between) > 0).all() and between[0] > 1 and between[-1] < 8
