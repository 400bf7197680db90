"""Which type each tensor takes for a ``--type``.

Two policies. q4_0, q4_1, q8_0 and f16: matrices take the type; where that has 4 bits, the embedding and the output,
which cost most quality, take Q6_K if their columns divide by 256, else Q8_0. The others choose as llama.cpp does, so
that a file is what its name says elsewhere too: more bits for the values' projection and the FFN's second matrix of
some layers, and for the output.

Columns that are no multiple of a block take a type of smaller blocks, at last F16. Vectors (norms, biases) and the
routers of experts stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from q4engine.gguf.reader import GGUFFile, TensorInfo
from q4engine.gguf.types import TensorType

F16, Q4_0, Q4_1, Q5_0 = TensorType.F16, TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0
Q8_0, Q4_K, Q5_K, Q6_K = TensorType.Q8_0, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K


@dataclass(frozen=True)
class Target:
    """What a ``--type`` stands for: the type of matrices, GGUF's ``general.file_type``, how the others are chosen."""

    type: TensorType
    file_type: int
    spares_embedding: bool = False
    as_llama_cpp: bool = False
    more_bits: bool = False
    """Q6_K for the values' projection and the FFN's second matrix of about half of the layers."""


TARGETS: dict[str, Target] = {
    "q4_0": Target(Q4_0, 2, spares_embedding=True),
    "q4_1": Target(Q4_1, 3, spares_embedding=True),
    "q5_0": Target(Q5_0, 8, as_llama_cpp=True),
    "q8_0": Target(Q8_0, 7),
    "q4_k_m": Target(Q4_K, 15, as_llama_cpp=True, more_bits=True),
    "q5_k_m": Target(Q5_K, 17, as_llama_cpp=True, more_bits=True),
    "q6_k": Target(Q6_K, 18, as_llama_cpp=True),
    "f16": Target(F16, 1),
}

# What takes the place of a type whose blocks do not fit. llama.cpp has Q5_1 for Q5_K.
_OF_SMALLER_BLOCKS = {Q4_K: Q5_0, Q5_K: Q8_0, Q6_K: Q8_0}
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_LAYER = re.compile(
    r"blk\.(\d{1,9})\.(attn_v|attn_qkv|attn_k|attn_output|ffn_down|ffn_down_exps|ffn_down_shexp)\.weight"
)
_VALUES = ("attn_v", "attn_qkv")
_BIG = 80  # layers of the 70B models, 8 of whose heads share their values


@dataclass(frozen=True)
class Mixture:
    """A target on one model."""

    target: Target
    n_layers: int
    n_experts: int
    is_big: bool
    is_tied: bool

    @classmethod
    def of(cls, file: GGUFFile, target: Target) -> Mixture:
        """What the choice depends on, from the model's keys; a file without them is one of no layers."""
        architecture = file.metadata.get("general.architecture")

        def number(key: str) -> int | None:  # some architectures have a list with a number a layer
            value = file.metadata.get(f"{architecture}.{key}")
            return value if isinstance(value, int) else None

        n_layers = number("block_count") or 0
        shared = architecture == "qwen2" or number("attention.head_count") != number("attention.head_count_kv")
        is_big = n_layers == _BIG and shared and architecture in ("llama", "qwen2")
        return cls(target, n_layers, number("expert_count") or 0, is_big, _OUTPUT not in file.tensors)

    def type_of(self, info: TensorInfo) -> TensorType:
        """The type that a tensor takes; its own where it stays as it is."""
        if len(info.shape) < 2 or not info.name.endswith(".weight") or "_norm." in info.name:
            return info.type
        if info.name.endswith("ffn_gate_inp.weight"):  # small, and one wrong expert is much
            return info.type
        columns = info.shape[-1]
        kind = self._as_llama_cpp(info.name, columns) if self.target.as_llama_cpp else self.target.type
        if self.target.spares_embedding and info.name in (_EMBEDDING, _OUTPUT):
            kind = Q6_K
        if columns % kind.block_size:
            kind = _OF_SMALLER_BLOCKS.get(kind, F16)
        return kind if columns % kind.block_size == 0 else F16

    def _as_llama_cpp(self, name: str, columns: int) -> TensorType:
        kind = self.target.type
        if name == _OUTPUT or (self.is_tied and name == _EMBEDDING):
            return Q8_0 if columns % kind.block_size else Q6_K
        match = _LAYER.fullmatch(name)
        if match is None:
            return kind
        layer, role = int(match[1]), match[2]
        if role in _VALUES:
            if self.target.more_bits and self._wants_more_bits(layer):
                kind = Q6_K
            if self.is_big and kind is Q4_K:
                kind = Q5_K
            return Q8_0 if self.n_experts == 8 else kind
        if self.n_experts == 8 and role == "attn_k":
            return Q8_0
        if self.n_experts == 8 and role == "attn_output" and self.target.type is Q4_K:
            return Q5_K
        if role.startswith("ffn_down") and self.target.more_bits and self._wants_more_bits(layer):
            return Q6_K
        return kind

    def _wants_more_bits(self, layer: int) -> bool:
        """The first and the last eighth of the layers, and every third between."""
        eighth = self.n_layers // 8
        return layer < eighth or layer >= 7 * self.n_layers // 8 or (layer - eighth) % 3 == 2
