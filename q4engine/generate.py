"""The generation loop: prompt in, tokens out one by one, with the times of each part."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Literal, Protocol

from q4engine.errors import ContextFullError, Q4Error

if TYPE_CHECKING:
    import numpy as np

    from q4engine.engine import Phase

StopReason = Literal["stop token", "length", "context full", "interrupted", "error", "reverse prompt"]


class Decoder(Protocol):
    """What generation needs of a session."""

    n_ctx: int

    @property
    def tokens(self) -> Sequence[int]: ...

    def held(self, tokens: Sequence[int]) -> int: ...

    def sync(self, tokens: Sequence[int], *, phase: Phase) -> np.ndarray: ...

    def decode(self, tokens: Sequence[int], *, phase: Phase) -> np.ndarray: ...


class TokenSampler(Protocol):
    def sample(self, logits: np.ndarray, history: Sequence[int]) -> int: ...


@dataclass
class Stopwatch:
    """Seconds that a part of a run took, and how many tokens it handled."""

    seconds: float = 0.0
    tokens: int = 0

    @contextmanager
    def measured(self, tokens: int) -> Iterator[None]:
        """Adds the time of the block, and the tokens where it is left without an exception."""
        start = time.perf_counter()
        try:
            yield
            self.tokens += tokens
        finally:
            self.seconds += time.perf_counter() - start

    def as_dict(self) -> dict[str, float | int]:
        rate = {"tokens_per_second": self.tokens / self.seconds} if self.tokens and self.seconds else {}
        return {"ms": self.seconds * 1e3, "tokens": self.tokens, **rate}

    def line(self, name: str, unit: str = "tokens") -> str:
        text = f"{name:>16} time = {self.seconds * 1e3:10.2f} ms / {self.tokens:5d} {unit:6}"
        if not self.tokens or not self.seconds:
            return text.rstrip()
        each, rate = self.seconds * 1e3 / self.tokens, self.tokens / self.seconds
        return f"{text} ({each:8.2f} ms per token, {rate:8.2f} tokens per second)"


@dataclass
class Timings:
    """Where the time of a run went. ``tokenise`` counts tokens of the prompt, ``evaluate`` generated ones."""

    load_seconds: float = 0.0
    tokenise: Stopwatch = field(default_factory=Stopwatch)
    prompt: Stopwatch = field(default_factory=Stopwatch)
    evaluate: Stopwatch = field(default_factory=Stopwatch)
    sample: Stopwatch = field(default_factory=Stopwatch)

    def lines(self) -> list[str]:
        """The summary, in llama.cpp's wording."""
        parts = (self.tokenise, self.prompt, self.sample, self.evaluate)
        total = sum(part.seconds for part in parts) * 1e3
        return [
            f"{'load':>16} time = {self.load_seconds * 1e3:10.2f} ms",
            self.tokenise.line("tokenise"),
            self.prompt.line("prompt eval"),
            self.sample.line("sampling", "runs"),
            self.evaluate.line("eval", "runs"),
            f"{'total':>16} time = {total:10.2f} ms / {self.prompt.tokens + self.evaluate.tokens:5d} tokens",
        ]

    def as_dict(self) -> dict[str, object]:
        return {
            "load": {"ms": self.load_seconds * 1e3},
            "tokenise": self.tokenise.as_dict(),
            "prompt_eval": self.prompt.as_dict(),
            "sampling": self.sample.as_dict(),
            "eval": self.evaluate.as_dict(),
        }


class Generation:
    """One answer. Iterate over it once for its tokens; a token that ends the text is not among them.

    ``tokens`` holds those given so far, and ``stop_reason`` says afterwards why it ended.
    """

    def __init__(
        self,
        session: Decoder,
        prompt: Sequence[int],
        sampler: TokenSampler,
        n_predict: int,
        stop_tokens: Collection[int],
        timings: Timings | None = None,
    ) -> None:
        self.prompt = prompt
        self.timings = timings if timings is not None else Timings()
        self.tokens: list[int] = []
        self.stop_reason: StopReason = "interrupted"
        self.at_end: Callable[[], object] = lambda: None
        """Called when the last token was given, or nobody asks for more."""
        self.behind_prompt: Callable[[], object] = lambda: None
        """Called when the prompt was evaluated, and nothing else yet."""
        self._session = session
        self._sampler = sampler
        self._n_predict = n_predict
        self._stop_tokens = stop_tokens

    def __iter__(self) -> Iterator[int]:
        try:
            yield from self._tokens()
        except Q4Error as error:
            self.stop_reason = "context full" if isinstance(error, ContextFullError) else "error"
            raise
        finally:
            self.at_end()

    def _tokens(self) -> Iterator[int]:
        session = self._session
        with self.timings.prompt.measured(len(self.prompt) - session.held(self.prompt)):
            logits = session.sync(self.prompt, phase="prefill")
        self.behind_prompt()
        while len(self.tokens) != self._n_predict:
            with self.timings.sample.measured(1):
                token = self._sampler.sample(logits, session.tokens)
            if token in self._stop_tokens:
                self.stop_reason = "stop token"
                return
            self.tokens.append(token)
            yield token
            if len(self.tokens) == self._n_predict:
                break
            if self._n_predict < 0 and len(session.tokens) >= session.n_ctx:
                self.stop_reason = "context full"
                return
            with self.timings.evaluate.measured(1):
                logits = session.decode([token], phase="decode")
        self.stop_reason = "length"


def generate(
    session: Decoder,
    prompt: Sequence[int],
    sampler: TokenSampler,
    n_predict: int = -1,
    stop_tokens: Collection[int] = (),
    timings: Timings | None = None,
) -> Generation:
    """Tokens that continue ``prompt``: all that the session is to hold before them. It evaluates what it lacks.

    ``n_predict``: how many at most; -1 goes on until a stop token or a full context. A number that the context cannot
    hold raises the session's ContextFullError when it is reached: nothing is ever forgotten silently. Q4Error for what
    is no such number.
    ``timings`` are added to; the prompt's tokens are those that were evaluated.
    """
    if not isinstance(n_predict, Integral) or n_predict < -1:
        raise Q4Error(f"n_predict is {n_predict!r}, expected an integer, -1 or more")
    return Generation(session, prompt, sampler, int(n_predict), stop_tokens, timings)
