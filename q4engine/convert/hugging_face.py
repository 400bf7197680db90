"""A Hugging Face folder as a model: config.json, safetensors, tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from q4engine.convert.conversion import Conversion, SourceTensor
from q4engine.convert.hf_config import Family, Shape, family_of, model_pairs, read_shape
from q4engine.convert.hf_rope import rope_tensors
from q4engine.convert.hf_tokenizer import tokenizer_pairs
from q4engine.convert.json_file import JsonObject
from q4engine.convert.weights_folder import StoredTensor, read_weights
from q4engine.errors import Q4Error, shown
from q4engine.gguf import TensorType
from q4engine.tokenizer.vocabulary import MOST_TOKENS

_OUTSIDE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
_OUTPUT = "lm_head.weight"
_LAYER = re.compile(r"model\.layers\.([0-9]{1,5})\.(.+)\.(weight|bias)")
_EXPERT = re.compile(r"mlp\.experts\.([0-9]{1,4})\.(gate|up|down)_proj")
_BUFFERS = re.compile(r"(.*\.)?rotary_emb\.inv_freq")  # which the model works out of its config


def read_folder(folder: Path) -> Conversion:
    """Everything that a folder says. Q4Error for a tensor that the architecture does not have, and for whatever would
    be left out or changed."""
    config = JsonObject.read(folder / "config.json")
    family, shape = family_of(config), read_shape(config)
    tensors = _tensors(folder, family, shape)
    _check_embedding(config, tensors)  # before the vocabulary, which takes the most time
    try:
        vocabulary, notes = tokenizer_pairs(folder, config, family.architecture)
        pairs = model_pairs(config, folder.resolve().name) + vocabulary
    except UnicodeEncodeError as error:  # JSON can name half a character of two
        raise Q4Error(f"{folder}: the string {shown(error.object)} is no text that UTF-8 has") from None
    if config.values.get("tie_word_embeddings") is False and all(each.name != "output.weight" for each in tensors):
        raise Q4Error(
            f"{folder}: has no tensor {_OUTPUT!r}, and config.json says that the embedding is not used for it"
        )
    for name, values in rope_tensors(config, family.rope_base, shape.head_dim).items():
        tensors.append(_constant(folder, name, values))
    return Conversion(pairs, sorted(tensors, key=_order), notes)


def _check_embedding(config: JsonObject, tensors: Sequence[SourceTensor]) -> None:
    size = config.integer("vocab_size", most=MOST_TOKENS)
    for tensor in tensors:
        if tensor.name == "token_embd.weight" and tensor.shape[:1] != (size,):
            raise Q4Error(f"{tensor.where} has shape {tensor.shape}, expected {size} rows as config.json says")


@dataclass
class _Experts:
    """One matrix of every expert of a layer, which GGUF keeps as one tensor of three dimensions."""

    parts: dict[int, StoredTensor] = field(default_factory=dict)


def _tensors(folder: Path, family: Family, shape: Shape) -> list[SourceTensor]:
    found: list[SourceTensor] = []
    experts: dict[str, _Experts] = {}
    for name, stored in read_weights(folder).items():
        if name in _OUTSIDE:
            found.append(_source(stored, _OUTSIDE[name], family, shape))
        elif name == _OUTPUT:
            if not shape.tied:  # else a copy of the embedding, which the model does not look at
                found.append(_source(stored, "output.weight", family, shape))
        elif (match := _LAYER.fullmatch(name)) is not None and int(match[1]) < shape.n_layers:
            layer, stem, end = int(match[1]), match[2], match[3]
            expert = _EXPERT.fullmatch(stem)
            if stem in family.tensors:
                found.append(_source(stored, f"blk.{layer}.{family.tensors[stem]}.{end}", family, shape))
            elif expert is not None and "mlp.gate" in family.tensors and end == "weight":
                whole = f"blk.{layer}.ffn_{expert[2]}_exps.weight"
                experts.setdefault(whole, _Experts()).parts[int(expert[1])] = stored
            else:
                raise _unknown(stored, family)
        elif not _BUFFERS.fullmatch(name):
            raise _unknown(stored, family)
    return found + [_stacked(folder, name, group) for name, group in experts.items()]


def _unknown(stored: StoredTensor, family: Family) -> Q4Error:
    return Q4Error(
        f"{stored.path}: tensor {shown(stored.name)} is no part of a {family.architecture} model of its size"
    )


def _source(stored: StoredTensor, name: str, family: Family, shape: Shape) -> SourceTensor:
    where = f"{stored.path}: tensor {shown(stored.name)}"
    read: Callable[[], np.ndarray] = stored.read
    if family.permutes and (heads := _heads(name, shape)):
        if len(stored.shape) not in (1, 2) or stored.shape[0] != heads * shape.head_dim:
            raise Q4Error(f"{where} has shape {stored.shape}, expected {heads * shape.head_dim} rows")
        return SourceTensor(name, stored.shape, stored.type, lambda: _halves_to_neighbours(stored.read(), heads), where)
    if family.adds_one and name.endswith("_norm.weight"):
        return SourceTensor(name, stored.shape, stored.type, lambda: stored.read() + np.float32(1), where)
    if name.endswith("ffn_gate_inp_shexp.weight") and len(stored.shape) == 2 and stored.shape[0] == 1:
        return SourceTensor(name, stored.shape[1:], stored.type, lambda: stored.read()[0], where)
    return SourceTensor(name, stored.shape, stored.type, read, where)


def _heads(name: str, shape: Shape) -> int:
    """Heads whose rows are permuted: those of Q and K, weights and biases."""
    kind = name.split(".")[-2]
    return {"attn_q": shape.n_heads, "attn_k": shape.n_kv_heads}.get(kind, 0)


def _halves_to_neighbours(values: np.ndarray, n_heads: int) -> np.ndarray:
    """Of each head's rows the first half and the second, which turn together, come to stand beside each other."""
    halves = values.reshape(n_heads, 2, values.shape[0] // n_heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _stacked(folder: Path, name: str, group: _Experts) -> SourceTensor:
    parts = [group.parts[number] for number in sorted(group.parts)]
    where = f"{folder}: tensor {shown(name)}"
    if sorted(group.parts) != list(range(len(parts))):
        raise Q4Error(f"{where} lacks expert {next(i for i in range(len(parts) + 1) if i not in group.parts)}")
    if len({part.shape for part in parts}) > 1:
        raise Q4Error(f"{where} has experts of several shapes: {sorted({part.shape for part in parts})}")
    whole = (len(parts), *parts[0].shape)
    return SourceTensor(name, whole, parts[0].type, lambda: np.stack([part.read() for part in parts]), where)


def _constant(folder: Path, name: str, values: np.ndarray) -> SourceTensor:
    return SourceTensor(name, values.shape, TensorType.F32, lambda: values, f"{folder}: tensor {shown(name)}")


def _order(tensor: SourceTensor) -> tuple[int, int, str]:
    """The embedding, the layers in turn, the end."""
    parts = tensor.name.split(".")
    if parts[0] == "blk":
        return 1, int(parts[1]), tensor.name
    return (2 if parts[0].startswith("output") else 0), 0, tensor.name
