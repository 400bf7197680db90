"""Makes Hugging Face folders of tiny GGUF models, by the way back: what `convert` makes of them is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from q4engine.convert.hf_config import FAMILIES
from q4engine.gguf import GGUFFile
from q4engine.gguf.dequantize import dequantize_tensor

CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def halves_apart(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of heads as PyTorch has them: of neighbours (2i, 2i+1), the first go to i and the second to i + half."""
    width = len(rows) // n_heads
    order = [head * width + index for head in range(n_heads) for index in [*range(0, width, 2), *range(1, width, 2)]]
    return rows[order]


def write_folder(source: Path, folder: Path, **config: Any) -> Path:
    """A folder with what a tiny GGUF model holds, its weights as float32; ``config``: changes of config.json."""
    folder.mkdir()
    with GGUFFile.open(source) as file:
        meta = file.metadata
        architecture = meta.string("general.architecture")
        values = config_of(file) | config
        save_file(tensors_of(file, values), folder / "model.safetensors", {"format": "pt"})
        kind = meta.integers("tokenizer.ggml.token_type").tolist()
        tokens = meta.strings("tokenizer.ggml.tokens")
        tokenizer = {
            "added_tokens": [
                {"id": token, "content": tokens[token], "special": True} for token, of in enumerate(kind) if of == 3
            ],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "model": {
                "type": "BPE",
                "vocab": {text: token for token, text in enumerate(tokens) if kind[token] == 1},
                "merges": [line.split(" ") for line in meta.strings("tokenizer.ggml.merges")],
            },
        }
        settings = {
            "bos_token": tokens[meta.integer("tokenizer.ggml.bos_token_id")],
            "eos_token": {"content": tokens[meta.integer("tokenizer.ggml.eos_token_id")]},
            "add_bos_token": meta.flag("tokenizer.ggml.add_bos_token"),
            "chat_template": meta.string("tokenizer.chat_template"),
        }
    assert FAMILIES[values["architectures"][0]].architecture == architecture
    for name, content in (("config", values), ("tokenizer", tokenizer), ("tokenizer_config", settings)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def config_of(file: GGUFFile) -> dict[str, Any]:
    architecture = file.metadata.string("general.architecture")
    get = {key.removeprefix(architecture + "."): value for key, value in file.metadata.items()}
    return {
        "architectures": [CLASSES[architecture]],
        "hidden_act": "silu",
        "hidden_size": get["embedding_length"],
        "intermediate_size": get["feed_forward_length"],
        "max_position_embeddings": get["context_length"],
        "num_attention_heads": get["attention.head_count"],
        "num_hidden_layers": get["block_count"],
        "num_key_value_heads": get["attention.head_count_kv"],
        "head_dim": get["rope.dimension_count"],
        "rms_norm_eps": get["attention.layer_norm_rms_epsilon"],
        "rope_theta": get["rope.freq_base"],
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "vocab_size": get["vocab_size"],
    }


def tensors_of(file: GGUFFile, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """By PyTorch's names, float32."""
    family = FAMILIES[config["architectures"][0]]
    stems = {name: stem for stem, name in family.tensors.items()}
    tensors: dict[str, np.ndarray] = {}
    for name, info in file.tensors.items():
        values = np.ascontiguousarray(dequantize_tensor(info), np.float32)
        layer = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
        if layer is None:
            tensors[_OUTSIDE[name]] = values
            continue
        heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}.get(layer[2])
        if family.permutes and heads is not None:
            values = np.ascontiguousarray(halves_apart(values, config[heads]))
        tensors[f"model.layers.{layer[1]}.{stems[layer[2]]}.{layer[3]}"] = values
    return tensors
