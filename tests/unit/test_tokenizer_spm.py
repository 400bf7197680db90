"""SPM on synthetic vocabularies: scores, bytes, spaces, control tokens."""

from __future__ import annotations

import itertools
from pathlib import Path

from vocab_files import spm_file

from q4engine.tokenizer import Tokenizer


def test_spm_prefers_the_highest_score(tmp_path: Path) -> None:
    scored = {"a": -9.0, "b": -9.0, "c": -9.0, "\u2581": -9.0, "ab": -2.0, "bc": -1.0, "\u2581a": -3.0}
    tokenizer = Tokenizer.from_gguf(spm_file(tmp_path, scored))
    tokens = tokenizer.vocabulary.tokens
    assert [tokens[token] for token in tokenizer.encode("abc")] == ["<s>", "\u2581a", "bc"]
    assert tokenizer.decode(tokenizer.encode("abc ab")) == "abc ab"


def test_spm_words_apart_or_together_are_the_same(tmp_path: Path) -> None:
    scored = dict.fromkeys("ab▁", -9.0) | {"ab": -1.0, "\u2581a": -2.0, "\u2581\u2581": -3.0}
    apart = Tokenizer.from_gguf(spm_file(tmp_path, scored))
    # a token with a space inside, which cannot come about here, makes the tokenizer take the text as one word
    together = Tokenizer.from_gguf(spm_file(tmp_path, scored | {"x\u2581y": -4.0}))
    for letters in itertools.product("ab ", repeat=6):
        text = "".join(letters)
        assert apart.encode(text) == together.encode(text), repr(text)


def test_spm_merges_across_words_where_a_token_does(tmp_path: Path) -> None:
    scored = dict.fromkeys("ab▁", -9.0) | {"b\u2581": -1.0}
    tokenizer = Tokenizer.from_gguf(spm_file(tmp_path, scored))
    tokens = tokenizer.vocabulary.tokens
    assert [tokens[token] for token in tokenizer.encode("b b", add_bos=False)] == ["\u2581", "b\u2581", "b"]


def test_spm_byte_fallback(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(spm_file(tmp_path, {"\u2581": -1.0}))
    ids = tokenizer.encode("é", add_bos=False)
    assert [tokenizer.vocabulary.tokens[token] for token in ids] == ["\u2581", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(ids) == "é"


def test_spm_plain_text_makes_a_control_token_where_merges_lead_to_it(tmp_path: Path) -> None:
    """As in llama.cpp: the text of </s> is the token where its halves are tokens, else it is what it is made of."""
    scored = dict.fromkeys("</s>▁", -9.0) | {"</": -1.0, "s>": -1.0}
    tokenizer = Tokenizer.from_gguf(spm_file(tmp_path, scored, add_space_prefix=False))
    assert tokenizer.encode("</s>", add_bos=False, parse_special=True) == [2]
    assert tokenizer.encode("</s>", add_bos=False, parse_special=False) == [2]
    apart = Tokenizer.from_gguf(spm_file(tmp_path, dict.fromkeys("</s>▁", -9.0), add_space_prefix=False))
    assert apart.encode("</s>", add_bos=False, parse_special=True) == [2]
    assert [apart.vocabulary.tokens[token] for token in apart.encode("</s>", False, False)] == list("</s>")


def test_spm_space_prefix(tmp_path: Path) -> None:
    scored = {"\u2581": -1.0, "a": -1.0}
    with_prefix = Tokenizer.from_gguf(spm_file(tmp_path, scored))
    assert with_prefix.encode("a<s>a", add_bos=False) == [259, 260, 1, 259, 260]
    assert with_prefix.encode("", add_bos=True) == [1]
    without = Tokenizer.from_gguf(spm_file(tmp_path, scored, add_space_prefix=False))
    assert without.encode("a<s>a", add_bos=False) == [260, 1, 260]
