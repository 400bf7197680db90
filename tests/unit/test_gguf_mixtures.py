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


def mixture(
    folder: Path,
    target: str,
    columns: int = 256,
    tied: bool = False,
    n_layers: int = 16,
    importance: bool = False,
    **keys: int,
) -> dict[str, str]:
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
        found = Mixture.of(file, TARGETS[target], importance)
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


# Of 16 layers: the values' projection of the layers 0, 2, 4, 15, the FFN's second matrix of the layers 0, 1, 2, 15, the
# attention's output; each where no heads share their values, the first also where four do.
LAYERS = [
    ("q2_k", "Q3_K Q3_K Q3_K Q3_K", "Q4_K Q4_K Q4_K Q4_K", "Q3_K Q3_K Q3_K Q3_K", "Q3_K", "Q2_K"),
    ("q3_k_m", "Q5_K Q4_K Q4_K Q4_K", "Q5_K Q4_K Q4_K Q4_K", "Q5_K Q4_K Q4_K Q4_K", "Q4_K", "Q3_K"),
    ("q4_k_s", "Q5_K Q5_K Q4_K Q4_K", "Q5_K Q5_K Q4_K Q4_K", "Q5_K Q5_K Q4_K Q4_K", "Q4_K", "Q4_K"),
    ("q5_k_s", "Q5_K Q5_K Q5_K Q5_K", "Q5_K Q5_K Q5_K Q5_K", "Q5_K Q5_K Q5_K Q5_K", "Q5_K", "Q5_K"),
    ("iq4_nl", "IQ4_NL IQ4_NL IQ4_NL IQ4_NL", "Q5_K Q5_K Q5_K Q5_K", "Q5_K Q5_K IQ4_NL IQ4_NL", "IQ4_NL", "IQ4_NL"),
    ("iq4_xs", "IQ4_XS IQ4_XS IQ4_XS IQ4_XS", "Q5_K Q5_K Q5_K Q5_K", "Q5_K Q5_K IQ4_XS IQ4_XS", "IQ4_XS", "IQ4_XS"),
]


@pytest.mark.parametrize(("target", "values", "shared", "down", "attn_output", "plain"), LAYERS)
def test_layers(tmp_path: Path, target: str, values: str, shared: str, down: str, attn_output: str, plain: str) -> None:
    types = mixture(tmp_path, target)
    four = mixture(tmp_path, target, **{"attention.head_count": 8, "attention.head_count_kv": 2})
    assert [types[f"blk.{layer}.attn_v.weight"] for layer in (0, 2, 4, 15)] == values.split()
    assert [four[f"blk.{layer}.attn_v.weight"] for layer in (0, 2, 4, 15)] == shared.split()
    assert [types[f"blk.{layer}.ffn_down.weight"] for layer in (0, 1, 2, 15)] == down.split()
    assert types["blk.5.attn_output.weight"] == attn_output and types["blk.5.attn_q.weight"] == plain
    assert types["blk.5.ffn_up.weight"] == types["blk.5.attn_k.weight"] == types["token_embd.weight"] == plain
    assert types["output.weight"] == "Q6_K"


def test_an_importance_matrix_changes_the_first_layers(tmp_path: Path) -> None:
    """llama.cpp's guards: Q5_0 takes Q5_1 there, IQ4_NL needs none."""
    for target, first in (("q5_0", "Q5_1"), ("iq4_nl", "IQ4_NL"), ("q4_k_s", "Q5_K")):
        types = mixture(tmp_path, target, importance=True)
        assert types["blk.1.ffn_down.weight"] == first, target
        assert types["blk.2.ffn_down.weight"] == TARGETS[target].type.name


def test_an_embedding_that_is_the_output(tmp_path: Path) -> None:
    assert mixture(tmp_path, "q4_k_m", tied=True)["token_embd.weight"] == "Q6_K"


@pytest.mark.parametrize(
    ("target", "columns", "plain", "more", "output"),
    [
        ("q4_k_m", 576, "Q5_0", "Q8_0", "Q8_0"),
        ("q5_k_m", 576, "Q5_1", "Q8_0", "Q8_0"),
        ("q2_k", 576, "Q4_0", "Q4_0", "Q8_0"),
        ("iq4_xs", 576, "IQ4_NL", "IQ4_NL", "Q8_0"),
        ("iq4_nl", 576, "IQ4_NL", "IQ4_NL", "Q8_0"),
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
    types = mixture(tmp_path, "q5_k_m", expert_count=8)
    assert types["blk.3.attn_output.weight"] == "Q5_K"
    types = mixture(tmp_path, "q2_k", expert_count=8)
    assert types["blk.3.attn_output.weight"] == "Q5_K" and types["blk.3.ffn_down.weight"] == "Q3_K"
    types = mixture(tmp_path, "q4_k_m", n_layers=80, **keys)
    assert types["blk.11.attn_v.weight"] == "Q5_K" and types["blk.0.attn_v.weight"] == "Q6_K"


@pytest.mark.parametrize("target", TARGETS)
def test_the_file_says_what_it_is(tmp_path: Path, target: str) -> None:
    source = write_tiny(tmp_path / "in.gguf", TINY_LLAMA.with_changes(dim=256, weight_type=TensorType.F32))
    quantize_file(source, tmp_path / "out.gguf", TARGETS[target], "reference")
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        told = {
            "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_m": 12, "q4_k_s": 14,
            "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30,
        }  # fmt: skip
        assert file.metadata.integer("general.file_type") == told[target]
        assert all(info.type.usable for info in file.tensors.values())
