"""Grammars of many kinds, and what tells whether a text is one of a grammar's, or the beginning of one."""

from __future__ import annotations

from dataclasses import dataclass

from q4engine.sampling.gbnf import Chars, Choice, Node, Repeat, Rule, Rules, Sequence

GRAMMARS = {
    "yes or no": 'root ::= "yes" | "no" | "it depends"',
    "a list": """
        root ::= item+

        # without what ends lines
        item ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\U00002029]{1,12} "\\n"
    """,
    "a date": 'root ::= year "-" two "-" two\nyear ::= [12] digit{3}\ntwo ::= digit{2} # not checked\ndigit ::= [0-9]',
    "sums": """
        root ::= (sum "=" ws number "\\n")+
        sum ::= product ([-+*/] product)*
        product ::= number | name | "(" ws sum ")" ws
        number ::= [0-9]{1,3} ws
        name ::= [a-z] [a-z0-9_]{0,5} ws
        ws ::= [ \\t]{0,2}
    """,
    "JSON": """
        root ::= object
        value ::= object | array | string | number | ("true" | "false" | "null") ws
        object ::= "{" ws (string ":" ws value ("," ws string ":" ws value){0,2})? "}" ws
        array ::= "[" ws (value ("," ws value){0,2})? "]" ws
        string ::= "\\"" ([^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4})){0,8} "\\"" ws
        number ::= ("-"? ([0-9] | [1-9] [0-9]{0,3})) ("." [0-9]+)? ws
        ws ::= | " " | "\\n" [ \\t]{0,3}
    """,
    "a move": """
        root ::= "1. " move " " move "\\n" ([1-9] [0-9]? ". " move " " move "\\n")*
        move ::= (pawn | piece | castle) [+#]?
        piece ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
        pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
        castle ::= "O-O" "-O"?
    """,
    "kana": 'root ::= (kana | "\\u30FC" | "、" | "\\n")+ "。"\nkana ::= [ぁ-んァ-ヶ]',
    "Japanese": """
        root ::= char+ ([ \\t\\n] char+)*
        char ::= hiragana | katakana | mark | kanji
        hiragana ::= [ぁ-ゟ]
        katakana ::= [ァ-ヿ]
        mark ::= [、-〾]
        kanji ::= [一-鿿] | [\\U00020000-\\U0002A6DF]
    """,
    "English": """
        root  ::= char+ ([ \\t\\n] char+)*
        char  ::= letter | digit | mark
        letter ::= [a-zA-Z]
        digit ::= [0-9]
        mark  ::= [!"#$%&'()*+,-./:;<=>?@[\\\\\\]^_`{|}~]
    """,
    "a program": """
        root ::= (function)*

        function ::= typeName name "(" parameter? ")" "{" statement* "}"
        typeName ::= "int" gap | "float" gap
        name     ::= [a-zA-Z_] [a-zA-Z_0-9]{0,5}
        parameter ::= typeName name
        statement ::=
            ( typeName name gap "=" gap value ";" ) |
            ( name gap "(" (value ("," gap value)*)? ")" ";" ) |
            ( "return" gap value ";" ) |
            ( "while" "(" test ")" "{" statement* "}" ) |
            ( "if" "(" test ")" "{" statement* "}" ("else" "{" statement* "}")? ) |
            ( remark )

        test ::= value ("<=" | "<" | "==" | "!=") value
        value ::= term (("+" | "-") term)*
        term ::= factor(("*" | "/") factor)*
        factor ::= name | [0-9]+ | "-" factor | "(" gap value gap ")"
        remark ::= "//" [^\\n]* "\\n" | "/*" ( [^*] | ("*" [^/]) )* "*/"
        gap ::= ([ \\t\\n]+)
    """,
    "left recursion": 'root ::= root "," word | word\nword ::= [a-f]+',
    "the same on both sides": 'root ::= "(" root ")" | "[" root "]" | ""',
    "overlapping words": 'root ::= ("ab" | "a" | "b" "c" | [a-c]{3})+ ("abc" | "z") .',
}


@dataclass(frozen=True)
class Judged:
    whole: bool
    begins: bool
    """Whether it may go on, or is whole."""


def judged(rules: Rules, text: str) -> Judged:
    """By walking through the tree at every character: slow, and nothing that a parser generator could get wrong."""
    walk = _Walk(rules, text)
    whole = len(text) in walk.walk()
    return Judged(whole, whole or walk.wanted_more)


class _Walk:
    def __init__(self, rules: Rules, text: str) -> None:
        self._rules, self._text = rules, text
        self._known: dict[tuple[str, int], set[int]] = {}
        self._before: dict[tuple[str, int], set[int]] = {}
        self.wanted_more = False

    def walk(self) -> set[int]:
        """Where the whole may end. With left recursion each walk finds more than the one before, up to the last."""
        while True:
            found = self._rule("root", 0)
            if self._known == self._before:
                return found
            self._before, self._known = self._known, {}

    def ends(self, node: Node, at: int) -> set[int]:
        """Where the node may end that begins there."""
        match node:
            case Chars(ranges):
                if at == len(self._text):
                    self.wanted_more = True
                    return set()
                return {at + 1} if any(low <= ord(self._text[at]) <= high for low, high in ranges) else set()
            case Rule(name):
                return self._rule(name, at)
            case Sequence(parts):
                found = {at}
                for part in parts:
                    found = {end for start in found for end in self.ends(part, start)}
                return found
            case Choice(of):
                return {end for option in of for end in self.ends(option, at)}
            case Repeat(part, least, most):
                return self._repeated(part, least, most, at)
        raise AssertionError(node)

    def _repeated(self, part: Node, least: int, most: int | None, at: int) -> set[int]:
        found: set[int] = {at} if least == 0 else set()
        starts, times = {at}, 0
        while starts and (most is None or times < most):
            times += 1
            ends = {end for start in starts for end in self.ends(part, start)}
            new = ends - found if times >= least else ends
            found |= ends if times >= least else set()
            starts = new
        return found

    def _rule(self, name: str, at: int) -> set[int]:
        key = name, at
        if key not in self._known:
            self._known[key] = self._before.get(key, set())  # for what refers to itself
            self._known[key] = self.ends(self._rules[name], at)
        return self._known[key]
