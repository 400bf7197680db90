"""A small, safe evaluator for the ratios in the core files: numbers, names, + - * / and parentheses.

`eval` is not used: a core file is data, and data must not be able to run anything. A formula is compiled once
to at most `MAX_NODES` closures and evaluated against a mapping of event counts. Evaluation never raises: an event
without a count gives `NotMeasured` with its name, a division by zero gives `Undefined`, all else a finite float.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from analysis.errors import AnalysisError

MAX_LENGTH = 1000
MAX_DEPTH = 40
MAX_NODES = 200

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,2})?)(?![\w.])"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})|(?P<operator>[-+*/()]))"
)


class FormulaError(AnalysisError):
    """The text of a formula is not one: the message names the formula, the position and what stands there."""


@dataclass(frozen=True)
class NotMeasured:
    """A value that cannot be known because `events` were not counted (or, with `reason`, not usably)."""

    events: tuple[str, ...]
    reason: str = ""

    def __str__(self) -> str:
        return self.reason or f"not measured: {', '.join(self.events)}"


@dataclass(frozen=True)
class Undefined:
    """A value that the counts do not define: a division by zero, or a number beyond a double."""

    reason: str

    def __str__(self) -> str:
        return f"undefined: {self.reason}"


@dataclass(frozen=True)
class NoEvidence:
    """A value that was counted but cannot be true: `reason` says which count it is and why."""

    reason: str

    def __str__(self) -> str:
        return f"no evidence: {self.reason}"


Outcome = float | NotMeasured | Undefined | NoEvidence
Unknown = (NotMeasured, Undefined, NoEvidence)

_Node = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Formula:
    """A compiled expression. `names` are the event names it needs, in order of appearance."""

    text: str
    names: tuple[str, ...]
    _tree: _Node

    def names_but(self, parameters: tuple[str, ...]) -> tuple[str, ...]:
        """The names of events, where ``parameters`` are none."""
        return _names_but(self.names, parameters)

    def evaluate(self, values: Mapping[str, float | None]) -> Outcome:
        """The formula's value; a name that is absent from `values`, None or not finite counts as not measured."""
        missing = tuple(name for name in self.names if not _usable(values.get(name)))
        if missing:
            return NotMeasured(missing)
        try:
            result = self._tree({name: 0.0 + (values[name] or 0.0) for name in self.names})
        except ZeroDivisionError:
            return Undefined(f"division by zero in {self.text}")
        except OverflowError:
            return Undefined(f"too large a number in {self.text}")
        return result if math.isfinite(result) else Undefined(f"too large a number in {self.text}")

    def of_arrays(self, values: Mapping[str, Any]) -> Any:
        """The same of NumPy's arrays, one of each name or a number, with its settings for what cannot be computed."""
        return self._tree(values)


@lru_cache(1024)
def _names_but(names: tuple[str, ...], parameters: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in parameters)


def _usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


@lru_cache(maxsize=1024)
def parse(text: str) -> Formula:
    """Compile `text`; raises FormulaError with the position of the first thing that does not belong."""
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"formula of {len(text)} characters, at most {MAX_LENGTH} are read: {text[:40]!r}…")
    return _Parser(text).parse()


def evaluate(text: str, values: Mapping[str, float | None]) -> Outcome:
    """Compile (cached) and evaluate in one call."""
    return parse(text).evaluate(values)


class _Parser:
    """Recursive descent over: sum = product {(+|-) product}; product = factor {(*|/) factor}; factor = [-] atom."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._scan()
        self.index = 0
        self.depth = 0
        self.nodes = 0
        self.names: dict[str, None] = {}

    def parse(self) -> Formula:
        tree = self._sum()
        if self.index < len(self.tokens):
            raise self._error("expected an operator or the end")
        return Formula(self.text, tuple(self.names), tree)

    def _scan(self) -> list[tuple[str, str, int]]:
        tokens, position, end = [], 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                found = self.text[position:].lstrip()[:10]
                raise FormulaError(f"formula {self.text!r}, column {position + 1}: {found!r} is not understood")
            kind = str(match.lastgroup)
            tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()
        return tokens

    def _error(self, expected: str) -> FormulaError:
        if self.index < len(self.tokens):
            _, found, column = self.tokens[self.index]
            return FormulaError(f"formula {self.text!r}, column {column + 1}: found {found!r}, {expected}")
        return FormulaError(f"formula {self.text!r}: it ends where a value is expected")

    def _accept(self, operators: str) -> str | None:
        if self.index < len(self.tokens):
            kind, found, _ = self.tokens[self.index]
            if kind == "operator" and found in operators:
                self.index += 1
                return found
        return None

    def _count(self, node: _Node) -> _Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise FormulaError(f"formula {self.text[:40]!r}… has more than {MAX_NODES} terms")
        return node

    def _sum(self) -> _Node:
        return self._chain("+-", self._product)

    def _product(self) -> _Node:
        return self._chain("*/", self._factor)

    def _chain(self, operators: str, operand: Callable[[], _Node]) -> _Node:
        left = operand()
        while symbol := self._accept(operators):
            left = self._count(_binary(_OPERATORS[symbol], left, operand()))
        return left

    def _factor(self) -> _Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FormulaError(f"formula {self.text[:40]!r}… is nested more than {MAX_DEPTH} deep")
        try:
            if self._accept("-"):
                return self._count(_negated(self._factor()))
            if self._accept("("):
                inner = self._sum()
                if not self._accept(")"):
                    raise self._error("expected ')'")
                return inner
            return self._atom()
        finally:
            self.depth -= 1

    def _atom(self) -> _Node:
        if self.index >= len(self.tokens) or self.tokens[self.index][0] == "operator":
            raise self._error("expected a number or an event name")
        kind, found, _ = self.tokens[self.index]
        self.index += 1
        if kind == "number":
            return self._count(_constant(float(found)))
        self.names[found] = None
        return self._count(_named(found))


_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _binary(apply: Callable[[float, float], float], left: _Node, right: _Node) -> _Node:
    return lambda values: apply(left(values), right(values))


def _negated(node: _Node) -> _Node:
    return lambda values: -node(values)


def _constant(number: float) -> _Node:
    return lambda values: number


def _named(name: str) -> _Node:
    # evaluate() has checked that every name has a number before any node runs
    return lambda values: values[name]
