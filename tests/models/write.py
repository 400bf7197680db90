"""Writes a model as GGUF with the gguf package's writer: streamed tensor by tensor, renamed into place when whole."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import gguf
import numpy as np

from models.spec import ModelSpec, TensorSpec
from models.vocabulary import Vocabulary


def write_model(
    path: Path,
    spec: ModelSpec,
    vocabulary: Vocabulary,
    tensor_bytes: Callable[[TensorSpec], np.ndarray],
) -> None:
    """Write ``spec`` with the bytes that ``tensor_bytes`` gives for each tensor (uint8, one row per tensor row)."""
    beside = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(beside, spec.architecture)
    try:
        _add_hyper_parameters(writer, spec)
        _add_vocabulary(writer, vocabulary)
        table = spec.tensors()
        for tensor in table:
            n_bytes = tensor.type.row_bytes(tensor.shape[-1])
            shape = (*tensor.shape[:-1], n_bytes)  # the writer takes the shape of the bytes
            kind = gguf.GGMLQuantizationType(int(tensor.type))
            writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), n_bytes * _rows(tensor), kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in _with_progress(table):
            writer.write_tensor_data(tensor_bytes(tensor))
        writer.close()
        beside.replace(path)
    finally:
        writer.close()
        beside.unlink(missing_ok=True)


def _rows(tensor: TensorSpec) -> int:
    rows = 1
    for dim in tensor.shape[:-1]:
        rows *= dim
    return rows


def _add_hyper_parameters(writer: gguf.GGUFWriter, spec: ModelSpec) -> None:
    writer.add_name(spec.name)
    writer.add_file_type(spec.weight_type.file_type)
    writer.add_quantization_version(2)
    writer.add_block_count(spec.n_layers)
    writer.add_context_length(spec.n_ctx_train)
    writer.add_embedding_length(spec.dim)
    writer.add_feed_forward_length(spec.n_ffn)
    writer.add_head_count(spec.n_heads)
    writer.add_head_count_kv(spec.n_kv_heads)
    (writer.add_layer_norm_eps if spec.plain_norm else writer.add_layer_norm_rms_eps)(spec.rms_eps)
    writer.add_rope_freq_base(spec.rope_freq_base)
    writer.add_rope_dimension_count(spec.rope_dim or spec.head_dim)
    writer.add_vocab_size(spec.vocab_size)
    if spec.n_experts:
        writer.add_expert_count(spec.n_experts)
        writer.add_expert_used_count(spec.n_used)
        writer.add_expert_feed_forward_length(spec.n_expert_ffn)
    if spec.n_shared_ffn:
        writer.add_expert_shared_feed_forward_length(spec.n_shared_ffn)
    if spec.head_dim * spec.n_heads != spec.dim:
        writer.add_key_length(spec.head_dim)
        writer.add_value_length(spec.head_dim)
    add = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
        list: writer.add_array,
    }
    for key, value in spec.keys.items():
        add[type(value)](f"{spec.architecture}.{key}", value)  # type: ignore[operator]


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    if vocabulary.pre is not None:
        writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges is not None:
        writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(vocabulary.add_bos)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


def _with_progress(table: list[TensorSpec]) -> Iterable[TensorSpec]:
    if not sys.stderr.isatty():
        return table
    from rich.console import Console
    from rich.progress import track

    return track(table, description="writing", console=Console(stderr=True))
