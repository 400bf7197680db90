"""Reading a model: hyper-parameters of valid files, and one clear error for each contradiction."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gguf_bytes import ARRAY, BOOL, F32, I32, STRING, U32, File, Tensor, array, pair, string

from q4engine.errors import Q4Error
from q4engine.gguf import GGUFFile
from q4engine.models import read_model
from q4engine.models.graph import RopeStyle

F32_TYPE, F16_TYPE, Q4_0_TYPE, Q8_1_TYPE = 0, 1, 2, 9

KEYS: dict[str, tuple[int, object]] = {
    "general.architecture": (STRING, "llama"),
    "llama.block_count": (U32, 1),
    "llama.context_length": (U32, 128),
    "llama.embedding_length": (U32, 32),
    "llama.feed_forward_length": (U32, 64),
    "llama.attention.head_count": (U32, 4),
    "llama.attention.head_count_kv": (U32, 2),
    "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
    "tokenizer.ggml.eos_token_id": (U32, 2),
}
SHAPES: dict[str, tuple[int, ...]] = {  # rows, columns
    "token_embd.weight": (3, 32),
    "output_norm.weight": (32,),
    "blk.0.attn_norm.weight": (32,),
    "blk.0.attn_q.weight": (32, 32),
    "blk.0.attn_k.weight": (16, 32),
    "blk.0.attn_v.weight": (16, 32),
    "blk.0.attn_output.weight": (32, 32),
    "blk.0.ffn_norm.weight": (32,),
    "blk.0.ffn_gate.weight": (64, 32),
    "blk.0.ffn_up.weight": (64, 32),
    "blk.0.ffn_down.weight": (32, 64),
}


def write(
    path: Path,
    keys: dict[str, tuple[int, object] | None] | None = None,
    shapes: dict[str, tuple[int, ...] | None] | None = None,
    types: dict[str, int] | None = None,
    tokens: int = 3,
    extra: tuple[bytes, ...] = (),
) -> Path:
    """A minimal model with some keys and tensors replaced, added or (None) left out."""
    pairs = [pair(key, *value) for key, value in (KEYS | (keys or {})).items() if value is not None]
    pairs += [array("tokenizer.ggml.tokens", STRING, [str(index) for index in range(tokens)]), *extra]
    tensors, offset = [], 0
    for name, shape in (SHAPES | (shapes or {})).items():
        if shape is None:
            continue
        type_id = (types or {}).get(name, F32_TYPE if len(shape) == 1 else Q4_0_TYPE)
        tensors.append(Tensor(name, tuple(reversed(shape)), type_id, offset))
        offset += 8192
    path.write_bytes(File(pairs=pairs, tensors=tensors, data_bytes=0).build() + bytes(offset))
    return path


def refusal(path: Path, **changes) -> str:
    with GGUFFile.open(write(path, **changes)) as file, pytest.raises(Q4Error) as caught:
        read_model(file)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.gguf"


def test_the_valid_file(path: Path) -> None:
    with GGUFFile.open(write(path)) as file:
        config, _ = read_model(file)
    assert (config.n_layers, config.dim, config.n_ffn, config.n_ctx_train) == (1, 32, 64, 128)
    assert (config.n_heads, config.n_kv_heads, config.head_dim, config.rope_dim) == (4, 2, 8, 8)
    assert (config.rope_style, config.rope_freq_base, config.rope_freqs) == (RopeStyle.NORM, 10000.0, False)
    assert (config.vocab_size, config.tied_output, config.qkv_bias) == (3, True, False)


def test_optional_tensors(path: Path) -> None:
    shapes = {"output.weight": (3, 32), "rope_freqs.weight": (4,)}
    write(path, shapes=shapes)
    with GGUFFile.open(path) as file:
        offset = file.tensors["rope_freqs.weight"].offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<4f", content, offset, 1.0, 1.0, 2.0, 32.0)
    path.write_bytes(content)
    with GGUFFile.open(path) as file:
        config, _ = read_model(file)
    assert not config.tied_output
    assert config.rope_freqs


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e-45, 0.2, float("inf"), float("nan")])
def test_rope_factors(path: Path, factor: float) -> None:
    """Angles beyond what sine and cosine are written for; a division by zero."""
    write(path, shapes={"rope_freqs.weight": (4,)})
    with GGUFFile.open(path) as file:
        offset = file.tensors["rope_freqs.weight"].offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<4f", content, offset, 1.0, 8.0, factor, 1.0)
    path.write_bytes(content)
    with GGUFFile.open(path) as file, pytest.raises(Q4Error, match=r"'rope_freqs.weight' has .* as element 2"):
        read_model(file)


def test_architecture(path: Path) -> None:
    assert "'mamba' is not supported" in refusal(path, keys={"general.architecture": (STRING, "mamba")})
    assert "general.architecture' is missing" in refusal(path, keys={"general.architecture": None})
    assert "is of type U" in refusal(path, keys={"general.architecture": (U32, 1)})


@pytest.mark.parametrize("key", [key for key in KEYS if key.startswith("llama.") and "kv" not in key])
def test_missing_keys(path: Path, key: str) -> None:
    assert f"key '{key}' is missing" in refusal(path, keys={key: None})


@pytest.mark.parametrize("key", [key for key, (kind, _) in KEYS.items() if key.startswith("llama.") and kind == U32])
@pytest.mark.parametrize("value", [0, 1 << 31, (1 << 32) - 1])
def test_counts_of_zero_and_absurd_ones(path: Path, key: str, value: int) -> None:
    assert f"key '{key}' is {value}, expected" in refusal(path, keys={key: (U32, value)})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("attention.head_count", (U32, 5), "5, expected a divisor of the embedding length 32"),
        ("attention.head_count", (U32, 64), "64, expected a divisor"),
        ("attention.head_count_kv", (U32, 3), "3, expected a divisor of the 4 heads"),
        ("attention.head_count_kv", (U32, 8), "8, expected a divisor"),
        ("attention.head_count", (I32, -4), "-4, expected 1 to"),
        ("attention.head_count", (F32, 4.0), "FLOAT32, expected an integer"),
        ("attention.value_length", (U32, 4), "4, expected the key length 8"),
        ("rope.dimension_count", (U32, 7), "7, expected an even number up to 8"),
        ("rope.dimension_count", (U32, 10), "10, expected an even number up to 8"),
        ("rope.freq_base", (F32, 0.0), "is 0, expected 1 to 1e+30"),
        ("rope.freq_base", (F32, 1e-45), "expected 1 to 1e+30"),
        ("rope.freq_base", (F32, 0.5), "is 0.5, expected 1 to 1e+30"),
        ("rope.freq_base", (F32, float("inf")), "inf, expected a finite"),
        ("attention.layer_norm_rms_epsilon", (F32, float("nan")), "nan, expected a finite"),
        ("attention.layer_norm_rms_epsilon", (F32, -1e-5), "is -1e-05, expected 1e-30 to 0.5"),
        ("attention.layer_norm_rms_epsilon", (F32, 0.0), "is 0, expected 1e-30 to 0.5"),
        ("attention.layer_norm_rms_epsilon", (F32, 1.0), "is 1, expected 1e-30 to 0.5"),
        ("attention.sliding_window", (U32, 1 << 31), "2147483648, expected 0 to"),
        ("attention.sliding_window", (I32, -1), "-1, expected 0 to"),
        ("rope.scaling.type", (STRING, "longrope"), "'longrope', expected 'none', 'linear' or 'yarn'"),
        ("rope.scaling.factor", (F32, 0.125), "is 0.125, expected 0.25 to 1e+06"),
        ("rope.scaling.factor", (F32, float("nan")), "nan, expected a finite"),
        ("rope.scaling.factor", (F32, -4.0), "is -4, expected 0 to 1e+06"),
        ("rope.scaling.attn_factor", (F32, 0.0), "is 0, expected 0.00390625 to 256"),
        ("rope.scale_linear", (F32, float("inf")), "inf, expected a finite"),
        # what would change the result and is something to other architectures alone
        ("expert_count", (U32, 8), "is 8, expected 0: not supported for llama"),
        ("attn_logit_softcapping", (F32, 50.0), "is 50, expected 0: not supported for llama"),
        ("attention.causal", (BOOL, False), "is 0, expected 1: not supported for llama"),
        ("logit_scale", (F32, 0.5), "is 0.5, expected 0 or 1: not supported"),
        ("rope.freq_base_swa", (F32, 10000.0), "is 10000: not supported"),
        ("attention.clamp_kqv", (F32, 8.0), "is 8, expected 0: not supported"),
        ("rope.scaling.yarn_ext_factor", (F32, 0.5), "is 0.5, expected -1 or 1: not supported"),
        ("vocab_size", (U32, 4), "4, but tensor 'token_embd.weight' has 3 rows"),
    ],
)
def test_hyper_parameters(path: Path, key: str, value: tuple[int, object], words: str) -> None:
    message = refusal(path, keys={f"llama.{key}": value})
    assert f"'llama.{key}' is" in message
    assert words in message


def test_head_count_as_an_array(path: Path) -> None:
    counts = string("llama.attention.head_count_kv") + struct.pack("<IIQII", ARRAY, U32, 2, 2, 2)
    message = refusal(path, keys={"llama.attention.head_count_kv": None}, extra=(counts,))
    assert "is of type ARRAY, expected an integer" in message


@pytest.mark.parametrize("name", SHAPES)
def test_missing_tensors(path: Path, name: str) -> None:
    assert f"tensor '{name}' is missing" in refusal(path, shapes={name: None})


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_contradict(path: Path, name: str) -> None:
    """One row more, transposed where that differs, or one dimension more."""
    rows, *rest = SHAPES[name]
    changed = [(1, rows, *rest)]
    if name != "token_embd.weight":  # its rows are what the vocabulary is held against
        changed.append((rows + 1, *rest))
    for shape in changed:
        message = refusal(path, shapes={name: shape})
        assert f"tensor '{name}' has shape {shape}, expected" in message


def test_layers_beyond_the_stated_ones_are_not_ignored(path: Path) -> None:
    assert "'blk.1.attn_norm.weight' is not part" in refusal(path, shapes={"blk.1.attn_norm.weight": (32,)})
    assert "'blk.0.attn_q_norm.weight' is not part of a llama" in refusal(
        path, shapes={"blk.0.attn_q_norm.weight": (8,)}
    )
    assert "'blk.0.attn_k.bias' is missing" in refusal(path, shapes={"blk.0.attn_q.bias": (32,)})
    assert "'blk.1.attn_norm.weight' is missing" in refusal(path, keys={"llama.block_count": (U32, 2)})
    assert "expected 1 to 65536" in refusal(path, keys={"llama.block_count": (U32, 1 << 29)})


def test_types(path: Path) -> None:
    assert "unsupported type Q8_1" in refusal(path, types={"blk.0.attn_q.weight": Q8_1_TYPE})
    assert "unsupported type 99, expected" in refusal(path, types={"blk.0.attn_q.weight": 99})
    assert "of type F16, expected F32" in refusal(path, types={"output_norm.weight": F16_TYPE})


@pytest.mark.parametrize("tokens", [0, 2, 4])
def test_vocabulary_and_embedding_differ(path: Path, tokens: int) -> None:
    assert f"{tokens} tokens, but tensor 'token_embd.weight' has 3 rows" in refusal(path, tokens=tokens)


def test_token_ids_out_of_range(path: Path) -> None:
    for value in [(U32, 3), (U32, (1 << 32) - 2), (I32, -2)]:
        message = refusal(path, keys={"tokenizer.ggml.bos_token_id": value})
        assert f"'tokenizer.ggml.bos_token_id' is {value[1]}, expected 0 to 2" in message


def test_tokens_of_the_wrong_element_type(path: Path) -> None:
    numbers = array("tokenizer.ggml.tokens", F32, [0.0, 1.0, 2.0])
    pairs = [pair(key, *value) for key, value in KEYS.items()] + [numbers]
    tensors = [Tensor(n, tuple(reversed(s)), F32_TYPE, i * 8192) for i, (n, s) in enumerate(SHAPES.items())]
    path.write_bytes(File(pairs=pairs, tensors=tensors).build() + bytes(len(SHAPES) * 8192))
    with GGUFFile.open(path) as file, pytest.raises(Q4Error, match=r"'tokenizer\.ggml\.tokens' is an array of FLOAT32"):
        read_model(file)


def yarn(**changed: tuple[int, object]) -> dict[str, tuple[int, object]]:
    keys = {"type": (STRING, "yarn"), "factor": (F32, 4.0), "original_context_length": (U32, 32)} | changed
    return {f"llama.rope.scaling.{key}": value for key, value in keys.items()}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("factor", (F32, 0.0), "is 0, expected 0.25 to 1e+06"),
        ("original_context_length", (U32, 0), "is 0, expected 1 to"),
        ("yarn_beta_fast", (F32, 0.0), "is 0, expected 0.000976562 to 1e+06"),
        ("yarn_beta_slow", (F32, float("nan")), "nan, expected a finite"),
    ],
)
def test_yarn(path: Path, key: str, value: tuple[int, object], words: str) -> None:
    message = refusal(path, keys=yarn(**{key: value}))
    assert f"'llama.rope.scaling.{key}' is" in message and words in message


def test_yarn_of_a_base_of_one(path: Path) -> None:
    keys = yarn() | {"llama.rope.freq_base": (F32, 1.0)}
    assert "'llama.rope.freq_base' is 1, expected more with YaRN" in refusal(path, keys=keys)


def test_a_magnitude_without_any_other_scaling(path: Path) -> None:
    for more in ({}, {"llama.rope.scaling.type": (STRING, "none")}):
        with GGUFFile.open(write(path, keys={"llama.rope.scaling.attn_factor": (F32, 1.5)} | more)) as file:
            (table,) = read_model(file)[1].rope_tables
        assert (table.factors, table.magnitude) == (None, 1.5)


def test_keys_that_change_nothing(path: Path) -> None:
    keys = {
        "llama.expert_count": (U32, 0),
        "llama.attention.causal": (BOOL, True),
        "llama.rope.scaling.finetuned": (BOOL, True),
        "llama.attn_logit_softcapping": (F32, 0.0),
        "llama.something.new": (F32, 3.0),
        "other.expert_count": (U32, 8),
    }
    with GGUFFile.open(write(path, keys=keys)) as file:
        read_model(file)
