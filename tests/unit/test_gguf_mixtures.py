"""Which type each tensor takes: llama.cpp's choices, written out by hand for one model of 16 layers."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_bytes import STRING, U32, File, Tensor, pair
from models.tiny import TINY_LLAMA, write_tiny

from q4engine.gguf import GGUFFile, TensorType
from q4engine.gguf.mixtures import TARGETS, Mixture
from q4engine.gguf.quantize_file import quantize_file

# Of 16 layers: the first two, the last two, and every third from the fifth on (2 + 2 of each three).
MORE_BITS = {0, 1, 4, 7, 10, 13, 14, 15}
NAMES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def mixture(folder: Path, target: str, columns: int = 256, tied: bool = False, n_layers: int = 16, **keys: int) -> dict:
    """The types of a model's tensors by name."""
    path = folder / "m.gguf"
    names = ["token_embd.weight", *([] if tied else ["output.weight"])]
    names += [f"blk.{layer}.{name}.weight" for layer in range(n_layers) for name in NAMES]
    names += ["blk.0.ffn_gate_inp.weight", "blk.0.attn_qkv.weight", "blk.0.ffn_down_exps.weight"]
    tensors = [Tensor(name, (columns, 1), 0, 4 * columns * index) for index, name in enumerate(names)]
    pairs = [pair("general.architecture", STRING, "llama"), pair("llama.block_count", U32, n_layers)]
    pairs += [pair(f"llama.{key}", U32, value) for key, value in keys.items()]
    path.write_bytes(File(pairs=pairs, tensors=tensors, data_bytes=0).build() + bytes(4 * columns * len(names)))
    with GGUFFile.open(path) as file:
        found = Mixture.of(file, TARGETS[target])
        return {name: found.type_of(info).name for name, info in file.tensors.items()}


@pytest.mark.parametrize(("target", "plain"), [("q4_k_m", "Q4_K"), ("q5_k_m", "Q5_K")])
def test_more_bits_for_some(tmp_path: Path, target: str, plain: str) -> None:
    types = mixture(tmp_path, target)
    assert types["output.weight"] == "Q6_K" and types["token_embd.weight"] == plain
    for layer in range(16):
        for name in NAMES:
            more = name in ("attn_v", "ffn_down") and layer in MORE_BITS
            assert types[f"blk.{layer}.{name}.weight"] == ("Q6_K" if more else plain), (layer, name)
    assert types["blk.0.attn_qkv.weight"] == types["blk.0.ffn_down_exps.weight"] == "Q6_K"
    assert types["blk.0.ffn_gate_inp.weight"] == "F32"


def test_one_type(tmp_path: Path) -> None:
    types = mixture(tmp_path, "q6_k")
    assert {types[name] for name in types if "gate_inp" not in name} == {"Q6_K"}
    types = mixture(tmp_path, "q5_0")
    assert types["output.weight"] == "Q6_K" and types["blk.0.attn_v.weight"] == types["token_embd.weight"] == "Q5_0"


def test_an_embedding_that_is_the_output(tmp_path: Path) -> None:
    assert mixture(tmp_path, "q4_k_m", tied=True)["token_embd.weight"] == "Q6_K"


@pytest.mark.parametrize(
    ("target", "columns", "plain", "more", "output"),
    [
        ("q4_k_m", 576, "Q5_0", "Q8_0", "Q8_0"),
        ("q5_k_m", 576, "Q8_0", "Q8_0", "Q8_0"),
        ("q6_k", 576, "Q8_0", "Q8_0", "Q8_0"),
        ("q5_0", 576, "Q5_0", "Q5_0", "Q8_0"),
        ("q4_k_m", 176, "F16", "F16", "F16"),
    ],
)
def test_columns_that_fit_no_block(
    tmp_path: Path, target: str, columns: int, plain: str, more: str, output: str
) -> None:
    types = mixture(tmp_path, target, columns)
    assert types["blk.2.attn_v.weight"] == types["blk.0.ffn_up.weight"] == plain
    assert types["blk.0.attn_v.weight"] == more and types["output.weight"] == output


def test_eight_experts_and_70b(tmp_path: Path) -> None:
    types = mixture(tmp_path, "q4_k_m", expert_count=8)
    assert types["blk.3.attn_v.weight"] == types["blk.3.attn_k.weight"] == "Q8_0"
    assert types["blk.3.attn_output.weight"] == "Q5_K" and types["blk.3.ffn_up.weight"] == "Q4_K"
    keys = {"attention.head_count": 64, "attention.head_count_kv": 8}
    types = mixture(tmp_path, "q4_k_m", n_layers=80, **keys)
    assert types["blk.11.attn_v.weight"] == "Q5_K" and types["blk.0.attn_v.weight"] == "Q6_K"


@pytest.mark.parametrize("target", TARGETS)
def test_the_file_says_what_it_is(tmp_path: Path, target: str) -> None:
    source = write_tiny(tmp_path / "in.gguf", TINY_LLAMA.with_changes(dim=256, weight_type=TensorType.F32))
    quantize_file(source, tmp_path / "out.gguf", TARGETS[target], "reference")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        told = {"f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}
        assert file.metadata.integer("general.file_type") == told[target]
        assert all(info.type.usable for info in file.tensors.values())
