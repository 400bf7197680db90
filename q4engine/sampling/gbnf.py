"""GBNF, llama.cpp's notation of grammars: read into a tree, and written in the Lark that llguidance reads.

Every terminal is one character there, so that what a lexer would do (the longest match wins) plays no part and exactly
the texts of the grammar are taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from q4engine.errors import Q4Error, shown

_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)  # no characters of their own
_MOST_REPETITIONS = 2000  # llama.cpp's
_MOST_NESTED = 100
_MOST_RULES = 2000  # llguidance follows one into the other, on the stack
_MOST_PARTS = 50_000  # characters and elements: llguidance numbers its symbols with 16 bits
_PARTS_OF_A_REPETITION = 4  # a chain of optional elements takes the square of its length
_MOST_CHARS = 1 << 13  # different ones, classes too: each is a terminal, of which every place may have a set of its own
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "[": "[", "]": "]"}
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_BLANKS, _BLANKS_AND_LINES, _COMMENT = re.compile(r"[ \t]+"), re.compile(r"[ \t\r\n]+"), re.compile(r"#[^\r\n]*")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN = re.compile(r"<(?:\[([0-9]{1,9})\]|([^<>\s]+))>")
_REPEATED = re.compile(r"\{\s*+([0-9]{1,9})?\s*+(,)?\s*+([0-9]{1,9})?\s*+\}")  # no blank is tried twice


@dataclass(frozen=True)
class Chars:
    """One character of these ranges, both ends included."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Token:
    """One token of the vocabulary, by its id, or (``but``) any other one."""

    id: int
    but: bool


@dataclass(frozen=True)
class Rule:
    name: str


@dataclass(frozen=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    of: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """At least ``least`` times, at most ``most`` (None: any number)."""

    node: Node
    least: int
    most: int | None


Node = Chars | Token | Rule | Sequence | Choice | Repeat
Rules = dict[str, Node]


def parse(text: str, name: str, token_id: Callable[[str], int | None] = lambda _: None) -> Rules:
    """The rules of a grammar by their names. Q4Error with the name and the line where it is none.

    ``token_id``: the token that ``<text>`` stands for.
    """
    return _Parser(text, name, token_id).rules()


def to_lark(rules: Rules) -> str:
    """The same grammar for llguidance; it begins with the rule ``root``."""
    names = {name: f"rule{number}" for number, name in enumerate(rules)}
    lines = [f"start: {names['root']}"]
    lines += [f"{names[name]}: {_lark(node, names)}" for name, node in rules.items()]
    return "\n".join(lines) + "\n"


def _lark(node: Node, names: dict[str, str]) -> str:
    match node:
        case Chars(ranges):
            return "/[" + "".join(f"\\x{{{low:X}}}-\\x{{{high:X}}}" for low, high in ranges) + "]/"
        case Token(number, but):
            return f"<[{'^' if but else ''}{number}]>"
        case Rule(name):
            return names[name]
        case Sequence(parts):
            return "(" + " ".join(_lark(part, names) for part in parts) + ")" if parts else '""'
        case Choice(of):
            return "(" + " | ".join(_lark(option, names) for option in _joined(of)) + ")"
        case Repeat(part, least, most):
            return f"({_lark(part, names)}){{{least},{'' if most is None else most}}}"


def _joined(options: tuple[Node, ...]) -> tuple[Node, ...]:
    """Those of one character as one: each costs a terminal."""
    ranges = [pair for option in options if isinstance(option, Chars) for pair in option.ranges]
    others = tuple(option for option in options if not isinstance(option, Chars))
    return options if len(options) < len(others) + 2 else (*others, _chars(ranges))


class _Parser:
    """As llama.cpp's: a rule ends with its line, but in parentheses and behind ``|`` and ``::=``."""

    def __init__(self, text: str, name: str, token_id: Callable[[str], int | None]) -> None:
        self._text = text
        self._name = name
        self._token_id = token_id
        self._at = 0
        self._used: dict[str, int] = {}  # where a rule is named first
        self._stacked = 0  # repetitions of repetitions
        self._parts = 0
        self._chars: dict[Chars, Chars] = {}

    def rules(self) -> Rules:
        found: Rules = {}
        self._skip(lines=True)
        while self._at < len(self._text):
            if len(found) == _MOST_RULES:
                raise self._error(f"more than {_MOST_RULES} rules")
            name = self._rule_name()
            self._skip()
            self._expect("::=")
            self._skip(lines=True)
            found[name] = self._choice(nested=0)
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._error("expected an element, | or the end of the line")
            self._skip(lines=True)
        for name, at in self._used.items():
            if name not in found:
                raise self._error(f"there is no rule {shown(name)}", at)
        if "root" not in found:
            raise Q4Error(f"{self._name}: has no rule 'root', with which texts begin")
        return found

    def _choice(self, nested: int) -> Node:
        if nested > _MOST_NESTED:
            raise self._error(f"more than {_MOST_NESTED} parentheses in each other")
        options = [self._sequence(nested)]
        while self._at_bar(nested):
            self._at += 1
            self._skip(lines=True)
            options.append(self._sequence(nested))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _at_bar(self, nested: int) -> bool:
        """Also one with which the next line begins."""
        before = self._at
        self._skip(lines=True)
        if self._peek() == "|":
            return True
        if not nested:
            self._at = before
        return False

    def _sequence(self, nested: int) -> Node:
        parts: list[Node] = []
        while (char := self._peek()) and char not in "|)\r\n":
            if char in "*+?{":
                if not parts:
                    raise self._error(f"expected something before {char}")
                parts[-1] = self._repeated(parts[-1])
            else:
                parts.append(self._element(char, nested))
            self._skip(lines=nested > 0)
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _element(self, char: str, nested: int) -> Node:
        self._count()
        if char == '"':
            return self._literal()
        if char == "[":
            return self._class()
        if char == "(":
            self._at += 1
            self._skip(lines=True)
            inner = self._choice(nested + 1)
            self._expect(")")
            return inner
        if char == ".":
            self._at += 1
            return _chars([(0, _LAST)])
        if char in "!<":
            return self._token()
        at = self._at
        name = self._rule_name()
        self._used.setdefault(name, at)
        return Rule(name)

    def _repeated(self, node: Node) -> Node:
        self._count(_PARTS_OF_A_REPETITION)
        self._stacked += isinstance(node, Repeat)
        if self._stacked > _MOST_NESTED:
            raise self._error(f"more than {_MOST_NESTED} repetitions of repetitions")
        char = self._text[self._at]
        if char != "{":
            self._at += 1
            return Repeat(node, 1 if char == "+" else 0, 1 if char == "?" else None)
        match = _REPEATED.match(self._text, self._at)
        if match is None or not (match[1] or match[3]):
            raise self._error("expected {N}, {N,}, {,N} or {N,N}")
        least = int(match[1] or 0)
        most = int(match[3]) if match[3] else (None if match[2] else least)
        if max(least, most or 0) > _MOST_REPETITIONS or (most is not None and most < least):
            raise self._error(f"expected at most {_MOST_REPETITIONS} repetitions, the lesser number first")
        self._at = match.end()
        return Repeat(node, least, most)

    def _literal(self) -> Node:
        self._at += 1
        parts = [self._known(Chars(((code, code),))) for code in self._codes('"')]
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _codes(self, end: str) -> Iterator[int]:
        start = self._at - 1
        while self._peek() != end:
            if not self._peek():
                raise self._error(f"there is no {end} for this", start)
            yield self._code()
        self._at += 1

    def _class(self) -> Node:
        start, self._at = self._at, self._at + 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            if not self._peek():
                raise self._error("there is no ] for this", start)
            low = high = self._code()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._code()
            if high < low:
                raise self._error("expected the lesser character first", start)
            ranges.append((low, high))
        self._at += 1
        found = _chars(ranges, negated)
        if not found.ranges:
            raise self._error("no character is meant by this", start)
        return self._known(found)

    def _known(self, found: Chars) -> Chars:
        if len(self._chars) == _MOST_CHARS and found not in self._chars:
            raise self._error(f"more than {_MOST_CHARS} different characters and classes")
        return self._chars.setdefault(found, found)

    def _code(self) -> int:
        """One character, maybe an escape."""
        self._count()
        char = self._text[self._at]
        if char != "\\":
            self._at += 1
            return ord(char)
        kind = self._text[self._at + 1 : self._at + 2]
        digits = self._text[self._at + 2 : self._at + 2 + _HEX_DIGITS.get(kind, 0)]
        if kind in _HEX_DIGITS and re.fullmatch(f"[0-9A-Fa-f]{{{_HEX_DIGITS[kind]}}}", digits):
            if int(digits, 16) > _LAST or _SURROGATES[0] <= int(digits, 16) <= _SURROGATES[1]:
                raise self._error(f"\\{kind}{digits} is no character")
            self._at += 2 + len(digits)
            return int(digits, 16)
        if kind not in _ESCAPES:
            named = kind.encode("unicode_escape").decode()
            raise self._error(f'the escape \\{named} is none of \\n \\r \\t \\\\ \\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH')
        self._at += 2
        return ord(_ESCAPES[kind])

    def _token(self) -> Node:
        but = self._text[self._at] == "!"
        match = _TOKEN.match(self._text, self._at + but)
        if match is None:
            raise self._error("expected a token, as <[1234]> or <think>")
        found = int(match[1]) if match[1] else self._token_id(match[0])
        if found is None:
            raise self._error(f"the vocabulary has no token {shown(match[0])}")
        self._at = match.end()
        return Token(found, but)

    def _rule_name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise self._error("expected a rule's name")
        self._at = match.end()
        return match[0]

    def _count(self, n: int = 1) -> None:
        self._parts += n
        if self._parts > _MOST_PARTS:
            raise self._error(f"more than {_MOST_PARTS} characters and elements")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _expect(self, what: str) -> None:
        if not self._text.startswith(what, self._at):
            raise self._error(f"expected {what}")
        self._at += len(what)

    def _skip(self, lines: bool = False) -> None:
        """White space and comments, and line ends where ``lines`` go on."""
        blanks = _BLANKS_AND_LINES if lines else _BLANKS
        while match := blanks.match(self._text, self._at) or _COMMENT.match(self._text, self._at):
            self._at = match.end()

    def _error(self, message: str, at: int | None = None) -> Q4Error:
        at = self._at if at is None else at
        found = self._text[at : at + 20].splitlines()[:1]
        line = self._text.count("\n", 0, at) + 1
        return Q4Error(f"{self._name}: line {line}: {message}, at {shown(found[0] if found else '')}")


def _chars(ranges: list[tuple[int, int]], negated: bool = False) -> Chars:
    """Ranges in order, apart from each other and from surrogates; of all others where negated."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    if negated:
        edges = [-1, *(edge for pair in joined for edge in pair), _LAST + 1]
        joined = [(edges[i] + 1, edges[i + 1] - 1) for i in range(0, len(edges), 2)]
    first, last = _SURROGATES
    pieces = [piece for low, high in joined for piece in ((low, min(high, first - 1)), (max(low, last + 1), high))]
    return Chars(tuple((low, high) for low, high in pieces if low <= high))
