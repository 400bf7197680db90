"""What a synthetic model looks like: hyper-parameters, tensor table, metadata."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from q4engine.gguf.types import TensorType


@dataclass(frozen=True)
class TensorSpec:
    """One tensor: ``shape`` is (rows, columns) or (elements,); ``std`` is the spread of its random values."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    mean: float = 0.0
    std: float = 0.0


@dataclass(frozen=True)
class ModelSpec:
    """A decoder of the kind that q4engine/models/transformer.py describes, under the name ``architecture``.

    ``keys`` are more of the architecture's metadata: integers are written as uint32, floats as float32.
    ``types`` overrides ``weight_type`` for a role: token_embd, output, attn_q, attn_k, attn_v, attn_output, ffn_gate,
    ffn_up, ffn_down. Where a tensor's columns are no multiple of the type's block it becomes ``fallback_type``.
    """

    architecture: str = "llama"
    n_layers: int = 2
    dim: int = 64
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 16
    n_ffn: int = 96
    vocab_size: int = 320
    n_ctx_train: int = 512
    tied_output: bool = False
    rope_freq_base: float = 10000.0
    rope_freqs: bool = False
    qkv_bias: bool = False
    other_biases: bool = False
    """Of the attention's output, and of the three matrices of the feed-forward network."""
    head_norm: bool = False
    """Heads of Q and K are normed."""
    row_norm: bool = False
    """Q and K are normed over all their heads."""
    pre_norm: bool = True
    plain_norm: bool = False
    """Norms have no weights, and their epsilon another key."""
    post_norm: bool = False
    """What is added to the residual is normed."""
    fused: bool = False
    """Q, K and V in one tensor, gate and up in another."""
    long_factors: bool = False
    """RoPE has factors for contexts up to the original one and for longer ones."""
    n_experts: int = 0
    """Of each layer, whose feed-forward network is a mixture of them; 0: it is one network."""
    n_used: int = 0
    n_expert_ffn: int = 64
    n_shared_ffn: int = 0
    """Of the network that all tokens go to; 0: there is none."""
    rope_dim: int | None = None
    embedding_std: float = 1.0
    keys: dict[str, int | float | str | bool | list[bool]] = field(default_factory=dict)
    rms_eps: float = 1e-5
    weight_type: TensorType = TensorType.Q4_0
    fallback_type: TensorType = TensorType.F16
    types: dict[str, TensorType] = field(default_factory=dict)
    pre_tokenizer: str = "gpt-2"
    seed: int = 1
    name: str = "synthetic tiny random"

    def with_changes(self, **changes: object) -> ModelSpec:
        return replace(self, **changes)  # type: ignore[arg-type]

    def type_of(self, role: str, columns: int) -> TensorType:
        kind = self.types.get(role, self.weight_type)
        return kind if columns % kind.block_size == 0 else self.fallback_type

    def tensors(self) -> list[TensorSpec]:
        """The tensor table in the order of execution."""
        table = [self._weight("token_embd", "token_embd.weight", self.vocab_size, self.dim, std=self.embedding_std)]
        if self.rope_freqs:
            table.append(
                TensorSpec(
                    "rope_freqs.weight", ((self.rope_dim or self.head_dim) // 2,), TensorType.F32, mean=2.0, std=0.5
                )
            )
        if self.long_factors:
            n_pairs = (self.rope_dim or self.head_dim) // 2
            table += [
                TensorSpec(f"rope_factors_{kind}.weight", (n_pairs,), TensorType.F32, mean=mean, std=mean / 4)
                for kind, mean in (("short", 1.5), ("long", 4.0))
            ]
        for layer in range(self.n_layers):
            table += self._layer(f"blk.{layer}.")
        if not self.plain_norm:
            table.append(_norm("output_norm.weight", self.dim))
        if not self.tied_output:
            # Spread logits: greedy choices of a random model should not hang on the last bits.
            table.append(self._weight("output", "output.weight", self.vocab_size, self.dim, std=4 / self.dim**0.5))
        return table

    def _layer(self, prefix: str) -> list[TensorSpec]:
        q_dim, kv_dim = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        weighed = self.pre_norm and not self.plain_norm
        table = [_norm(prefix + "attn_norm.weight", self.dim)] if weighed else []
        if self.fused:
            table.append(self._weight("attn_qkv", prefix + "attn_qkv.weight", q_dim + 2 * kv_dim, self.dim))
        else:
            table += [
                self._weight("attn_q", prefix + "attn_q.weight", q_dim, self.dim),
                self._weight("attn_k", prefix + "attn_k.weight", kv_dim, self.dim),
                self._weight("attn_v", prefix + "attn_v.weight", kv_dim, self.dim),
            ]
        if self.qkv_bias:
            for role, size in (("attn_q", q_dim), ("attn_k", kv_dim), ("attn_v", kv_dim)):
                table.append(TensorSpec(f"{prefix}{role}.bias", (size,), TensorType.F32, std=0.5))
        if self.head_norm:
            table += [_norm(f"{prefix}attn_{part}_norm.weight", self.head_dim) for part in "qk"]
        if self.row_norm:
            table += [_norm(f"{prefix}attn_{part}_norm.weight", size) for part, size in (("q", q_dim), ("k", kv_dim))]
        table.append(self._weight("attn_output", prefix + "attn_output.weight", self.dim, q_dim))
        if self.post_norm:
            table.append(_norm(prefix + "post_attention_norm.weight", self.dim))
        if weighed:
            table.append(_norm(prefix + "ffn_norm.weight", self.dim))
        if self.n_experts:
            return table + self._mixture(prefix)
        if not self.fused:
            table.append(self._weight("ffn_gate", prefix + "ffn_gate.weight", self.n_ffn, self.dim))
        table += [
            self._weight("ffn_up", prefix + "ffn_up.weight", (2 if self.fused else 1) * self.n_ffn, self.dim),
            self._weight("ffn_down", prefix + "ffn_down.weight", self.dim, self.n_ffn),
        ]
        if self.post_norm:
            table.append(_norm(prefix + "post_ffw_norm.weight", self.dim))
        if self.other_biases:
            sizes = {"attn_output": self.dim, "ffn_gate": self.n_ffn, "ffn_up": self.n_ffn, "ffn_down": self.dim}
            table += [
                TensorSpec(f"{prefix}{role}.bias", (size,), TensorType.F32, std=0.25) for role, size in sizes.items()
            ]
        return table

    def _mixture(self, prefix: str) -> list[TensorSpec]:
        """The router is F32, and its scores are spread so that no choice hangs on the last bits."""
        dim, width, shared = self.dim, self.n_expert_ffn, self.n_shared_ffn
        std = 2 / dim**0.5
        table = [TensorSpec(prefix + "ffn_gate_inp.weight", (self.n_experts, dim), TensorType.F32, std=std)]
        for role, rows, columns in (("ffn_gate", width, dim), ("ffn_up", width, dim), ("ffn_down", dim, width)):
            matrix = self._weight(role, f"{prefix}{role}_exps.weight", rows, columns)
            table.append(replace(matrix, shape=(self.n_experts, rows, columns)))
        if shared:
            table += [
                TensorSpec(prefix + "ffn_gate_inp_shexp.weight", (dim,), TensorType.F32, std=std),
                self._weight("ffn_gate", prefix + "ffn_gate_shexp.weight", shared, dim),
                self._weight("ffn_up", prefix + "ffn_up_shexp.weight", shared, dim),
                self._weight("ffn_down", prefix + "ffn_down_shexp.weight", dim, shared),
            ]
        return table

    def _weight(self, role: str, name: str, rows: int, columns: int, std: float | None = None) -> TensorSpec:
        spread = columns**-0.5 if std is None else std  # keeps the variance of a product at that of its input
        return TensorSpec(name, (rows, columns), self.type_of(role, columns), std=spread)


def _norm(name: str, size: int) -> TensorSpec:
    return TensorSpec(name, (size,), TensorType.F32, mean=1.0, std=0.2)
