"""Sampling: the next token from logits.

The arithmetic is written down (docs/arithmetic.md), so that the same seed gives the same text on every machine: native
(``native/sampling.c``) for bias, penalties, top-k, top-p, min-p, temperature and draw in this order, and a chain in
NumPy (``sampling/chain.py``) where other samplers or another order are asked for.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING

from q4engine.errors import Q4Error
from q4engine.sampling.settings import BOUNDS, MAX_SEED, SAMPLERS, SamplerSettings

__all__ = ["BOUNDS", "MAX_SEED", "SAMPLERS", "Sampler", "SamplerSettings"]

_LOWEST = -float.fromhex("0x1.fffffep+127")  # of fp32

if TYPE_CHECKING:
    import numpy as np

    from q4engine.sampling.chain import Chain, Random
    from q4engine.sampling.grammar import Grammar
    from q4engine.tokenizer import Tokenizer


class Sampler:
    """Chooses tokens, one after the other, from one stream of random numbers.

    ``tokenizer``: tells DRY which tokens break a repetition; Q4Error where it is needed and not there. ``grammar``:
    what the text of these tokens keeps to, from :meth:`begin` on.
    """

    def __init__(
        self, settings: SamplerSettings, tokenizer: Tokenizer | None = None, grammar: Grammar | None = None
    ) -> None:
        from q4engine import _native
        from q4engine.sampling.chain import Random

        self.settings = settings
        self.seed = int.from_bytes(os.urandom(4), "little") if settings.seed is None else settings.seed
        self._native = _native
        self._random: Random = Random(_native.random_state(self.seed))
        self._chain: Chain | None = None if settings.is_native else _chain(settings, tokenizer)
        self._biases = _biases(settings.logit_bias)
        self._n_checked = 0  # of how many logits it is known that all tokens to bias are among them
        self._grammar = grammar

    def begin(self) -> None:
        """Another text begins: what was learnt of the last one is forgotten; random numbers go on."""
        if self._chain is not None:
            self._chain.begin()
        if self._grammar is not None:
            self._grammar.begin()

    def fork(self) -> Sampler:
        """Another one that will draw what this one would."""
        twin = copy(self)
        twin._random = copy(self._random)
        twin._chain = None if self._chain is None else self._chain.fork()
        twin._grammar = None if self._grammar is None else self._grammar.fork()
        return twin

    def sample(self, logits: np.ndarray, history: Sequence[int] = ()) -> int:
        """The id of the next token. ``logits``: float32 [vocab_size]; ``history``: all tokens so far.

        Q4Error where a logit is not finite; it names the token and the position of the last token evaluated.
        """
        import numpy as np

        values = np.ascontiguousarray(logits, np.float32)
        if self.settings.logit_bias:
            values = self._biased(values)
        if self._grammar is None:
            return self._drawn(values, history)
        chain = None if self._chain is None else self._chain.fork()
        token = self._drawn(values, history)
        if not self._grammar.allows(token):
            self._chain = chain  # which has learnt nothing of a token that nobody gets
            token = self._drawn(self._grammar.masked(values), history)
        self._grammar.accept(token)
        return token

    def _drawn(self, values: np.ndarray, history: Sequence[int]) -> int:
        import numpy as np

        if self._chain is None:
            return self._natively(values, history)
        if not np.isfinite(values).all():
            raise _not_finite(values, history)
        return self._chain.sample(values, history, self._random)

    def _natively(self, values: np.ndarray, history: Sequence[int]) -> int:
        import numpy as np

        recent = array("i", self.settings.recent(history))
        try:
            token, self._random.state = self._native.sample(
                values, recent, *self.settings.native_values, self._random.state
            )
        except ValueError as error:
            if np.isfinite(values).all():
                raise
            raise _not_finite(values, history) from error
        return int(token)

    def _biased(self, logits: np.ndarray) -> np.ndarray:
        """A copy with the biases added in fp32; what would leave its range, and what is excluded, stays at its end."""
        import numpy as np

        tokens, biases = self._biases
        if len(logits) != self._n_checked:
            absent = tokens[(tokens < 0) | (tokens >= len(logits))]
            if len(absent):
                raise Q4Error(f"there is no token {absent[0]} to bias, the vocabulary has {len(logits)}")
            self._n_checked = len(logits)
        values = logits.copy()
        found = values[tokens]
        if biases is None and np.isfinite(found).all():  # the usual: some are excluded
            values[tokens] = _LOWEST
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            changed = np.clip(found + (-np.inf if biases is None else biases), _LOWEST, -_LOWEST)
            values[tokens] = np.where(np.isfinite(found), changed, found)
        return values


def _biases(given: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray | None]:
    """Tokens, and what is added to their logits in fp32; None where all are excluded."""
    import numpy as np

    biases = np.fromiter(given.values(), np.float32, len(given))
    return np.fromiter(given, np.int64, len(given)), None if np.isneginf(biases).all() else biases


def _not_finite(logits: np.ndarray, history: Sequence[int]) -> Q4Error:
    """Names the first one."""
    import numpy as np

    token = int(np.flatnonzero(~np.isfinite(logits))[0])
    found = "NaN" if math.isnan(logits[token]) else f"{float(logits[token])}"
    return Q4Error(f"the logit of token {token} at position {len(history) - 1} is {found}, expected a finite number")


def _chain(settings: SamplerSettings, tokenizer: Tokenizer | None) -> Chain:
    from q4engine.sampling.chain import Chain
    from q4engine.sampling.repetition import breakers_of

    if "dry" not in settings.active or not settings.dry_sequence_breakers:
        return Chain(settings, {})
    if tokenizer is None:
        raise Q4Error("DRY's sequence breakers are texts: the sampler needs the tokenizer, or dry_sequence_breakers=()")
    return Chain(settings, breakers_of(settings.dry_sequence_breakers, tokenizer))
