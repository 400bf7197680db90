"""Grammars that an answer must keep to, matched by llguidance (the extra ``grammar``).

A token is drawn as if there were none; only where it does not fit, all that fit are found and one of them is drawn, as
llama.cpp does. So a model that keeps to the form by itself costs next to nothing.
"""

from __future__ import annotations

import json
import math
import threading
from concurrent.futures import Future
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from q4engine.errors import Q4Error, shown
from q4engine.sampling import gbnf
from q4engine.tokenizer.vocabulary import TokenType

if TYPE_CHECKING:
    from q4engine.tokenizer import Tokenizer

_JSON = {"whitespace_pattern": r"( |\n{1,2}[ \t]{0,20})"}
"""Between the parts, as llama.cpp has it: without an end to it small models write nothing else."""
_MOST_CHARS = 1 << 18
_STACK_BYTES = 256 << 20  # a chain of as many definitions as fit takes a third of it, and memory for that alone
_MOST_STEPS = 50_000  # the digits of a multiple take a state for each remainder: 100,000 of them half a second
_MEETING = {"allOf", "anyOf", "oneOf", "$ref"}  # what may ask one number to be a multiple of several
_IN_WORDS = {"NoExtensionBias": "no text fits it, as where it refers to itself before anything else"}
"""What llguidance says only by a name."""
_PIECE = 4096  # characters that are tokenised at once: patterns can make words of a length that is refused
_LOWEST = np.finfo(np.float32).min
_HIDDEN = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.UNUSED)


class Grammar:
    """What may come next. Use :meth:`from_gbnf` or :meth:`from_json_schema`."""

    def __init__(self, matcher: Any, stop_ids: frozenset[int], name: str, unused: Any = None) -> None:
        """``unused``: another matcher at its beginning, where this one cannot be reset."""
        self._matcher = matcher
        self._unused = unused
        self._stop_ids = stop_ids
        self._stops = np.array(sorted(stop_ids), np.int64)
        self._name = name
        self._check()

    @classmethod
    def from_gbnf(cls, text: str, tokenizer: Tokenizer, name: str = "the grammar") -> Grammar:
        """Of a grammar in llama.cpp's notation. Q4Error with the name and the line where it is none."""
        llguidance = _library()
        _check_length(text, name)
        rules = gbnf.parse(text, name, tokenizer.vocabulary.ids.get)
        lark = llguidance.LLMatcher.grammar_from_lark(gbnf.to_lark(rules))
        matcher = _matcher(llguidance, lark, tokenizer)
        unused = matcher.deep_copy() if "<[" in lark else None  # single tokens are longer than what a reset takes back
        return cls(matcher, tokenizer.stop_ids, name, unused)

    @classmethod
    def from_json_schema(cls, text: str, tokenizer: Tokenizer, name: str = "the JSON schema") -> Grammar:
        """Of JSON that a schema describes; ``{}`` and ``true`` are any JSON. Q4Error where it is no schema."""
        llguidance = _library()
        _check_length(text, name)
        try:
            parsed = json.loads(text)
            parsed = {} if parsed is True else parsed
            if not isinstance(parsed, dict):
                found = "false, which no JSON fits" if parsed is False else _one_line(text)
                raise Q4Error(f"{name}: is no JSON schema: expected an object or true, found {found}")
            check_steps(parsed, name)
            schema = llguidance.LLMatcher.grammar_from_json_schema(parsed, overrides=_JSON)
        except (ValueError, RecursionError) as error:
            raise Q4Error(f"{name}: is no JSON schema: {_one_line(str(error))}") from None
        return cls(_matcher(llguidance, schema, tokenizer), tokenizer.stop_ids, name)

    def begin(self) -> None:
        """Another text begins."""
        if self._unused is None:
            self._matcher.reset()
        else:
            self._matcher = self._unused.deep_copy()

    def fork(self) -> Grammar:
        """Another one at the same place."""
        return Grammar(self._matcher.deep_copy(), self._stop_ids, self._name, self._unused)

    def allows(self, token: int) -> bool:
        """Whether a token may come next; one that ends the text may where the text is whole."""
        if token in self._stop_ids:
            return bool(self._matcher.is_accepting())
        return bool(self._matcher.validate_tokens([token]) == 1)

    def masked(self, logits: np.ndarray) -> np.ndarray:
        """A copy with the lowest of all numbers where a token may not come next. Q4Error where none may."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little").view(bool)  # 0 for logits without a token
        allowed[self._stops] = self._matcher.is_accepting()
        values = np.where(allowed, logits, _LOWEST)
        if not values.max() > _LOWEST:  # all that may come are excluded (--ignore-eos): the grammar is at its end
            if not allowed.any():
                raise Q4Error(f"{self._name}: no token of the vocabulary may come next")
            values[allowed] = 0.0
        return values

    def accept(self, token: int) -> None:
        """The token comes next."""
        if token not in self._stop_ids and not self._matcher.consume_token(token):
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            told = _one_line(self._matcher.get_error())
            raise Q4Error(f"{self._name}: {_IN_WORDS.get(told, told)}")


class _Words:
    """The vocabulary as llguidance asks for it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = tokenizer.vocabulary
        hidden = {*vocabulary.of_type(*_HIDDEN), *vocabulary.stop_ids}
        self.eos_token_id = min(vocabulary.stop_ids, default=len(vocabulary) - 1)
        self.bos_token_id = vocabulary.bos_id
        self.special_token_ids = sorted(hidden)
        self.tokens = [
            f"<{token}>".encode() if token in hidden else tokenizer.token_bytes(token)
            for token in range(len(tokenizer))
        ]
        self._tokenizer = tokenizer

    def __call__(self, text: bytes | str) -> list[int]:
        plain = text if isinstance(text, str) else text.decode("utf-8", "replace")
        pieces = (plain[at : at + _PIECE] for at in range(0, len(plain), _PIECE))
        return [token for piece in pieces for token in self._tokenizer.encode(piece, False, False)]


def _check_length(text: str, name: str) -> None:
    if len(text) > _MOST_CHARS:
        raise Q4Error(f"{name}: has {len(text)} characters, expected at most {_MOST_CHARS}")


def check_steps(schema: Any, name: str) -> None:
    """Q4Error where numbers are to be multiples of one that is too large, or of several that are together."""
    keys: set[str] = set()
    steps: set[tuple[int, int]] = set()
    left = [schema]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            keys |= each.keys()
            step = each.get("multipleOf")
            if type(step) is int or (isinstance(step, float) and math.isfinite(step)):
                steps.add(_decimal(step))
            left += each.values()
        elif isinstance(each, list):
            left += each
    meet, whole = not keys.isdisjoint(_MEETING), 1
    digits = max((behind for _, behind in steps), default=0)
    for number, behind in steps:
        whole = math.lcm(whole, number * 10 ** (digits - behind)) if meet else whole + number
        if whole > _MOST_STEPS:
            raise Q4Error(f"{name}: multipleOf takes more than {_MOST_STEPS} states, one for each remainder")


def _decimal(value: float) -> tuple[int, int]:
    """The value without a point, and the digits behind that."""
    _, digits, exponent = Decimal(str(value)).as_tuple()
    number = int("".join(map(str, digits))) * 10 ** max(int(exponent), 0)
    behind = max(-int(exponent), 0)
    while behind and number % 10 == 0:
        number, behind = number // 10, behind - 1
    return number, behind


def _library() -> Any:
    try:
        import llguidance
    except ImportError:
        raise Q4Error("a grammar needs llguidance: pip install 'q4engine[grammar]'") from None
    return llguidance


def _matcher(llguidance: Any, grammar: str, tokenizer: Tokenizer) -> Any:
    """Made on a thread with room for the recursion of long chains of rules."""
    words = llguidance.TokenizerWrapper(_Words(tokenizer))
    tokens = llguidance.LLTokenizer(words, n_vocab=len(tokenizer))
    made: Future[Any] = Future()

    def make() -> None:
        try:
            matcher = llguidance.LLMatcher(tokens, grammar, log_level=0)
            if not matcher.is_error():
                matcher.compute_bitmask()  # so that a grammar that lets nothing begin is an error now
            made.set_result(matcher)
        except BaseException as error:
            made.set_exception(error)

    usual = threading.stack_size(_STACK_BYTES)
    try:
        threading.Thread(target=make, daemon=True).start()
    except RuntimeError:
        raise Q4Error(f"a grammar needs {_STACK_BYTES >> 20} MB of address space for a thread's stack") from None
    finally:
        threading.stack_size(usual)
    return made.result()


def _one_line(text: str) -> str:
    """Of a library's error; one about a pattern shows it, marks a place below it and says what is wrong last."""
    first, *more = text.strip().splitlines() or ["failed"]
    if more and first.endswith(":"):
        return f"{first} {shown(more[0].strip())}: {more[-1].removeprefix('error: ')}"
    return first
