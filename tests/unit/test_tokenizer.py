"""Tokenizers on synthetic vocabularies: merge order against a slow reference, special tokens, streaming, time."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocab_files import CONTROL, USER_DEFINED, bpe_file

from q4engine.errors import Q4Error
from q4engine.tokenizer import Tokenizer
from q4engine.tokenizer.merging import merge_symbols
from q4engine.tokenizer.pretokenizers import PRE_TOKENIZERS, PreTokenizer
from q4engine.tokenizer.specials import SpecialTokens


def merged_slowly(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """The definition: look at all pairs, join the best, start again."""
    symbols = list(symbols)
    while True:
        candidates = [(ranks[pair], index) for index, pair in enumerate(itertools.pairwise(symbols)) if pair in ranks]
        if not candidates:
            return symbols
        _, index = min(candidates)
        symbols[index : index + 2] = [symbols[index] + symbols[index + 1]]


symbol = st.text("abc", min_size=1, max_size=3)


@given(st.text("abc", max_size=24), st.lists(st.tuples(symbol, symbol), unique=True, max_size=20))
def test_merges_like_the_definition(text: str, merges: list[tuple[str, str]]) -> None:
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    fast = merge_symbols(list(text), lambda left, right: ranks.get((left, right)))
    assert fast == merged_slowly(list(text), ranks)


def test_equal_ranks_go_left_to_right() -> None:
    assert merge_symbols(list("aaa"), lambda left, right: 0 if left + right == "aa" else None) == ["aa", "a"]


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
@given(text=st.text(st.sampled_from("aZé 我7٣\n\r\t'sSt!?\u00a0\x1c<|🦙")))
def test_words_joined_are_the_text(name: str, text: str) -> None:
    words = list(PreTokenizer(name).split(text))
    assert "".join(words) == text and "" not in words


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gpt-2", "I'll go  to 1234 B.\n\n x", "I|'ll| go| | to| 1234| B|.|\n\n| x"),
        ("gpt-2", "I'LL", "I|'|LL"),
        ("smollm", "in  1234 a", "in|  |1|2|3|4| a"),
        ("smollm", "x = 7", "x| =| |7"),
        ("qwen2", "I'LL 12345 go!\n\n x", "I|'LL| |1|2|3|4|5| go|!\n\n| x"),
        ("qwen2", "(abc  \n  d", "(abc|  \n| | d"),
        ("llama-bpe", "12345,67 I'M", "123|45|,|67| I|'M"),
        ("default", "a+b 12345 c", "a|+|b| |123|45| c"),
        ("falcon", "a+b 12345", "a|+|b| |123|45"),
        ("deepseek-llm", "Ab 12\n x。  ", "Ab| |12|\n| x|。|  "),
        ("deepseek-llm", "一二 a", "一二| a"),
        ("deepseek-coder", "Ab 12, x", "Ab| |1|2|,| x"),
        ("deepseek-v3", "a.b 12345 x", "a|.b| |123|45| x"),
        ("qwen35", "का 12", "का| |1|2"),
        ("tekken", "HelloWorld ÉCole 12", "Hello|World| ÉCole| |1|2"),
        ("gpt-4o", "I'll 12345/\n", "I'll| |123|45|/\n"),
        ("minicpm5", "a12345", "a|123|45"),
        ("viking", "ab 12, c", "ab| |1|2|,| c"),
        ("bailingmoe", "I'LL\n\nx", "I|'LL|\n\n|x"),
        ("seed-coder", "a!\n\nb", "a|!|\n\n|b"),
        ("ufakzeka", "Ali'nin", "Ali|'nin"),
        ("llama-bpe", "\x1cab", "\x1cab"),  # U+001C is white space for Python, but has no such property
    ],
)
def test_pre_tokenizers(name: str, text: str, words: str) -> None:
    assert list(PreTokenizer(name).split(text)) == words.split("|")


def test_special_tokens_in_prompts(tmp_path: Path) -> None:
    special = {"<|a|>": CONTROL, "<|a|><|b|>": CONTROL, "<u>": USER_DEFINED}
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], special))
    assert tokenizer.encode("<|a|><|b|>x<|a|>") == [257, ord("x"), 256]
    assert tokenizer.encode("<u>", parse_special=False) == [258]
    assert 256 not in tokenizer.encode("<|a|>", parse_special=False)
    assert tokenizer.decode([256, 258, 257]) == "<u>"


@given(st.lists(st.text("<|>ab", max_size=4), max_size=6), st.text("<|>ab", max_size=12))
def test_special_tokens_leftmost_longest(tokens: list[str], text: str) -> None:
    pieces = list(SpecialTokens((token, index) for index, token in enumerate(tokens)).split(text))
    assert "".join(piece if isinstance(piece, str) else tokens[piece] for piece in pieces) == text
    wanted = {token for token in tokens if token}
    assert not any(token in piece for token in wanted for piece in pieces if isinstance(piece, str))
    position = 0
    for piece in pieces:
        here = piece if isinstance(piece, str) else tokens[piece]
        if isinstance(piece, int):
            assert here == max((token for token in wanted if text.startswith(token, position)), key=len)
        position += len(here)


def test_phi3_strips_white_space_after_special_tokens(tmp_path: Path) -> None:
    """As tokenizer.json's "rstrip" has it, which GGUF does not carry; not after <s>."""
    special = {"<|user|>": CONTROL, "<s>": CONTROL}
    name = {"general.name": "Phi-3.5 mini"}
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], special, **name))
    assert tokenizer.encode("<|user|>\n x<|user|>  <|user|>") == [256, ord("x"), 256, 256]
    assert tokenizer.encode("<s> x") == [257, ord(" "), ord("x")]
    assert Tokenizer.from_gguf(bpe_file(tmp_path, [], special)).encode("<|user|> x") == [256, ord(" "), ord("x")]


def test_deepseek_takes_long_white_space_in_linear_time() -> None:
    text = " " * 200_000 + "1"
    assert list(PreTokenizer("deepseek-llm").split(text)) == [" " * 200_000, "1"]


def test_streaming_never_gives_half_a_character(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, []))
    ids = tokenizer.encode("aé🦙")
    assert len(ids) == 1 + 2 + 4
    stream = tokenizer.stream_decoder()
    assert [stream.push(token) for token in ids] == ["a", "", "é", "", "", "", "🦙"]
    assert stream.flush() == ""


def test_streaming_replaces_bytes_of_no_character(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, []))
    llama = tokenizer.encode("🦙")
    x = tokenizer.encode("x")
    stream = tokenizer.stream_decoder()
    assert "".join(stream.push(token) for token in [*llama[:2], *x]) == "\ufffdx"
    assert stream.push(llama[0]) == "" and stream.flush() == "\ufffd"
    assert "".join(stream.push(token) for token in llama) == "🦙"  # as new after the flush


def test_surrogates_become_the_replacement_character(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, []))
    assert tokenizer.decode(tokenizer.encode("a\udcffb\ud800")) == "a\ufffdb\ufffd"


@pytest.mark.parametrize("token", [-1, 256, 10**12])
def test_ids_out_of_range(tmp_path: Path, token: int) -> None:
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, []))
    with pytest.raises(Q4Error, match=rf"token id {token} is out of range, expected 0 to 255"):
        tokenizer.decode([token])


def count_rank_lookups(n: int) -> int:
    calls = 0

    def rank(left: str, right: str) -> int | None:
        nonlocal calls
        calls += 1
        return len(left) if left == right and len(left) < 16 else None

    assert len(merge_symbols(["a"] * n, rank)) == n // 16
    return calls


def test_work_on_one_long_word_is_linear() -> None:
    """Counted, not timed: twice the letters, twice the look-ups."""
    assert count_rank_lookups(1 << 15) <= 2.01 * count_rank_lookups(1 << 14)
