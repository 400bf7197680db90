"""What is measured: prompts (pp), generation (tg) and both in one, behind a depth of tokens that the cache has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from q4engine.engine import Engine
from q4engine.profiling.recording import kv_bytes_read, weight_bytes_per_token


@dataclass(frozen=True)
class Case:
    """``n_prompt`` tokens evaluated at once, then ``n_gen`` tokens one after the other, behind ``depth`` tokens."""

    n_prompt: int
    n_gen: int
    depth: int = 0

    @property
    def name(self) -> str:
        """pp512, tg128, pp512+tg128; at a depth "tg128 @ d2048"."""
        parts = [f"pp{self.n_prompt}"] * bool(self.n_prompt) + [f"tg{self.n_gen}"] * bool(self.n_gen)
        name = "+".join(parts)
        return f"{name} @ d{self.depth}" if self.depth else name

    @property
    def is_one_kind(self) -> bool:
        """Whether one limit of the machine is its own: a prompt with its generation has one of each."""
        return not (self.n_prompt and self.n_gen)

    @property
    def n_tokens(self) -> int:
        return self.n_prompt + self.n_gen

    @property
    def n_ctx(self) -> int:
        """Tokens of context that the test fills."""
        return self.depth + self.n_tokens


def cases(
    prompts: Sequence[int], gens: Sequence[int], depths: Sequence[int], both: Sequence[tuple[int, int]] = ()
) -> list[Case]:
    """All combinations, a depth at a time, prompts first. A length of 0 stands for no such test.

    both: lengths of a prompt and of the generation behind it, measured in one.
    """

    def combined() -> Iterator[Case]:
        for depth in depths:
            yield from (Case(n, 0, depth) for n in prompts if n)
            yield from (Case(0, n, depth) for n in gens if n)
            yield from (Case(*lengths, depth) for lengths in both if any(lengths))

    return list(dict.fromkeys(combined()))


@dataclass(frozen=True)
class Work:
    """What an engine must do for a test at least, whoever does it.

    ``n_bytes``: packed weights, norms, biases, an embedding row and the keys and values that attention reads, for all
    tokens of a generation. ``int8_macs``: multiply-accumulates of quantised weights (attention is not among them).
    """

    n_bytes: int
    int8_macs: int


def work(engine: Engine, test: Case, n_batch: int) -> Work:
    """The work of a test whose prompt is evaluated in batches of ``n_batch``."""
    n_bytes = 0
    if test.n_gen:
        # the token at position p reads the keys and values of p + 1 positions, less where a layer has a window
        behind = test.depth + test.n_prompt
        cached = sum(kv_bytes_read(engine, behind + i + 1) for i in range(test.n_gen))
        n_bytes = test.n_gen * weight_bytes_per_token(engine) + cached
    return Work(n_bytes, _int8_macs(engine, test, n_batch))


def _int8_macs(engine: Engine, test: Case, n_batch: int) -> int:
    """Operations of the last token only are done once a call."""
    n_calls = test.n_gen + -(-test.n_prompt // n_batch)
    macs = 0
    for op in engine.graph.ops:
        if op.kind not in ("matmul", "experts"):
            continue
        tensors = engine.graph.weights[op.index("weight")]
        if tensors[0].type.block_size > 1:
            elements = sum(tensor.n_elements for tensor in tensors)
            if op.kind == "experts":
                elements = elements // op.index("experts") * op.index("used")
            macs += elements * (n_calls if op.last else test.n_tokens)
    return macs
