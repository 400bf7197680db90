"""Which type each tensor takes for a ``--type``.

Two policies. q4_0, q4_1, q8_0 and f16: matrices take the type; where that has 4 bits, the embedding and the output,
which cost most quality, take Q6_K if their columns divide by 256, else Q8_0. The others choose as llama.cpp does, so
that a file is what its name says elsewhere too: more bits for the values' projection and the FFN's second matrix, of
some layers or all, and for the output.

Columns that are no multiple of a block take a type of smaller blocks, at last F16. Vectors (norms, biases) and the
routers of experts stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from q4engine.gguf.reader import GGUFFile, TensorInfo
from q4engine.gguf.types import TensorType

F16, Q8_0, IQ4_NL, IQ4_XS = TensorType.F16, TensorType.Q8_0, TensorType.IQ4_NL, TensorType.IQ4_XS
Q4_0, Q4_1, Q5_0, Q5_1 = TensorType.Q4_0, TensorType.Q4_1, TensorType.Q5_0, TensorType.Q5_1
Q2_K, Q3_K, Q4_K, Q5_K, Q6_K = TensorType.Q2_K, TensorType.Q3_K, TensorType.Q4_K, TensorType.Q5_K, TensorType.Q6_K

Rule = Callable[["Mixture", int], "TensorType | None"]
"""The type that a matrix of a layer takes instead of the target's; None: none."""


def _more_bits(mixture: Mixture, layer: int) -> TensorType | None:
    """For the first and the last eighth of the layers, and every third between."""
    eighth = mixture.n_layers // 8
    wanted = layer < eighth or layer >= 7 * mixture.n_layers // 8 or (layer - eighth) % 3 == 2
    return Q6_K if wanted else None


def _eighth(kind: TensorType) -> Rule:
    return lambda mixture, layer: kind if layer < mixture.n_layers // 8 else None


def _always(kind: TensorType) -> Rule:
    return lambda mixture, layer: kind


def _where_shared(mixture: Mixture, layer: int) -> TensorType | None:
    return Q5_K if mixture.heads_a_value >= 4 else None


def _unless_told(mixture: Mixture, layer: int) -> TensorType | None:
    return None if mixture.has_importance else _eighth(Q5_K)(mixture, layer)


def _where_told(mixture: Mixture, layer: int) -> TensorType | None:
    return _eighth(Q5_1)(mixture, layer) if mixture.has_importance else None


@dataclass(frozen=True)
class Target:
    """What a ``--type`` stands for: the type of matrices, GGUF's ``general.file_type``, how the others are chosen."""

    type: TensorType
    file_type: int
    spares_embedding: bool = False
    as_llama_cpp: bool = False
    values: Rule | None = None
    """For the values' projection."""
    down: Rule | None = None
    """For the FFN's second matrix."""
    attn_output: TensorType | None = None
    few_bits: bool = False
    """With 8 experts the attention's output takes Q5_K."""


TARGETS: dict[str, Target] = {
    "q4_0": Target(Q4_0, 2, spares_embedding=True),
    "q4_1": Target(Q4_1, 3, spares_embedding=True),
    "q5_0": Target(Q5_0, 8, as_llama_cpp=True, down=_where_told),
    "q5_1": Target(Q5_1, 9, as_llama_cpp=True),
    "q8_0": Target(Q8_0, 7),
    "q2_k": Target(
        Q2_K,
        10,
        as_llama_cpp=True,
        values=lambda mixture, layer: Q4_K if mixture.heads_a_value >= 4 else Q3_K,
        down=_always(Q3_K),
        attn_output=Q3_K,
        few_bits=True,
    ),
    "q3_k_m": Target(
        Q3_K,
        12,
        as_llama_cpp=True,
        values=lambda mixture, layer: Q5_K if layer < 2 else Q4_K,
        down=lambda mixture, layer: Q5_K if layer < mixture.n_layers // 16 else Q4_K,
        attn_output=Q4_K,
        few_bits=True,
    ),
    "q4_k_s": Target(
        Q4_K,
        14,
        as_llama_cpp=True,
        values=lambda mixture, layer: Q5_K if layer < 4 else None,
        down=_eighth(Q5_K),
        few_bits=True,
    ),
    "q4_k_m": Target(Q4_K, 15, as_llama_cpp=True, values=_more_bits, down=_more_bits, few_bits=True),
    "q5_k_s": Target(Q5_K, 16, as_llama_cpp=True),
    "q5_k_m": Target(Q5_K, 17, as_llama_cpp=True, values=_more_bits, down=_more_bits),
    "q6_k": Target(Q6_K, 18, as_llama_cpp=True),
    "iq4_nl": Target(IQ4_NL, 25, as_llama_cpp=True, values=_where_shared, down=_unless_told, few_bits=True),
    "iq4_xs": Target(IQ4_XS, 30, as_llama_cpp=True, values=_where_shared, down=_unless_told, few_bits=True),
    "f16": Target(F16, 1),
}

# What takes the place of a type whose blocks do not fit.
_OF_SMALLER_BLOCKS = {Q2_K: Q4_0, Q3_K: Q4_0, Q4_K: Q5_0, Q5_K: Q5_1, Q6_K: Q8_0, IQ4_XS: IQ4_NL}
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
    heads_a_value: int
    is_big: bool
    is_tied: bool
    has_importance: bool

    @classmethod
    def of(cls, file: GGUFFile, target: Target, has_importance: bool = False) -> Mixture:
        """What the choice depends on, from the model's keys; a file without them is one of no layers."""
        architecture = file.metadata.get("general.architecture")

        def number(key: str) -> int | None:  # some architectures have a list with a number a layer
            value = file.metadata.get(f"{architecture}.{key}")
            return value if isinstance(value, int) else None

        n_layers, heads = number("block_count") or 0, number("attention.head_count")
        kv_heads = number("attention.head_count_kv")
        shared = architecture == "qwen2" or heads != kv_heads
        is_big = n_layers == _BIG and shared and architecture in ("llama", "qwen2")
        heads_a_value = heads // kv_heads if heads and kv_heads else 1
        tied = _OUTPUT not in file.tensors
        return cls(target, n_layers, number("expert_count") or 0, heads_a_value, is_big, tied, has_importance)

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
            kind = self._by(self.target.values, layer)
            if self.is_big and kind in (Q3_K, Q4_K):
                kind = Q5_K
            return Q8_0 if self.n_experts == 8 else kind
        if self.n_experts == 8 and role == "attn_k":
            return Q8_0
        if role == "attn_output":
            if self.n_experts == 8:
                return Q5_K if self.target.few_bits else kind
            return self.target.attn_output or kind
        return self._by(self.target.down, layer) if role.startswith("ffn_down") else kind

    def _by(self, rule: Rule | None, layer: int) -> TensorType:
        return (rule(self, layer) if rule else None) or self.target.type
