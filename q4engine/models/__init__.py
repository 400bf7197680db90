"""Model architectures, one file each: their traits, the keys that they read, their graph (config, graph, keys)."""

from __future__ import annotations

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.models.config import ModelConfig
from q4engine.models.gemma2 import Gemma2
from q4engine.models.gemma3 import Gemma3
from q4engine.models.granite import Granite
from q4engine.models.graph import Graph
from q4engine.models.keys import KeyReader
from q4engine.models.llama import Llama
from q4engine.models.olmo import OLMo
from q4engine.models.olmo2 import OLMo2
from q4engine.models.olmoe import OLMoE
from q4engine.models.phi3 import Phi3
from q4engine.models.qwen2 import Qwen2
from q4engine.models.qwen2moe import Qwen2MoE
from q4engine.models.qwen3 import Qwen3
from q4engine.models.qwen3moe import Qwen3MoE
from q4engine.models.smollm3 import SmolLM3
from q4engine.tokenizer.vocabulary import NO_TOKEN, SPECIAL_IDS

ARCHITECTURES: dict[str, type[ModelConfig]] = {
    "llama": Llama,
    "gemma2": Gemma2,
    "gemma3": Gemma3,
    "granite": Granite,
    "olmo": OLMo,
    "olmo2": OLMo2,
    "olmoe": OLMoE,
    "phi3": Phi3,
    "qwen2": Qwen2,
    "qwen2moe": Qwen2MoE,
    "qwen3": Qwen3,
    "qwen3moe": Qwen3MoE,
    "smollm3": SmolLM3,
}
"""By GGUF's names, ``general.architecture``."""

__all__ = ["ARCHITECTURES", "Graph", "ModelConfig", "read_model"]


def read_model(file: GGUFFile) -> tuple[ModelConfig, Graph]:
    """A file's hyper-parameters and graph, checked against its tensors and vocabulary before anything trusts them.

    A Q4Error names the key or tensor that is missing, out of range or contradicts another.
    """
    architecture = file.metadata.string("general.architecture")
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise Q4Error(f"{file.path}: the architecture {shown(architecture)} is not supported, expected {known}")
    config = ARCHITECTURES[architecture].read(KeyReader(file, architecture))
    graph = Graph(file)
    config.build(graph)
    _check_all_used(file, config, graph)
    _check_vocabulary(file, config)
    return config, graph


def _check_all_used(file: GGUFFile, config: ModelConfig, graph: Graph) -> None:
    """A tensor that the graph leaves out would change the result."""
    for name in file.tensors:
        if name not in graph.tensors:
            raise Q4Error(
                f"{file.path}: tensor {shown(name)} is not part of a {config.architecture} model "
                f"of {config.n_layers} layers, which would leave it out"
            )


def _check_vocabulary(file: GGUFFile, config: ModelConfig) -> None:
    """The tokenizer has as many tokens as the embedding has rows, and the special tokens in use are among them."""
    meta, rows = file.metadata, f"tensor 'token_embd.weight' has {config.vocab_size} rows"
    stated = meta.integer(f"{config.architecture}.vocab_size", config.vocab_size)
    if stated != config.vocab_size:
        raise Q4Error(f"{file.path}: key '{config.architecture}.vocab_size' is {stated}, but {rows}")
    if "tokenizer.ggml.tokens" in meta:
        n_tokens = len(meta.string_array("tokenizer.ggml.tokens"))
        if n_tokens != config.vocab_size:
            raise Q4Error(f"{file.path}: the vocabulary has {n_tokens} tokens, but {rows}")
    for name in SPECIAL_IDS:
        key = f"tokenizer.ggml.{name}_token_id"
        token = meta.integer(key, 0)
        if not 0 <= token < config.vocab_size and token not in NO_TOKEN:
            raise Q4Error(f"{file.path}: key {shown(key)} is {token}, expected 0 to {config.vocab_size - 1}")
