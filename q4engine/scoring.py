"""How well a model predicts a text, and how far it is from another one: perplexity and Kullback-Leibler divergence.

As llama.cpp's ``perplexity`` defines them: the text's tokens are cut into windows of ``n_ctx``, each window starts from
an empty cache (with the begin token in place of its first where the model wants one), and the predictions of its second
half are scored, so that each has at least half a window before it. What is left over at the end is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q4engine.engine import Engine, Session
from q4engine.errors import Q4Error
from q4engine.tokenizer import Tokenizer

_ROWS = 64  # predictions that are held at a time: a vocabulary of 262144 has 64 MB of logits in them
_FEW_ROWS = 8  # and of those in float64


@dataclass(frozen=True)
class Mean:
    """A mean over scored tokens, and its standard error (0 where there is but one)."""

    value: float
    error: float


@dataclass(frozen=True)
class Score:
    """``nll``: the negative logarithm of what a token's probability was, natural, on the mean over ``n_tokens``."""

    n_windows: int
    n_tokens: int
    nll: Mean

    @property
    def perplexity(self) -> Mean:
        value = math.exp(self.nll.value)
        return Mean(value, value * self.nll.error)


@dataclass(frozen=True)
class Divergence:
    """From a base: its own score, KL(base ‖ model) in nats, how often both have the same likeliest token."""

    base: Score
    kl: Mean
    largest_kl: float
    same_top: Mean


Progress = Callable[[int, int, Score], None]
"""Told of each window that is done: how many, of how many, the score so far."""


class _Sum:
    """Values one after the other, as their sum and that of their squares."""

    def __init__(self) -> None:
        self.count, self.total, self.squares, self.largest = 0, 0.0, 0.0, -math.inf

    def add(self, values: np.ndarray) -> None:
        self.count += len(values)
        self.total += float(values.sum())
        self.squares += float((values * values).sum())
        self.largest = max(self.largest, float(values.max()))

    def mean(self) -> Mean:
        value = self.total / self.count
        variance = max(self.squares / self.count - value * value, 0.0)
        return Mean(value, math.sqrt(variance / (self.count - 1)) if self.count > 1 else 0.0)


def text_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """A text as it is scored: as plain text, after the begin token where the model wants one; never an end token."""
    ids = tokenizer.encode(text, add_bos=False, parse_special=False)
    bos = tokenizer.vocabulary.bos_id if tokenizer.add_bos else None
    return ids if bos is None else [bos, *ids]


def require_same_vocabulary(engine: Engine, base: Engine) -> None:
    """Q4Error unless both models' tokens are the same, so that their predictions can be compared."""
    paths: list[Path] = [engine.gguf.path, base.gguf.path]
    sizes = [engine.config.vocab_size, base.config.vocab_size]
    if sizes[0] != sizes[1]:
        raise Q4Error(f"{paths[1]}: has a vocabulary of {sizes[1]} tokens, expected {sizes[0]} as {paths[0]} has")
    pairs = zip(engine.tokenizer.vocabulary.tokens, base.tokenizer.vocabulary.tokens, strict=True)
    for token, (one, other) in enumerate(pairs):
        if one != other:
            raise Q4Error(f"{paths[1]}: token {token} is {other!r}, expected {one!r} as {paths[0]} has")


def score(
    session: Session,
    tokens: Sequence[int],
    n_ctx: int,
    base: Session | None = None,
    n_windows: int | None = None,
    progress: Progress | None = None,
) -> tuple[Score, Divergence | None]:
    """Score the windows of ``n_ctx`` tokens (``n_windows`` of them at most), with ``base`` the divergence from it too.

    ``tokens`` as :func:`text_tokens` gives them. Both sessions hold at least ``n_ctx`` tokens and are emptied. Q4Error
    where there is no whole window.
    """
    if n_ctx < 4:
        raise ValueError(f"windows of {n_ctx} tokens, expected at least 4")
    whole = len(tokens) // n_ctx
    if whole == 0:
        raise Q4Error(f"the text has {len(tokens)} tokens, expected at least {n_ctx}, one window")
    total = whole if n_windows is None else min(whole, n_windows)
    nll, base_nll, kl, same = _Sum(), _Sum(), _Sum(), _Sum()
    for done in range(total):
        window = _window(session.engine.tokenizer, tokens, done, n_ctx)
        first = n_ctx // 2
        for each in (session, base):
            if each is not None:
                each.truncate(0)
                each.decode(window[:first], phase="prefill")
        for start in range(first, n_ctx - 1, _ROWS):
            rows = window[start : min(start + _ROWS, n_ctx - 1)]
            following = np.asarray(window[start + 1 : start + 1 + len(rows)])
            logits = session.decode(rows, all_logits=True, phase="prefill")
            others = None if base is None else base.decode(rows, all_logits=True, phase="prefill")
            for at in range(0, len(rows), _FEW_ROWS):
                part = slice(at, at + _FEW_ROWS)
                log_q = _log_softmax(logits[part])
                nll.add(_nll(log_q, following[part]))
                if others is not None:
                    log_p = _log_softmax(others[part])
                    base_nll.add(_nll(log_p, following[part]))
                    kl.add((np.exp(log_p) * (log_p - log_q)).sum(axis=1))
                    same.add((log_p.argmax(axis=1) == log_q.argmax(axis=1)).astype(np.float64))
        if progress is not None:
            progress(done + 1, total, Score(done + 1, nll.count, nll.mean()))
    found = Score(total, nll.count, nll.mean())
    if base is None:
        return found, None
    return found, Divergence(Score(total, base_nll.count, base_nll.mean()), kl.mean(), kl.largest, same.mean())


def _window(tokenizer: Tokenizer, tokens: Sequence[int], number: int, n_ctx: int) -> list[int]:
    window = list(tokens[number * n_ctx : (number + 1) * n_ctx])
    if tokenizer.add_bos and tokenizer.vocabulary.bos_id is not None:
        window[0] = tokenizer.vocabulary.bos_id
    return window


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    """Natural logarithms of probabilities, float64 [rows, vocabulary]."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _nll(log_probabilities: np.ndarray, following: np.ndarray) -> np.ndarray:
    nll: np.ndarray = -log_probabilities[np.arange(len(following)), following]
    return nll
