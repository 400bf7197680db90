"""GBNF: what is read, what is refused, and that its Lark takes exactly the same texts."""

from __future__ import annotations

import random

import pytest
from gbnf_texts import GRAMMARS, Judged, judged

from q4engine.errors import Q4Error
from q4engine.sampling import gbnf
from q4engine.sampling.gbnf import Chars, Choice, Repeat, Rule, Sequence, Token


def chars(text: str) -> Chars:
    return Chars(tuple((ord(char), ord(char)) for char in text))


def root(text: str) -> gbnf.Node:
    return gbnf.parse(f"root ::= {text}\nx ::= [x]\n", "g")["root"]


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ('"a"', chars("a")),
        ('"ab" # c', Sequence((chars("a"), chars("b")))),
        ('""', Sequence(())),
        ("()", Sequence(())),
        ('"\\n\\x41\\u00e9\\U0001F600\\"\\\\\\]"', Sequence(tuple(chars(c) for c in '\nAé😀"\\]'))),
        ("[a-c]", Chars(((97, 99),))),
        ("[a-cb-ex-]", Chars(((45, 45), (97, 101), (120, 120)))),
        ("[^\\x00-a]", Chars(((98, 0xD7FF), (0xE000, 0x10FFFF)))),
        (".", Chars(((0, 0xD7FF), (0xE000, 0x10FFFF)))),
        ("[^]", Chars(((0, 0xD7FF), (0xE000, 0x10FFFF)))),
        ("x | x x", Choice((Rule("x"), Sequence((Rule("x"), Rule("x")))))),
        ("| x", Choice((Sequence(()), Rule("x")))),
        ("x\n  | x", Choice((Rule("x"), Rule("x")))),
        ("(\n x # one\n | x\n)?", Repeat(Choice((Rule("x"), Rule("x"))), 0, 1)),
        ("x* x+ x{2} x{2,} x{,3} x{1, 3}", Sequence(tuple(Repeat(Rule("x"), *n) for n in (
            (0, None), (1, None), (2, 2), (2, None), (0, 3), (1, 3))))),
        ('"ab"{2}', Repeat(Sequence((chars("a"), chars("b"))), 2, 2)),
        ("<[12]> !<[3]>", Sequence((Token(12, False), Token(3, True)))),
    ],
)  # fmt: skip
def test_what_is_read(text: str, node: gbnf.Node) -> None:
    assert root(text) == node


def test_tokens_by_their_texts_and_line_ends() -> None:
    rules = gbnf.parse("root ::= <think> x\r\n\r\nx ::= [x]", "g", {"<think>": 7}.get)
    assert rules == {"root": Sequence((Token(7, False), Rule("x"))), "x": chars("x")}
    assert gbnf.to_lark(rules) == "start: rule0\nrule0: (<[7]> rule1)\nrule1: /[\\x{78}-\\x{78}]/\n"
    assert gbnf.to_lark({"root": Repeat(Choice((Token(1, True), Sequence(()))), 2, None)}).endswith(
        'rule0: ((<[^1]> | "")){2,}\n'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "g: has no rule 'root', with which texts begin"),
        ('a ::= "b"', "g: has no rule 'root', with which texts begin"),
        ("root ::= a\nb ::= a", "g: line 1: there is no rule 'a', at 'a'"),
        ('root ::= "a', "g: line 1: there is no \" for this, at '\"a'"),
        ("root ::= [a", "g: line 1: there is no ] for this, at '[a'"),
        ("root ::= []", "g: line 1: no character is meant by this, at '[]'"),
        ("root ::= [b-a]", "g: line 1: expected the lesser character first, at '[b-a]'"),
        ('root ::= ("a"', "g: line 1: expected ), at ''"),
        ('root ::= "a")', "g: line 1: expected an element, | or the end of the line, at ')'"),
        ("\nroot = a", "g: line 2: expected ::=, at '= a'"),
        ('root ::= "a"' + "*" * 102, "g: line 1: more than 100 repetitions of repetitions, at '*'"),
        ("root ::= " + "." * 50_001, "g: line 1: more than 50000 characters and elements, at '.'"),
        ("root ::= " + ".? " * 10_001, "g: line 1: more than 50000 characters and elements, at '.? '"),
        (
            'root ::= "' + "".join(map(chr, range(0x4E00, 0x4E00 + 8193))) + '"',
            "g: line 1: more than 8192 different characters and classes, at ",
        ),
        ("\n".join(f"r{i} ::= ." for i in range(2001)), "g: line 2001: more than 2000 rules, at 'r2000 ::= .'"),
        ("root ::= *", "g: line 1: expected something before *, at '*'"),
        ('root ::= "a"{x}', "g: line 1: expected {N}, {N,}, {,N} or {N,N}, at '{x}'"),
        ('root ::= "a"{' + " " * 50_000, "g: line 1: expected {N}, {N,}, {,N} or {N,N}, at '{"),
        ('root ::= "a"{}', "g: line 1: expected {N}, {N,}, {,N} or {N,N}, at '{}'"),
        ('root ::= "a"{3,2}', "g: line 1: expected at most 2000 repetitions, the lesser number first, at '{3,2}'"),
        ('root ::= "a"{9999}', "g: line 1: expected at most 2000 repetitions, the lesser number first, at '{9999}'"),
        ('root ::= "\\q"', "g: line 1: the escape \\q is none of "),
        ('root ::= "\\x4"', "g: line 1: the escape \\x is none of "),
        ('root ::= "\\uD800"', "g: line 1: \\uD800 is no character, at "),
        ("root ::= <nope>", "g: line 1: the vocabulary has no token '<nope>', at '<nope>'"),
        ("root ::= <a b>", "g: line 1: expected a token, as <[1234]> or <think>, at '<a b>'"),
        ("root ::= " + "(" * 101 + ")" * 101, "g: line 1: more than 100 parentheses in each other"),
        ("?", "g: line 1: expected a rule's name, at '?'"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(Q4Error) as caught:
        gbnf.parse(text, "g")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_judge() -> None:
    sums = gbnf.parse(GRAMMARS["sums"], "g")
    assert judged(sums, "1+(2*x)=3\n") == Judged(True, True) and judged(sums, "1+(2*") == Judged(False, True)
    assert judged(sums, "1+)") == Judged(False, False)
    left = gbnf.parse(GRAMMARS["left recursion"], "g")
    assert judged(left, "ab,c,d") == Judged(True, True) and judged(left, "ab,,") == Judged(False, False)


def bytes_alone() -> object:
    """llguidance with a vocabulary of single bytes."""
    llguidance = pytest.importorskip("llguidance", reason="llguidance is not installed (the extra grammar)")

    class Bytes:
        eos_token_id, bos_token_id, special_token_ids = 256, None, [256]
        tokens = [*(bytes([byte]) for byte in range(256)), b"<end>"]  # noqa: RUF012

        def __call__(self, text: bytes) -> list[int]:
            return list(text)

    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()), n_vocab=257)


@pytest.mark.parametrize("name", GRAMMARS)
def test_lark_takes_the_same_texts(name: str) -> None:
    """Texts that grow by what may come next, now and then by what may not."""
    tokenizer = bytes_alone()
    from llguidance import LLMatcher

    rules = gbnf.parse(GRAMMARS[name], name)
    lark = LLMatcher.grammar_from_lark(gbnf.to_lark(rules))
    numbers = random.Random(name)
    letters = sorted({*'ab,1("{z', *(char for char in GRAMMARS[name] if char.isprintable())})
    for _ in range(7):
        matcher, text = LLMatcher(tokenizer, lark, log_level=0), ""
        for _ in range(14):
            assert matcher.is_accepting() == judged(rules, text).whole, text
            fits = [c for c in letters if judged(rules, text + c).begins]
            for char in numbers.sample(letters, 6):
                taken = matcher.validate_tokens(list(char.encode())) == len(char.encode())
                assert taken == (char in fits), (text, char)
            if not fits:
                break
            char = numbers.choice(fits)
            assert matcher.consume_tokens(list(char.encode()))
            text += char
