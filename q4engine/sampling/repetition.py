"""DRY: a token that would go on with a repetition is penalised, the more the longer what repeats.

As llama.cpp has it, which took it from Koboldcpp; sequence breakers end what counts as one repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from q4engine.sampling import elementary

if TYPE_CHECKING:
    from q4engine.tokenizer import Tokenizer

Breakers = dict[int, set[tuple[int, ...]]]
"""Sequences of tokens that break a repetition: the first one's id, and what may follow it; () where it does alone."""

_LONGEST_BREAKER, _LONGEST_TAIL = 40, 20  # bytes, tokens
_LOG_OF_MOST = 88.7228391  # of the largest fp32


def breakers_of(texts: Sequence[str], tokenizer: Tokenizer) -> Breakers:
    """Every token that holds one of the texts, or ends with a beginning of it, whose rest then follows."""
    found: Breakers = {}
    wanted = [text.encode("utf-8", "replace")[:_LONGEST_BREAKER] for text in texts]
    for token in range(len(tokenizer)):
        word = tokenizer.token_bytes(token)
        for text in wanted:
            if text in word:
                found.setdefault(token, set()).add(())
                continue
            for begun in range(1, min(len(word) + 1, len(text))):
                if word.endswith(text[:begun]):
                    rest = text[begun:].decode("utf-8", "replace")
                    tail = tokenizer.encode(rest, add_bos=False, parse_special=False)[:_LONGEST_TAIL]
                    found.setdefault(token, set()).add(tuple(tail))
    return found


def penalties(
    history: Sequence[int], multiplier: float, base: float, allowed: int, breakers: Breakers
) -> dict[int, float]:
    """What is subtracted from the logits of tokens that would repeat more than ``allowed`` tokens of the history."""
    most = _unbroken(history, breakers)
    if len(history) <= allowed or most < allowed:
        return {}
    if base > 1.000001:  # a longer repetition costs no more than fp32 holds
        most = min(most, allowed + int(_LOG_OF_MOST / float(elementary.log(base))))
    return {
        token: multiplier * elementary.power(base, length - allowed)
        for token, length in repeated(history, allowed, most).items()
        if () not in breakers.get(token, ())
    }


def repeated(history: Sequence[int], least: int, most: int) -> dict[int, int]:
    """Tokens that stood behind what the history ends with, ``least`` tokens of it at least, and how many; ``most``
    count."""
    tokens = np.asarray(history, np.int64)
    last, length = len(tokens) - 1, 0
    ends = np.arange(last)  # places behind which the last `length` tokens stand, too
    found: dict[int, int] = {}
    while len(ends):
        if length >= least:
            found.update(dict.fromkeys(tokens[ends + 1].tolist(), length))
        if length >= most:
            break
        ends = ends[ends >= length]
        ends = ends[tokens[ends - length] == tokens[last - length]]
        length += 1
    return found


def _unbroken(history: Sequence[int], breakers: Breakers) -> int:
    """How many tokens stand behind the last breaker."""
    n = len(history)
    for behind in range(n if breakers else 0):
        tails = breakers.get(history[n - 1 - behind])
        if tails is not None:
            after = tuple(history[n - behind : n - behind + _LONGEST_TAIL])
            lengths = [len(tail) for tail in tails if after[: len(tail)] == tail]
            if lengths:
                return behind - max(lengths)
    return n
