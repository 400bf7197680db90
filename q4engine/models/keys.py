"""Reads an architecture's hyper-parameters from a GGUF file, each key with its range."""

from __future__ import annotations

from fnmatch import fnmatch

from q4engine.errors import Q4Error, shown
from q4engine.gguf import GGUFFile
from q4engine.gguf.metadata import GGUFArray
from q4engine.models.rope_scaling import RopeScaling, yarn_magnitude

_MAX_COUNT = 1 << 30
_MIN_FACTOR, _MAX_FACTOR = 0.25, 1e6  # of RoPE; below, angles would leave what sine and cosine are exact for
_MAX_ROPE_BASE = 1e30
_MIN_EPSILON = 1e-30  # below, a row of zeros would be divided by nothing


_CHANGING: dict[str, tuple[float, ...]] = {
    "attention.*_lora_rank": (0,),
    "attention.*_mla": (),
    "attention.*_swa": (),
    "attention.causal": (1,),
    "attention.clamp_kqv": (0,),
    "attention.group_norm_*": (),
    "attention.layer_norm_epsilon": (),
    "attention.max_alibi_bias": (0,),
    "attention.output_scale": (1,),
    "attention.relative_buckets_count": (),
    "attention.scale": (0,),
    "attention.shared_kv_layers": (0,),
    "attention.sliding_window": (0,),
    "attention.temperature_*": (0,),
    "activation_sparsity_scale": (),
    "altup.*": (),
    "attn_logit_softcapping": (0,),
    "decoder_*": (),
    "embedding_length_per_layer_input": (0,),
    "embedding_scale": (0, 1),
    "expert_gating_func": (0, 1),
    "expert_group_*": (0, 1),
    "expert_weights_scale": (0, 1),
    "expert*": (0,),
    "final_logit_softcapping": (0,),
    "full_attention_interval": (),
    "interleave_moe_layer_step": (0, 1),
    "leading_dense_block_count": (0,),
    "logit_scale": (0, 1),
    "moe_*": (0,),
    "n_deepstack_layers": (0,),
    "nextn_predict_layers": (0,),
    "pooling_type": (0,),
    "rescale_every_n_layers": (0,),
    "residual_scale": (0, 1),
    "rope.*_swa": (),
    "rope.dimension_sections": (),
    "rope.scaling.alpha": (0, 1),
    "rope.scaling.attn_factor": (1,),
    "rope.scaling.factor": (0, 1),
    "rope.scaling.yarn_attn_factor": (1,),
    "rope.scaling.yarn_ext_factor": (-1, 1),
    "rope.scaling.yarn_log_multiplier": (0,),
    "router_logit_softcapping": (0,),
    "ssm.*": (),
    "swiglu_clamp_*": (0,),
    "swin_norm": (0,),
    "use_parallel_residual": (0,),
    "wkv.*": (),
}
"""Keys that change what a model computes, by patterns of which the first counts, with values that change nothing."""


class KeyReader:
    """Reads the keys of one architecture; a Q4Error names the key that is missing, out of range or contradicts another.

    Keys are given without the architecture's prefix. What several architectures have in common is a method here.
    """

    def __init__(self, file: GGUFFile, architecture: str) -> None:
        self.file = file
        self.architecture = architecture
        self._meta = file.metadata
        self._prefix = architecture + "."
        self._read: set[str] = set()

    def error(self, key: str, message: str) -> Q4Error:
        return Q4Error(f"{self.file.path}: key {shown(self._prefix + key)} {message}")

    def count(self, key: str, default: int | None = None, least: int = 1, most: int = _MAX_COUNT) -> int:
        """A number of things: at least 1, unless ``least`` says otherwise."""
        self._read.add(key)
        full = self._prefix + key
        value = self._meta.integer(full) if default is None else self._meta.integer(full, default)
        if not least <= value <= most:
            raise self.error(key, f"is {value}, expected {least} to {most}")
        return value

    def real(self, key: str, low: float, high: float, default: float | None = None) -> float:
        self._read.add(key)
        full = self._prefix + key
        value = self._meta.real(full) if default is None else self._meta.real(full, default)
        if not low <= value <= high:
            raise self.error(key, f"is {value:g}, expected {low:g} to {high:g}")
        return value

    def text(self, key: str, default: str) -> str:
        self._read.add(key)
        return self._meta.string(self._prefix + key, default)

    def flag(self, key: str, default: bool) -> bool:
        self._read.add(key)
        return self._meta.flag(self._prefix + key, default)

    def scale(self, key: str) -> float:
        """What something is multiplied by; 1 where the file says nothing."""
        return self.real(key, 2.0**-60, 2.0**60, 1.0)

    def cap(self, key: str, default: float = 0.0) -> float:
        """Where s becomes cap · tanh(s / cap); 0 for none."""
        value = self.real(key, 0.0, 2.0**60, default)
        if value and value < 2.0**-60:
            raise self.error(key, f"is {value:g}, expected 0 or at least {2.0**-60:g}")
        return value

    def vocab_size(self) -> int:
        """The embedding's rows. Whether its columns are right is the graph's to say."""
        embedding = self.file.tensor("token_embd.weight")
        if len(embedding.shape) != 2:
            raise Q4Error(
                f"{self.file.path}: tensor 'token_embd.weight' has shape {embedding.shape}, expected 2 dimensions"
            )
        return embedding.shape[0]

    def has_tensor(self, name: str) -> bool:
        return name in self.file.tensors

    def n_kv_heads(self, n_heads: int) -> int:
        """How many heads keys and values have; as many as queries unless the file says otherwise."""
        n_kv_heads = self.count("attention.head_count_kv", n_heads)
        if n_heads % n_kv_heads:
            raise self.error("attention.head_count_kv", f"is {n_kv_heads}, expected a divisor of the {n_heads} heads")
        return n_kv_heads

    def head_dim(self, dim: int, n_heads: int) -> int:
        """The size of a head of queries, keys and values alike."""
        if self._prefix + "attention.key_length" not in self._meta and dim % n_heads:
            raise self.error("attention.head_count", f"is {n_heads}, expected a divisor of the embedding length {dim}")
        head_dim = self.count("attention.key_length", max(1, dim // n_heads))
        value_dim = self.count("attention.value_length", head_dim)
        if value_dim != head_dim:
            raise self.error("attention.value_length", f"is {value_dim}, expected the key length {head_dim}")
        return head_dim

    def rope_dim(self, head_dim: int) -> int:
        """How many elements of a head RoPE rotates."""
        rope_dim = self.count("rope.dimension_count", head_dim)
        if rope_dim % 2 or rope_dim > head_dim:
            raise self.error("rope.dimension_count", f"is {rope_dim}, expected an even number up to {head_dim}")
        return rope_dim

    def rope_freq_base(self, key: str = "rope.freq_base", default: float = 10000.0) -> float:
        return self.real(key, 1.0, _MAX_ROPE_BASE, default)

    def epsilon(self, key: str) -> float:
        """What a norm adds to a mean of squares."""
        return self.real(key, _MIN_EPSILON, 0.5)

    def rope_scaling(self) -> RopeScaling:
        """How frequencies are stretched, but for longrope."""
        older = self.real("rope.scale_linear", 0.0, _MAX_FACTOR, 0.0)
        factor = self.real("rope.scaling.factor", 0.0, _MAX_FACTOR, older)
        kind = self.text("rope.scaling.type", "linear" if factor not in (0.0, 1.0) else "none")
        magnitude = self.real("rope.scaling.attn_factor", 2.0**-8, 2.0**8, 1.0)
        if kind == "none":  # whatever is said of a factor
            return RopeScaling(magnitude=magnitude)
        if kind not in ("linear", "yarn"):
            raise self.error("rope.scaling.type", f"is {shown(kind)}, expected 'none', 'linear' or 'yarn'")
        if not factor >= _MIN_FACTOR:
            raise self.error("rope.scaling.factor", f"is {factor:g}, expected {_MIN_FACTOR:g} to {_MAX_FACTOR:g}")
        if kind == "linear":
            return RopeScaling(kind, factor, magnitude=magnitude)
        if self.rope_freq_base() <= 1.0:
            raise self.error("rope.freq_base", "is 1, expected more with YaRN")
        return RopeScaling(
            kind, factor, self._original_context(), magnitude * yarn_magnitude(max(factor, 1.0)),
            self.real("rope.scaling.yarn_beta_fast", 2.0**-10, 1e6, 32.0),
            self.real("rope.scaling.yarn_beta_slow", 2.0**-10, 1e6, 1.0),
        )  # fmt: skip

    def longrope(self) -> RopeScaling:
        """Of a model with tensors of factors, for contexts up to the original one and for longer ones."""
        kind = self.text("rope.scaling.type", "longrope")
        if kind not in ("none", "longrope"):
            raise self.error("rope.scaling.type", f"is {shown(kind)}, expected 'longrope': the factors are tensors")
        magnitude = self.real("rope.scaling.attn_factor", 2.0**-8, 2.0**8, 1.0)
        return RopeScaling("longrope", original=self._original_context(), magnitude=magnitude)

    def _original_context(self) -> int:
        return self.count("rope.scaling.original_context_length", self.count("context_length"))

    def windows(self, n_layers: int, pattern: int = 1, default: int = 0) -> tuple[int, ...]:
        """How many positions each layer sees, 0 for all. Of ``pattern`` layers the last sees all; 1: none does."""
        key = "attention.sliding_window"
        if self._prefix + key in self._meta:
            window = self.count(key, least=0 if pattern == 1 else 1)
        else:
            window = default
        local = self._local_layers(n_layers, pattern)
        return tuple(window if is_local else 0 for is_local in local)

    def _local_layers(self, n_layers: int, pattern: int) -> list[bool]:
        key = "attention.sliding_window_pattern"
        full = self._prefix + key
        if full in self._meta and isinstance(self._meta[full], GGUFArray):
            self._read.add(key)
            flags: GGUFArray = self._meta[full]
            if len(flags) != n_layers:
                raise self.error(key, f"has {len(flags)} elements, expected {n_layers}, one a layer")
            return [bool(flag) for flag in flags.to_numpy()]
        pattern = self.count(key, pattern)
        return [pattern == 1 or layer % pattern < pattern - 1 for layer in range(n_layers)]

    def refuse_unread(self) -> None:
        """Q4Error for a key that nobody has read and that would change the result, unless its value changes nothing."""
        for full in self._meta:
            key = full.removeprefix(self._prefix)
            if key == full or key in self._read:
                continue
            neutral = next((_CHANGING[pattern] for pattern in _CHANGING if fnmatch(key, pattern)), None)
            if neutral is not None and self._meta[full] not in neutral:
                told = f"is {_told(self._meta[full])}"
                told += f", expected {' or '.join(f'{value:g}' for value in neutral)}" if neutral else ""
                raise self.error(key, f"{told}: not supported for {self.architecture}")


def _told(value: object) -> str:
    return shown(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, (int, float)) else "an array"
