"""Broken vocabularies end in one line that names the file and the key."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from random import Random

import pytest
from gguf_bytes import F32, I32, STRING, U32, array, pair
from vocab_files import BYTE, BYTE_TOKENS, CONTROL, KEY, NORMAL, bpe_file, open_pairs, spm_file, vocab_pairs

from q4engine.errors import Q4Error, TooManyTokensError
from q4engine.tokenizer import Tokenizer, merging, spm
from q4engine.tokenizer.bpe import MOST_LETTERS, MOST_MERGES
from q4engine.tokenizer.pretokenizers import PreTokenizer
from q4engine.tokenizer.vocabulary import MOST_TOKENS

SPM_TOKENS = ["<unk>", "<s>", "</s>", "a"]
SPM_TYPES = [2, 3, 3, 1]


def bpe_pairs(**changes: object) -> list[bytes]:
    fields: dict = {"tokens": [*BYTE_TOKENS, "ab"], "types": [NORMAL] * 257, "merges": ["a b"], **changes}
    return vocab_pairs("gpt2", **fields)


def spm_pairs(**changes: object) -> list[bytes]:
    fields: dict = {"tokens": SPM_TOKENS, "types": SPM_TYPES, "scores": [0.0] * 4, **changes}
    return vocab_pairs("llama", **fields)


def replaced(pairs: list[bytes], name: str, new: bytes | None) -> list[bytes]:
    kept = [item for item in pairs if (KEY + name).encode() not in item]
    assert len(kept) == len(pairs) - 1
    return kept if new is None else [*kept, new]


CASES = {
    "merge without a space": (bpe_pairs(merges=["a b", "ab"]), "merges", "'ab' as element 1"),
    "merge with two spaces": (bpe_pairs(merges=["a b c"]), "merges", "'a b c' as element 0"),
    "merge without a left side": (bpe_pairs(merges=[" b"]), "merges", "' b' as element 0"),
    "merge without a right side": (bpe_pairs(merges=["a "]), "merges", "'a ' as element 0"),
    "empty merge": (bpe_pairs(merges=["a b", ""]), "merges", "'' as element 1"),
    "merge across a NUL": (bpe_pairs(merges=["a\0b"]), "merges", r"'a\\x00b' as element 0"),
    "merges are numbers": (
        replaced(bpe_pairs(), "merges", array(KEY + "merges", I32, [1])),
        "merges",
        "array of INT32, expected an array of strings",
    ),
    "no merges": (replaced(bpe_pairs(), "merges", None), "merges", "is missing"),
    "no tokens": (replaced(bpe_pairs(), "tokens", None), "tokens", "is missing"),
    "empty tokens": (bpe_pairs(tokens=[], types=[]), "tokens", "is an empty array"),
    "tokens are numbers": (
        replaced(bpe_pairs(), "tokens", array(KEY + "tokens", U32, [1])),
        "tokens",
        "array of UINT32",
    ),
    "tokens are one string": (
        replaced(bpe_pairs(), "tokens", pair(KEY + "tokens", STRING, "abc")),
        "tokens",
        "of type STRING",
    ),
    "types too short": (bpe_pairs(types=[1] * 256), "token_type", "256 elements, expected 257"),
    "types too long": (bpe_pairs(types=[1] * 258), "token_type", "258 elements, expected 257"),
    "unknown type": (bpe_pairs(types=[1] * 256 + [7]), "token_type", "has 7 for token 256, expected 0 to 6"),
    "negative type": (bpe_pairs(types=[-1] + [1] * 256), "token_type", "has -1 for token 0"),
    "types are floats": (
        replaced(bpe_pairs(), "token_type", array(KEY + "token_type", F32, [1.0] * 257)),
        "token_type",
        "array of FLOAT32, expected an array of integers",
    ),
    "scores too short": (spm_pairs(scores=[0.0] * 3), "scores", "3 elements, expected 4"),
    "scores not finite": (spm_pairs(scores=[0.0, 0.0, 0.0, float("nan")]), "scores", "nan for token 3"),
    "no scores": (replaced(spm_pairs(), "scores", None), "scores", "is missing"),
    "scores are integers": (
        replaced(spm_pairs(), "scores", array(KEY + "scores", I32, [0] * 4)),
        "scores",
        "array of INT32, expected an array of floats",
    ),
    "byte token that is none": (
        spm_pairs(tokens=["<unk>", "<s>", "</s>", "<0xZZ>"], types=[2, 3, 3, BYTE]),
        "tokens",
        "byte token 3 '<0xZZ>'",
    ),
    "bos out of range": (bpe_pairs(bos_token_id=257), "bos_token_id", "is 257, expected a token id from 0 to 256"),
    "eos out of range": (bpe_pairs(eos_token_id=0xFFFFFFFE), "eos_token_id", "is 4294967294"),
    "eot out of range": (bpe_pairs(eot_token_id=999), "eot_token_id", "is 999"),
    "unknown out of range": (spm_pairs(unknown_token_id=4), "unknown_token_id", "is 4"),
    "bos wanted but none": (
        bpe_pairs(bos_token_id=0xFFFFFFFF, add_bos_token=True),
        "add_bos_token",
        "there is no bos_token_id",
    ),
    "eos is a string": (bpe_pairs(eos_token_id="2"), "eos_token_id", "of type STRING"),
    "bos wanted but not given": (bpe_pairs(add_bos_token=True), "add_bos_token", "there is no bos_token_id"),
    "unknown pre-tokenizer": (bpe_pairs(pre="esperanto"), "pre", "is 'esperanto', expected one of default"),
    "pre is a number": (bpe_pairs(pre=3), "pre", "of type UINT32"),
    "unknown model": (vocab_pairs("t5", ["a"]), "model", "is 't5', expected gpt2"),
    "no model": (replaced(bpe_pairs(), "model", None), "model", "is missing"),
    "space prefix is a number": (spm_pairs(add_space_prefix=1), "add_space_prefix", "of type UINT32"),
}


@pytest.mark.parametrize("name", CASES)
def test_broken_vocabulary(tmp_path: Path, name: str) -> None:
    pairs, key, message = CASES[name]
    with open_pairs(tmp_path, pairs) as gguf, pytest.raises(Q4Error, match=message) as caught:
        Tokenizer.from_gguf(gguf)
    text = str(caught.value)
    assert text.startswith(f"{gguf.path}: ") and KEY + key in text and "\n" not in text


def test_byte_without_a_token(tmp_path: Path) -> None:
    gguf = open_pairs(tmp_path, vocab_pairs("gpt2", ["a", "b"], merges=[]))
    tokenizer = Tokenizer.from_gguf(gguf)
    assert tokenizer.encode("ab") == [0, 1]
    with pytest.raises(Q4Error, match=r"tokenizer\.ggml\.tokens' has no token for the byte 0x63"):
        tokenizer.encode("abc")


def test_bytes_that_real_vocabularies_lack_are_left_out(tmp_path: Path) -> None:
    tokens = [token for byte, token in enumerate(BYTE_TOKENS) if byte not in (0x14, 0x7F, 0xF1)]
    tokenizer = Tokenizer.from_gguf(open_pairs(tmp_path, vocab_pairs("gpt2", tokens, merges=[])))
    assert tokenizer.decode(tokenizer.encode("a\x14b\x7fc\x15")) == "abc\x15"
    assert len(tokenizer.encode("\U00040000")) == 3  # its lead byte 0xF1 is left out, the others stay


def test_merge_that_makes_no_token(tmp_path: Path) -> None:
    gguf = open_pairs(tmp_path, vocab_pairs("gpt2", ["a", "b"], merges=["a b"]))
    with pytest.raises(Q4Error, match=r"tokenizer\.ggml\.merges' makes 'ab'"):
        Tokenizer.from_gguf(gguf).encode("ab")


@pytest.mark.parametrize(("name", "most"), [("tokens", MOST_TOKENS), ("merges", MOST_MERGES)])
def test_more_than_any_model_has(tmp_path: Path, name: str, most: int) -> None:
    pairs = replaced(bpe_pairs(), name, array(KEY + name, STRING, ["a b"] * (most + 1)))
    with pytest.raises(Q4Error, match=f"{name}' has {most + 1} elements, expected at most {most}$"):
        Tokenizer.from_gguf(open_pairs(tmp_path, pairs))


def test_byte_fallback_without_byte_tokens(tmp_path: Path) -> None:
    lone = vocab_pairs("llama", ["a"], [1], scores=[0.0], add_bos_token=False, add_space_prefix=False)
    with pytest.raises(Q4Error, match=r"neither a token for 'b' nor the byte token <0x62> nor an unknown token"):
        Tokenizer.from_gguf(open_pairs(tmp_path, [*lone])).encode("b")
    unknown = spm_pairs(unknown_token_id=0, add_bos_token=False, add_space_prefix=False)
    assert Tokenizer.from_gguf(open_pairs(tmp_path, unknown)).encode("ab") == [3, 0]


def test_tokens_that_stand_twice_and_empty_tokens(tmp_path: Path) -> None:
    tokens = [*BYTE_TOKENS, "ab", "ab", ""]
    gguf = open_pairs(tmp_path, vocab_pairs("gpt2", tokens, [1] * 258 + [3], ["a b"]))
    tokenizer = Tokenizer.from_gguf(gguf)
    assert tokenizer.decode(tokenizer.encode("cabab")) == "cabab"
    assert tokenizer.decode(range(len(tokens)), special=True).endswith("abab")


def test_letters_outside_the_byte_alphabet_stand_for_themselves(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], more_tokens=["我 x"]))
    assert tokenizer.decode([256]) == "我 x"


def test_a_vocabulary_of_special_tokens_only_is_quick(tmp_path: Path) -> None:
    special = {f"<{'x' * (index % 97)}{index}>": 4 for index in range(20000)}
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], special))
    assert len(tokenizer.encode("<" * 10000)) == 10000


def test_spm_unknown_id_defaults_only_where_it_exists(tmp_path: Path) -> None:
    assert Tokenizer.from_gguf(spm_file(tmp_path, {"a": -1.0})).vocabulary.unknown_id == 0


WORDS = ("a" * 500, "ab" * 400, "abcd " * 300, " " * 300, "\x14a" * 300, "é一😀" * 200, "<|x|>" * 99, "ab<|x|>" * 9, "")


@pytest.mark.parametrize("kind", ["bpe", "spm", "words that cross spaces"])
@pytest.mark.parametrize("text", WORDS)
def test_more_tokens_than_wanted(tmp_path: Path, kind: str, text: str) -> None:
    """Refused at the exact number, also where a long word is refused without encoding it."""
    if kind == "bpe":
        merges = ["a b", "c d", "ab cd", "a a", "aa aa"]
        types = {"<|x|>": 3}
        rare = BYTE_TOKENS[0x14]
        full = [token for token in BYTE_TOKENS if token != rare]
        made = [merge.replace(" ", "") for merge in merges]
        pairs = vocab_pairs("gpt2", [*full, *made, *types], [1] * (255 + len(made)) + [3], merges)
        gguf = open_pairs(tmp_path, pairs)
    else:
        crossing = {"d\u2581": -1.0} if kind != "spm" else {}
        gguf = spm_file(
            tmp_path, {"a": 0.0, "b": 0.0, "ab": -2.0, "aa": -3.0, "aaaa": -4.0, "\u2581": -1.0, **crossing}
        )
    tokenizer = Tokenizer.from_gguf(gguf)
    whole = tokenizer.encode(text, add_bos=False)
    assert tokenizer.encode(text, add_bos=False, most=len(whole)) == whole
    for most in {len(whole) - 1, len(whole) // 2, 0} - {-1, len(whole)}:
        with pytest.raises(TooManyTokensError) as caught:
            tokenizer.encode(text, add_bos=False, most=most)
        assert most < caught.value.at_least <= len(whole)


def test_a_prompt_far_too_long_is_refused_before_it_costs_anything(tmp_path: Path) -> None:
    """Encoding this one word would take a kilobyte a letter."""
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, ["a a", "aa aa"]))
    text = "a" * 1_000_000
    tracemalloc.start()
    with pytest.raises(TooManyTokensError, match="the text has 250000 tokens or more, expected at most 4096"):
        tokenizer.encode(text, most=4096)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_what_might_begin_special_tokens_is_refused_by_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten megabytes of ``<`` took five seconds; special tokens themselves, with blanks too, are none too many."""
    special = {"<|a b|>": CONTROL, "<\uff5cc\uff5c>": CONTROL}
    for tokenizer in (
        Tokenizer.from_gguf(bpe_file(tmp_path, ["a b"], special)),
        Tokenizer.from_gguf(
            open_pairs(tmp_path, vocab_pairs("llama", [*SPM_TOKENS, *special], [*SPM_TYPES, 3, 3], scores=[0.0] * 6))
        ),
    ):
        text = "".join(special) * 8000
        assert len(tokenizer.encode(text, add_bos=False, most=16_000)) == 16_000
        with monkeypatch.context() as patch, pytest.raises(TooManyTokensError):
            patch.setattr("q4engine.tokenizer.specials.SpecialTokens.split", None)
            tokenizer.encode("<" * 200_000, add_bos=False, most=4096)


def test_many_tokens_and_a_long_word_need_little(tmp_path: Path) -> None:
    """What is kept of each token for the bound is nothing but its length."""
    letters = [f"{index:06}{'abcdefgh'[index % 8]}" for index in range(30_000)]
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], more_tokens=letters))
    tracemalloc.start()
    assert len(tokenizer.encode("ab" * 100, most=200)) == 200
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000 and peak < 1_000_000


def test_a_word_that_no_text_has(tmp_path: Path) -> None:
    with open_pairs(tmp_path, bpe_pairs(add_bos_token=False)) as file:
        tokenizer = Tokenizer.from_gguf(file)
        assert len(tokenizer.encode("ab" * (MOST_LETTERS // 2))) == MOST_LETTERS // 2
        with pytest.raises(Q4Error, match=f"^a word of 10000000 bytes, 'a{{20}}'…, expected at most {MOST_LETTERS}$"):
            tokenizer.encode("a" * 10_000_000)


def test_a_text_without_spaces_is_encoded_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in one piece; what may all be one word has a limit, as words of bytes have."""
    scored = dict.fromkeys("abcd", 0.0) | {"ab": -1.0, "bc": -2.0, "abc": -3.0, "dd": -4.0, "cab": -1.5}
    tokenizer = Tokenizer.from_gguf(spm_file(tmp_path, scored, add_space_prefix=False))
    random = Random(1)
    texts = ["".join(random.choices("abcdx", k=random.randint(1, 40))) for _ in range(500)]
    whole = [tokenizer.encode(text) for text in texts]
    monkeypatch.setattr(spm, "_LONG", 0)
    pieces = Tokenizer.from_gguf(spm_file(tmp_path, scored, add_space_prefix=False))
    assert [pieces.encode(text) for text in texts] == whole
    monkeypatch.setattr(spm, "MOST_LETTERS", 100)
    assert len(pieces.encode("dda" * 1000)) == 2001
    with pytest.raises(Q4Error, match=r"^101 characters that may be one word, 'd{20}'…, expected at most 100$"):
        pieces.encode("a" + "d" * 101 + "a")


def test_more_different_words_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "_CACHE_WORDS", 7)
    monkeypatch.setattr(merging, "_AT_ONCE", 5)
    random = Random(1)
    words = ["".join(random.choices("abc", k=random.randint(1, 80))) for _ in range(200)]
    text = " ".join(random.choices(words, k=1000))
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, ["a b", "ab c", "a a"], add_bos_token=False))
    ids = tokenizer.encode(text)
    assert ids == [token for word in PreTokenizer("default").split(text) for token in tokenizer.encode(word)]
    assert ids == tokenizer.encode(text, most=len(ids)) and tokenizer.decode(ids) == text
    assert len(tokenizer._model._cache._known) == 7
