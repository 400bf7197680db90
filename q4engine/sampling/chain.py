"""Samplers that ``native/sampling.c`` does not have, or in another order: a chain of filters, then a draw.

Each does to the tokens that are left what llama.cpp's of that name does (src/llama-sampler.cpp). The arithmetic is fp64
without libm, weights are integers as the native ones are: the same seed gives the same text on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from q4engine.sampling import elementary, repetition
from q4engine.sampling.elementary import LN2

if TYPE_CHECKING:
    from q4engine.sampling.settings import SamplerSettings

_ONE = 2.0**32  # weight of the likeliest token
_MASK = (1 << 64) - 1
_MIROSTAT_M = 100  # tokens that tell how steeply likelihood falls
_NEARLY_ZERO = 1e-9


class Random:
    """PCG-XSH-RR 64/32, as native/sampling.c has it."""

    def __init__(self, state: int) -> None:
        self.state = state

    def next(self) -> int:
        """32 bits."""
        old = self.state
        self.state = (old * 6364136223846793005 + 109) & _MASK
        mixed, turn = ((old >> 18) ^ old) >> 27 & 0xFFFFFFFF, old >> 59
        return (mixed >> turn | mixed << (-turn & 31)) & 0xFFFFFFFF

    def unit(self) -> float:
        """0 to 1, 1 excluded, from 53 bits."""
        high = self.next()
        return ((high << 32 | self.next()) >> 11) * 2.0**-53

    def below(self, total: int) -> int:
        """0 to total − 1."""
        return min(int(self.unit() * float(total)), total - 1)


class Candidates:
    """Tokens that are left, the likeliest first once they are ordered, equal ones by their ids."""

    def __init__(self, ids: np.ndarray, logits: np.ndarray) -> None:
        self.ids = ids
        self.logits = logits
        self._ordered = False

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, chosen: slice | np.ndarray) -> None:
        """Those alone; in their order, where places are given."""
        self.ids, self.logits = self.ids[chosen], self.logits[chosen]

    def changed(self) -> None:
        """Logits were changed one by one."""
        self._ordered = False

    def order(self) -> None:
        if not self._ordered:
            by_id = np.argsort(self.ids, kind="stable")
            self.keep(by_id[np.argsort(-self.logits[by_id], kind="stable")])
            self._ordered = True

    def likeliest(self, n: int) -> None:
        """Keeps n, ordered."""
        if n < len(self) and not self._ordered:  # sorting all takes ten times as long
            least = np.partition(self.logits, len(self) - n)[len(self) - n]
            self.keep(np.flatnonzero(self.logits >= least))
        self.order()
        self.keep(slice(n))

    def weights(self) -> np.ndarray:
        """⌊e^(logit − highest) · 2³²⌋, ordered."""
        self.order()
        shares: np.ndarray = elementary.exp(self.logits - self.logits[0])
        return np.floor(shares * _ONE).astype(np.int64)

    def surprises(self, weights: np.ndarray) -> np.ndarray:
        """−ln of the probabilities; positive weights first, and infinity for the others."""
        total = float(weights.sum())
        n = int(np.count_nonzero(weights))
        found = np.full(len(weights), np.inf)
        found[:n] = -elementary.log(weights[:n] / total)
        return found

    def draw(self, random: Random) -> int:
        """The place of one, by its weight."""
        sums = np.cumsum(self.weights())
        return int(np.searchsorted(sums, random.below(int(sums[-1])), side="right"))


def _penalties(left: Candidates, how: SamplerSettings, recent: Sequence[int]) -> None:
    tokens, counts = np.unique(np.asarray(recent, np.int64), return_counts=True)
    at, which = _places(left, tokens)
    logits = left.logits[at]
    logits = np.where(logits > 0.0, logits / how.repeat_penalty, logits * how.repeat_penalty)
    left.logits[at] = logits - (counts[which] * how.frequency_penalty + how.presence_penalty)
    left.changed()


def _places(left: Candidates, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where tokens are among those left, and which of them are."""
    by_id = np.argsort(left.ids, kind="stable")
    at = np.minimum(np.searchsorted(left.ids, tokens, sorter=by_id), len(left) - 1)
    which = np.flatnonzero(left.ids[by_id[at]] == tokens)
    return by_id[at[which]], which


def _top_k(left: Candidates, how: SamplerSettings) -> None:
    left.likeliest(how.top_k)


def _top_n_sigma(left: Candidates, how: SamplerSettings) -> None:
    """Those within n standard deviations of the highest logit."""
    mean = elementary.in_order(left.logits) / len(left)
    off = left.logits - mean
    sigma = float(np.sqrt(elementary.in_order(off * off) / len(left)))
    left.keep(left.logits >= left.logits.max() - how.top_n_sigma * sigma)


def _typical(left: Candidates, how: SamplerSettings) -> None:
    """Those whose surprise is nearest to the expected one, until they share so much of the probability."""
    weights = left.weights()
    surprises = left.surprises(weights)
    n = int(np.count_nonzero(weights))
    total = float(weights.sum())
    expected = elementary.in_order(weights[:n] / total * surprises[:n])
    nearest = np.argsort(np.abs(surprises[:n] - expected), kind="stable")
    sums = np.cumsum(weights[nearest])
    kept = 1 + int(np.count_nonzero(sums <= how.typical_p * total))
    left.keep(np.sort(nearest[:kept]))


def _top_p(left: Candidates, how: SamplerSettings) -> None:
    sums = np.cumsum(left.weights())
    left.keep(slice(1 + int(np.count_nonzero(sums < how.top_p * float(sums[-1])))))


def _min_p(left: Candidates, how: SamplerSettings) -> None:
    left.keep(slice(max(1, int(np.count_nonzero(left.weights() >= how.min_p * _ONE)))))


def _xtc(left: Candidates, how: SamplerSettings, random: Random) -> None:
    """Now and then all likely tokens go but the least likely of them."""
    if len(left) < 2 or random.unit() > how.xtc_probability:
        return
    weights = left.weights()
    likely = int(np.count_nonzero(weights >= how.xtc_threshold * float(weights.sum())))
    left.keep(slice(max(likely - 1, 0), None))


def _temperature(left: Candidates, how: SamplerSettings) -> None:
    """Fixed, or with a range the higher the less is certain: by the entropy's share of the most it could be."""
    temperature = how.temperature
    if how.dynatemp_range > 0.0:
        if len(left) < 2:
            return
        weights = left.weights()
        n = int(np.count_nonzero(weights))
        entropy = elementary.in_order(weights[:n] / float(weights.sum()) * left.surprises(weights)[:n])
        share = min(entropy / float(elementary.log(float(len(left)))), 1.0)
        low, high = max(0.0, temperature - how.dynatemp_range), temperature + how.dynatemp_range
        raised = float(elementary.exp(how.dynatemp_exponent * elementary.log(share))) if share > 0.0 else 0.0
        if how.dynatemp_exponent == 0.0:
            raised = 1.0
        temperature = low + (high - low) * raised
    if temperature <= 0.0:
        left.likeliest(1)
    else:
        left.logits = left.logits / temperature


_FILTERS: dict[str, Callable[[Candidates, SamplerSettings], None]] = {
    "top_k": _top_k,
    "top_n_sigma": _top_n_sigma,
    "typ_p": _typical,
    "top_p": _top_p,
    "min_p": _min_p,
    "temperature": _temperature,
}


class Chain:
    """The samplers that settings ask for, and Mirostat's state."""

    def __init__(self, settings: SamplerSettings, breakers: repetition.Breakers) -> None:
        self._how = settings
        self._breakers = breakers
        self.mu = 0.0
        self.begin()

    def begin(self) -> None:
        """Another text."""
        self.mu = 2.0 * self._how.mirostat_tau

    def fork(self) -> Chain:
        twin = Chain(self._how, self._breakers)
        twin.mu = self.mu
        return twin

    def sample(self, logits: np.ndarray, history: Sequence[int], random: Random) -> int:
        """The id of the next token. ``logits``: finite float32; what has the lowest of all is excluded."""
        how = self._how
        ids = np.flatnonzero(logits > np.finfo(np.float32).min)
        if not len(ids):
            ids = np.arange(len(logits))
        left = Candidates(ids, logits[ids].astype(np.float64))
        for name in how.active:
            if name == "penalties":
                _penalties(left, how, how.recent(history))
            elif name == "dry":
                self._dry(left, history)
            elif name == "xtc":
                _xtc(left, how, random)
            else:
                _FILTERS[name](left, how)
        at = self._mirostat(left, random, len(logits)) if how.mirostat else left.draw(random)
        return int(left.ids[at])

    def _dry(self, left: Candidates, history: Sequence[int]) -> None:
        how = self._how
        last = history if how.dry_penalty_last_n < 0 else history[-how.dry_penalty_last_n :]
        found = repetition.penalties(last, how.dry_multiplier, how.dry_base, how.dry_allowed_length, self._breakers)
        if found:
            at, which = _places(left, np.array(list(found), np.int64))
            left.logits[at] -= np.array(list(found.values()))[which]
            left.changed()

    def _mirostat(self, left: Candidates, random: Random, n_vocab: int) -> int:
        """A place, drawn so that surprises keep to tau: what is kept follows from how far the last ones were off."""
        weights = left.weights()
        if self._how.mirostat == 1:
            left.likeliest(_mirostat_k(left.surprises(weights), self.mu, n_vocab))
        else:
            surprises = left.surprises(weights)
            left.keep(slice(max(1, int(np.count_nonzero(surprises <= self.mu * LN2)))))
        at = left.draw(random)
        surprise = float(left.surprises(left.weights())[at]) / LN2
        self.mu -= self._how.mirostat_eta * (surprise - self._how.mirostat_tau)
        return at


def _mirostat_k(surprises: np.ndarray, mu: float, n_vocab: int) -> int:
    """How many tokens have surprises up to mu bits on average, if likelihoods fall as Zipf's law has it; at least 1.

    The exponent is estimated from the likeliest tokens (Basu et al. 2021, algorithm 1).
    """
    n = min(_MIROSTAT_M, int(np.count_nonzero(np.isfinite(surprises))))
    if n < 2:
        return 1
    ranks = np.arange(1, n, dtype=np.float64)
    steps = elementary.log((ranks + 1.0) / ranks)
    exponent = elementary.in_order(steps * (surprises[1:n] - surprises[: n - 1])) / elementary.in_order(steps * steps)
    if exponent <= 0.0:
        return 1
    rest, size = exponent - 1.0, float(elementary.log(float(n_vocab)))
    if abs(rest) < _NEARLY_ZERO:
        factor = 1.0 / size
    else:
        factor = rest / (1.0 - float(elementary.exp(-rest * size)))
    k = (float(elementary.log(factor)) + mu * LN2) / exponent
    return len(surprises) if k >= size else max(1, int(elementary.exp(k)))
