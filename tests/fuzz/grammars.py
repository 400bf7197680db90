"""Grammars in llama.cpp's notation, their text changed: what is read is written in Lark, with rules for all names."""

from __future__ import annotations

import random
import re

from gbnf_texts import GRAMMARS

from fuzz.mutations import mutated_text
from q4engine.errors import Q4Error
from q4engine.sampling import gbnf

_PIECES = (
    "root", "::=", "|", "(", ")", "[", "]", "[^", '"', "\\", "*", "+", "?", "{", "}", "{2}", "{,3}", "{2000}", "{1,}",
    ".", "-", "\\x41", "\\u00e9", "\\U0010FFFF", "#", "\n", " ", "!<[5]>", "<|end|>", "<", "a-z", "é", "\ud800",
)  # fmt: skip


class Grammars:
    """Without llguidance, whose own the rest is."""

    refused = (Q4Error,)

    def case(self, rng: random.Random) -> None:
        rules = gbnf.parse(_text(rng), "case", lambda text: 7 if text == "<|end|>" else None)
        lark = gbnf.to_lark(rules)
        defined = set(re.findall(r"^(\w+): ", lark, re.M))
        assert set(re.findall(r"\brule[0-9]+\b", lark)) <= defined and "start" in defined


def _text(rng: random.Random) -> str:
    """One that is right with something put in or changed, or pieces of one in any order."""
    if rng.random() < 0.2:
        return "root ::= " + " ".join(rng.choices(_PIECES, k=rng.choice((1, 3, 9, 40))))
    text = rng.choice(list(GRAMMARS.values()))
    if rng.random() < 0.3:
        return mutated_text(text, rng)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        text = (
            text[:at] + rng.choice(_PIECES) * rng.choice((1, 1, 1, 2, 40, 3000)) + text[at + rng.choice((0, 0, 1, 9)) :]
        )
    return text
