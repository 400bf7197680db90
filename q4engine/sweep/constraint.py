"""Constraints of a plan, as ``threads > cpus and engine == "numpy"``: Python's grammar, evaluated here alone."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from q4engine.errors import Q4Error, shown

_LONGEST = 1000
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, several: one in several,
    ast.NotIn: lambda one, several: one not in several,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Mod: operator.mod,
    ast.FloorDiv: operator.floordiv,
}
_MOST = 1 << 62


class Constraint:
    """``text`` with the names of axes and ``cpus``; Q4Error where it is none. ``n_parts``: of which it is made."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text = text
        try:
            if len(text) > _LONGEST:
                raise ValueError("it is too long")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's, of an escape that it does not know
                self._tree = ast.parse(text.strip(), mode="eval").body
            self._check(self._tree, names)
            self.n_parts = sum(1 for _ in ast.walk(self._tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Q4Error(f"skip: {shown(text)} is no constraint: {getattr(error, 'msg', error)}") from None

    def holds(self, values: Mapping[str, object]) -> bool:
        """Q4Error where texts are compared with numbers, and the like. What an engine is not told of meets nothing."""
        try:
            return bool(self._value(self._tree, values))
        except (TypeError, ZeroDivisionError, OverflowError, RecursionError) as error:
            raise Q4Error(f"skip: {shown(self.text)} cannot be evaluated: {error}") from None

    def _check(self, tree: ast.expr, names: tuple[str, ...]) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in names:
                raise ValueError(f"there is no axis {node.id}, expected one of {', '.join(names)}")
            if not isinstance(node, _ALLOWED):
                raise ValueError(
                    f"{type(node).__name__} is not read; names, numbers, texts, lists, comparisons, and, or, not are"
                )
            if isinstance(node, ast.Constant) and not isinstance(node.value, int | float | str):
                raise ValueError(f"{node.value!r} is neither a number nor a text")

    def _value(self, node: ast.expr, values: Mapping[str, object]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return values[node.id]
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(each, values) for each in node.elts]
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, values)
            return not value if isinstance(node.op, ast.Not) else -value
        if isinstance(node, ast.BoolOp):
            found = (self._value(each, values) for each in node.values)
            return all(found) if isinstance(node.op, ast.And) else any(found)
        if isinstance(node, ast.BinOp):
            sides = self._value(node.left, values), self._value(node.right, values)
            if not all(isinstance(side, int | float) and abs(side) < _MOST for side in sides):
                raise TypeError("only numbers of usual size are calculated with")
            return _ARITHMETIC[type(node.op)](*sides)
        assert isinstance(node, ast.Compare)
        left = self._value(node.left, values)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node, values)
            if not _compared(op, left, right):
                return False
            left = right
        return True


def constraints_of(given: object, names: tuple[str, ...]) -> list[Constraint]:
    """Of a plan's key ``skip``, a text or a list of them. Q4Error where it is none."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Q4Error(f"skip: found {shown(given)}, expected constraints: a text or a list of texts")
    return [Constraint(text, names) for text in texts]


_ALLOWED = (
    ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.UnaryOp, ast.Not, ast.USub, ast.BoolOp, ast.And, ast.Or,
    ast.BinOp, ast.Compare, *_COMPARED, *_ARITHMETIC,
)  # fmt: skip


def _compared(op: ast.cmpop, left: Any, right: Any) -> bool:
    if None in (left, right) and not isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
        return False
    return _COMPARED[type(op)](left, right)
