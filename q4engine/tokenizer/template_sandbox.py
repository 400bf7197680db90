"""A sandbox for templates from untrusted files: jinja2's, with every growth of time and memory metered.

jinja2's sandbox keeps a template away from Python's internals, not from ``range(10**5)`` nested in itself or from
``'a' * 10**10``. Here

- loops, macros, comparisons, filters, calls and operators each take steps from a budget, more of them the larger the
  largest value so far is, so that a template of any shape ends after a time that depends on the budget alone;
- every string and collection is checked and paid for when it is made, before it is made where one operation can make a
  huge one. Collections count expanded (``[x, x]`` counts x twice), since printing and comparing expand them;
- filters and methods are those of a list that has none with a width, a padding or a format.

Steps are counted, not timed: a template passes or fails alike on every machine.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_STEPS = 4_000_000
MAX_CHARS = 1 << 22  # of one string; far above any context
MAX_ITEMS = 100_000  # of one collection, expanded
MAX_INTEGER_BITS = 256
_CHARS_PER_COMPARISON = 16384  # copying or comparing that many costs about as much as a step's own work
_CHARS_PER_WALK = 64  # looking at every one
_ITEM_CHARS = 128  # what an item of a collection counts as: two steps of a filter or a check

_FILTERS = """
    abs capitalize count d default dictsort first float groupby int items last length list lower map max min reject
    rejectattr replace reverse select selectattr sort title trim unique upper
"""

_STR_METHODS = """
    capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle
    isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split
    splitlines startswith strip swapcase title upper
"""

_METHODS: dict[type, frozenset[str]] = {
    str: frozenset(_STR_METHODS.split()),
    dict: frozenset({"get", "items", "keys", "values", "copy"}),
    list: frozenset({"count", "index", "copy"}),
    tuple: frozenset({"count", "index"}),
}

# Names of the metering filters in the compiled template. The space keeps them out of a template's reach.
_STEP, _CONCAT, _BUILT = "q4 step", "q4 concat", "q4 built"


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An environment for templates that take turns: one budget at a time."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # constants are computed by the metered template, not by the compiler
            extensions=["jinja2.ext.loopcontrols"],
        )
        self.finalize = self._printed
        self.concat = self._joined_output  # type: ignore[method-assign]
        self._functions = frozenset(functions.values())
        self.globals = {"range": self._range, "dict": dict, "namespace": Namespace, **functions}
        self.filters = {name: self._metered(name, FILTERS[name]) for name in _FILTERS.split()}
        own: dict[str, Callable[..., Any]] = {
            "string": self._text,
            "safe": self._text,
            "join": self._join,
            "tojson": self._tojson,
        }
        own |= {"indent": self._indent, _CONCAT: self._concatenated, _BUILT: self._checked}
        self.filters |= {name: self._metered(name, function) for name, function in own.items()}
        self.filters[_STEP] = self._step
        self._steps = 0
        self._largest = 0

    def compiled(self, source: str) -> Template:
        """A template whose every loop and operation is metered. Raises what jinja2 raises."""
        tree = _Metering().visit(self.parse(source))
        tree.set_environment(self)
        return self.from_string(tree)

    def rendered(self, template: Template, values: dict[str, Any]) -> str:
        """The template's text for these values, within a new budget. Raises SecurityError beyond it."""
        self._steps = self._largest = 0
        for value in values.values():
            self._checked(value)
        return template.render(values)

    # Steps and sizes

    def _step(self, value: Any = None, *, size: int = 0) -> Any:
        self._steps += 1 + self._largest // _CHARS_PER_COMPARISON + size // _CHARS_PER_WALK
        if self._steps > MAX_STEPS:
            raise SecurityError(f"it takes more than {MAX_STEPS} steps")
        return value

    def _checked(self, value: Any) -> Any:
        """A value that was just made: its size is noted and paid for; iterators become lists."""
        if isinstance(value, str):
            self._note_chars(len(value))
            self._step(size=len(value))
        elif isinstance(value, int):
            _check_bits(value.bit_length())
        elif isinstance(value, (list, tuple, dict)):
            self._note_items(value)
        elif isinstance(value, Iterator) and not isinstance(value, LoopContext):
            return self._checked(self._listed(value))
        return value

    def _note_chars(self, n_chars: int) -> None:
        if n_chars > MAX_CHARS:
            raise SecurityError(f"it makes a string of more than {MAX_CHARS} characters")
        self._largest = max(self._largest, n_chars)

    def _note_items(self, value: Any) -> None:
        stack, count, chars = [value], 0, 0
        while stack:
            item = stack.pop()
            count += 1
            if isinstance(item, dict):
                stack += [*item, *item.values()]
            elif isinstance(item, (list, tuple)):
                stack += item
            elif isinstance(item, str):
                chars += len(item)
                self._note_chars(chars)
            if count + len(stack) > MAX_ITEMS:
                raise SecurityError(f"it makes a collection of more than {MAX_ITEMS} items")
        self._largest = max(self._largest, _ITEM_CHARS * count)
        self._step(size=_ITEM_CHARS * count)

    def _listed(self, values: Iterable[Any]) -> list[Any]:
        listed = []
        for value in values:
            listed.append(self._step(value))
            if len(listed) > MAX_ITEMS:
                raise SecurityError(f"it makes a collection of more than {MAX_ITEMS} items")
        return listed

    # Operators, calls and filters

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self._step()
        for operand in (left, right):
            if isinstance(operand, int):
                _check_bits(operand.bit_length())
        if operator == "%" and isinstance(left, (str, bytes)):
            raise SecurityError("it formats a string with %")
        if operator == "*":
            self._check_product(left, right)
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * right)
        return self._checked(super().call_binop(context, operator, left, right))

    def _check_product(self, left: Any, right: Any) -> None:
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, Sized) and isinstance(times, int):
                self._note_chars(len(sequence) * times * (1 if isinstance(sequence, str) else _ITEM_CHARS))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        self = __self
        owner = getattr(__obj, "__self__", None)
        self._step(size=sum(map(_size, (owner, *args, *kwargs.values()))))
        if isinstance(__obj, types.BuiltinMethodType):
            if __obj.__name__ not in _METHODS.get(type(owner), ()):
                raise SecurityError(f"it calls {type(owner).__name__}.{__obj.__name__}")
            if isinstance(owner, str) and __obj.__name__ == "join":
                return self._checked(self._join(args[0], owner))
            if isinstance(owner, str) and __obj.__name__ == "replace":
                self._check_replacement(owner, *args)
        elif not (
            isinstance(__obj, (Macro, LoopContext))
            or isinstance(owner, LoopContext)
            or __obj in (self._range, dict, Namespace)
            or __obj in self._functions
        ):
            raise SecurityError(f"it calls a {type(__obj).__name__}")
        for argument in (*args, *kwargs.values()):
            self._checked(argument)
        return self._checked(super().call(__context, __obj, *args, **kwargs))

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # keeps jinja2's marks for the context arguments
        def metered(*args: Any, **kwargs: Any) -> Any:
            self._step(size=sum(map(_size, args)))
            if name == "replace":
                self._check_replacement(*(arg for arg in args if isinstance(arg, str)))
            return self._checked(function(*args, **kwargs))

        return metered

    def _check_replacement(self, text: str = "", old: str = "", new: str = "", *_: Any) -> None:
        if len(new) > len(old):
            self._note_chars(len(text) + (text.count(old) if old else len(text) + 1) * len(new))

    def _range(self, *args: int) -> range:
        numbers = range(*args)
        if len(numbers) > MAX_ITEMS:
            raise SecurityError(f"it asks for a range of {len(numbers)} numbers, at most {MAX_ITEMS} are granted")
        return numbers

    # Text

    @pass_context
    def _printed(self, context: Context, value: Any) -> str:
        """What ``{{ … }}`` writes. That it wants the context also keeps the compiler from computing constants."""
        self._step()
        return self._text(value)

    def _text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, (list, tuple, dict)):
            self._note_items(value)
        elif value is not None and not isinstance(value, (bool, int, float, Undefined)):
            raise SecurityError(f"it prints a {type(value).__name__}")
        return self._checked(str(value))  # type: ignore[no-any-return]

    def _joined_output(self, chunks: Iterable[str]) -> str:
        """Joins what a template, a macro or a block writes; jinja2 calls it ``concat``."""
        parts, n_chars = [], 0
        for chunk in chunks:
            n_chars += len(chunk)
            if n_chars > MAX_CHARS:
                self._note_chars(n_chars)
            parts.append(chunk)
        self._note_chars(n_chars)
        return self._step("".join(parts), size=n_chars)  # type: ignore[no-any-return]

    def _concatenated(self, *values: Any) -> str:
        return self._joined_output(map(self._text, values))

    def _join(self, values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        found = self._listed(values)
        if attribute is not None:
            found = [self.getitem(value, attribute) for value in found]
        self._note_chars(len(separator) * len(found))
        return self._joined_output(
            part for index, value in enumerate(found) for part in ((separator if index else ""), self._text(value))
        )

    def _indent(self, text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        margin = width if isinstance(width, str) else " " * min(width, MAX_CHARS)
        lines = text.splitlines(keepends=True)
        self._note_chars(len(text) + len(margin) * len(lines))
        return "".join(
            (margin if (index or first) and (blank or line.strip()) else "") + line for index, line in enumerate(lines)
        )

    def _tojson(
        self, value: Any, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False
    ) -> str:
        """JSON without HTML's escapes, as chat templates expect it."""
        self._checked(value)
        if indent is not None and not 0 <= indent <= 8:
            raise SecurityError(f"it asks for JSON indented by {indent}, at most 8 are granted")
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)

    # What jinja2's sandbox would give as an undefined value that prints as nothing is an error here.

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        raise SecurityError(f"it reaches for the attribute {attribute!r} of a {type(obj).__name__}")

    def wrap_str_format(self, value: Any) -> None:
        if isinstance(value, types.BuiltinMethodType) and value.__name__ in ("format", "format_map"):
            raise SecurityError(f"it calls str.{value.__name__}")


def _size(value: Any) -> int:
    """Characters, or what items count as."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, (list, tuple, dict, range)):
        return _ITEM_CHARS * len(value)
    return 0


def _check_bits(bits: int) -> None:
    if bits > MAX_INTEGER_BITS:
        raise SecurityError(f"it makes an integer of more than {MAX_INTEGER_BITS} bits")


class _Metering(NodeTransformer):
    """Puts metering filters into a parsed template wherever jinja2 runs something without calling the environment."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, _stepping(node))
        if node.test is not None:
            node.test = _filtered(node.test, _STEP)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, _stepping(node))
        return node

    visit_CallBlock = visit_Macro

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _STEP)

    visit_Test = visit_Compare

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, _BUILT) if isinstance(node.arg, nodes.Slice) else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node.nodes[0], _CONCAT, node.nodes[1:])

    def visit_List(self, node: nodes.Literal) -> nodes.Node:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") == "store" else _filtered(node, _BUILT)

    visit_Tuple = visit_List
    visit_Dict = visit_List


def _filtered(node: nodes.Node, name: str, args: list[nodes.Expr] | None = None) -> nodes.Filter:
    return nodes.Filter(node, name, args or [], [], None, None, lineno=node.lineno)


def _stepping(node: nodes.Node) -> nodes.ExprStmt:
    nothing = nodes.Const(None, lineno=node.lineno)
    return nodes.ExprStmt(_filtered(nothing, _STEP), lineno=node.lineno)
