"""Chat templates at random, from pieces that loop, grow, recurse and reach for what they should not have."""

from __future__ import annotations

import random
import resource

from q4engine.errors import Q4Error
from q4engine.tokenizer import ChatTemplate

_MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi! "}]
_ATOMS = (
    "1",
    "0",
    "'a'",
    "'é'",
    "messages",
    "m",
    "x",
    "ns",
    "none",
    "true",
    "10**9",
    "[1, 2]",
    "{'a': 1}",
    "range(99999)",
)
_FILTERS = (
    "upper", "trim", "length", "list", "join", "tojson", "replace('a', 'bb')", "map('upper')", "sort", "unique",
    "first",
    "indent(9)", "center(99)", "batch(2)", "string", "attr('__class__')", "format(1)", "wordwrap(1)", "pprint",
    "xmlattr",
    "groupby('role')", "sum", "int", "reverse", "safe", "selectattr('role')",
    "tojson(indent=99999999)", "random", "urlize",
)  # fmt: skip
_METHODS = (
    "strip()", "split('a')", "format(x)", "ljust(99999999)", "items()", "__class__", "append(1)", "join(messages)",
    "rfind('ab')", "mro()", "copy()", "content", "role", "encode('idna')", "zfill(9999999)", "translate(ns)",
)  # fmt: skip
_OPERATORS = ("+", "~", "*", "**", "//", "%", "in", "==", "<", "and", "if x else", "or")


class Templates:
    """The child process is held to its limits, and the parent to one line."""

    refused = (Q4Error,)

    def __init__(self) -> None:
        self._template = ChatTemplate("fuzzed.gguf", "ok", {})

    def case(self, rng: random.Random) -> None:
        source = "{% set x = 'ab' %}{% set ns = namespace(x=x) %}" + _block(rng, 4)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._template.source = source
        try:
            self._template.render(_MESSAGES)
        finally:
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            own = resource.getrusage(resource.RUSAGE_SELF)  # whose pages a child counts as its own until it starts
            grown = after.ru_maxrss - max(before.ru_maxrss, own.ru_maxrss, 230 << 10)
            assert grown <= 0, f"the process that rendered took {after.ru_maxrss >> 10} MB: {source!r}"
            self._template.source = "{{ messages[1].content }}"
            assert self._template.render(_MESSAGES) == " Hi! ", source


def _block(rng: random.Random, depth: int) -> str:
    return "".join(_statement(rng, depth) for _ in range(rng.randint(1, 3)))


def _statement(rng: random.Random, depth: int) -> str:
    what = rng.randrange(9) if depth else 8
    inner = _block(rng, depth - 1) if what < 6 else ""
    value = _expression(rng, depth)
    return (
        f"{{% for m in {value} %}}{inner}{{% endfor %}}",
        f"{{% for i in range({rng.choice((2, 30, 9999))}) %}}{inner}{{% endfor %}}",
        f"{{% if {value} %}}{inner}{{% else %}}b{{% endif %}}",
        f"{{% macro f(x) %}}{inner}{{{{ f(x) }}}}{{% endmacro %}}{{{{ f(1) }}}}",
        f"{{% set x %}}{inner}{{% endset %}}",
        f"{{% generation %}}{inner}{{% endgeneration %}}",
        f"{{% set x = {value} %}}",
        f"{{% set ns.x = {value} %}}",
        f"{{{{ {value} }}}}",
    )[what]


def _expression(rng: random.Random, depth: int) -> str:
    if depth <= 0 or rng.random() < 0.3:
        return rng.choice(_ATOMS)
    left = _expression(rng, depth - 1)
    what = rng.randrange(5)
    if what == 0:
        return f"({left} | {rng.choice(_FILTERS)})"
    if what == 1:
        return f"({left}).{rng.choice(_METHODS)}"
    if what == 2:
        return f"[{left}, {_expression(rng, depth - 1)}]"
    if what == 3:
        return f"({left})[{_expression(rng, depth - 2)}:]"
    return f"({left} {rng.choice(_OPERATORS)} {_expression(rng, depth - 1)})"
