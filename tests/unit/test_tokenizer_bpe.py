"""Byte-level BPE on synthetic vocabularies: ranks, whole words, round trips."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocab_files import bpe_file

from q4engine.tokenizer import Tokenizer


def test_bpe_merges_by_rank_and_not_by_length(tmp_path: Path) -> None:
    # "b c" comes before "a b", so that "abc" is a|bc although "ab" is a token as well
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, ["b c", "a b", "ab c"]))
    tokens = tokenizer.vocabulary.tokens
    assert [tokens[token] for token in tokenizer.encode("abc")] == ["a", "bc"]


def test_llama3_takes_whole_words_past_the_merges(tmp_path: Path) -> None:
    more = ["abc"]
    gpt2 = Tokenizer.from_gguf(bpe_file(tmp_path, ["b c"], more_tokens=more, pre="gpt-2"))
    llama3 = Tokenizer.from_gguf(bpe_file(tmp_path, ["b c"], more_tokens=more, pre="llama-bpe", add_bos_token=False))
    assert len(gpt2.encode("abc")) == 2
    assert llama3.encode("abc") == [llama3.vocabulary.ids["abc"]]


@pytest.fixture(scope="module")
def small_bpe(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.from_gguf(bpe_file(tmp_path_factory.mktemp("bpe"), ["a b", "Ġ a", "Ã ¤"]))


@given(text=st.text())
def test_bpe_round_trip(small_bpe: Tokenizer, text: str) -> None:
    assert small_bpe.decode(small_bpe.encode(text)) == text
