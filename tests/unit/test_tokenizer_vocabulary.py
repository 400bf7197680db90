"""Special ids and stop tokens of a vocabulary, as the metadata says."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_runs import Cli
from vocab_files import CONTROL, bpe_file

from q4engine.tokenizer import Tokenizer


def test_bos_and_eos_as_the_metadata_says(tmp_path: Path) -> None:
    special = {"<s>": CONTROL, "</s>": CONTROL}
    keys = {"bos_token_id": 256, "eos_token_id": 257, "add_bos_token": True, "add_eos_token": True}
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], special, **keys))
    x = ord("x")
    assert tokenizer.encode("x") == [256, x, 257]
    assert tokenizer.encode("x", add_bos=False) == [x]
    plain = Tokenizer.from_gguf(bpe_file(tmp_path, [], special, bos_token_id=256))
    assert plain.encode("x") == [x]
    assert plain.encode("x", add_bos=True) == [256, x]


def test_stop_tokens(tmp_path: Path) -> None:
    special = {"<|im_end|>": CONTROL, "<|endoftext|>": CONTROL, "<|user|>": CONTROL}
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], special, eos_token_id=257))
    assert tokenizer.stop_ids == {256, 257}


@pytest.mark.parametrize(
    "text", ["</s>", "<EOT>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|file_sep|>", "<fim_pad>"]
)
def test_texts_that_end_whatever_the_types_say(tmp_path: Path, text: str) -> None:
    """Such a token is a control token: found in a prompt as one, and not shown."""
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], more_tokens=[text]))
    assert tokenizer.stop_ids == {256}
    assert tokenizer.encode(f"a{text}") == [ord("a"), 256] and tokenizer.decode([ord("a"), 256]) == "a"
    assert 256 not in tokenizer.encode(text, parse_special=False)


def test_infill_tokens_by_key_and_by_text(tmp_path: Path) -> None:
    texts = ["<|fim_pad|>", "<pad>", "<fim_prefix>"]
    by_text = Tokenizer.from_gguf(bpe_file(tmp_path, [], more_tokens=texts))
    assert by_text.stop_ids == {256} and by_text.encode("<pad>") != [257] and by_text.encode("<fim_prefix>") == [258]
    by_key = Tokenizer.from_gguf(bpe_file(tmp_path, [], more_tokens=texts, fim_pad_token_id=257))
    assert by_key.stop_ids == {257} and by_key.encode("<pad>") == [257]


def test_ids_that_nothing_uses_are_noted_and_ignored(tmp_path: Path) -> None:
    none = {"padding_token_id": 0xFFFFFFFF, "eos_token_id": 0xFFFFFFFF, "image_token_id": 256, "fim_rep_token_id": 999}
    tokenizer = Tokenizer.from_gguf(bpe_file(tmp_path, [], **none, mask_token_id=255))
    assert tokenizer.stop_ids == frozenset() and tokenizer.vocabulary.eos_id is None
    assert len(tokenizer.vocabulary.notes) == len(none)
    for note, (key, token) in zip(tokenizer.vocabulary.notes, none.items(), strict=True):
        assert f"key 'tokenizer.ggml.{key}' is {token}, expected a token id from 0 to 255; it is ignored" in note


def test_padding_of_the_field(shared_data: Path, q4: Cli) -> None:
    path = shared_data / "field" / "14-padding-token-id-4294967295.gguf"
    shown = q4("tokenize", path, "-p", "hello", "--count")
    assert shown.out == "5\n" and shown.err.count("is 4294967295") == 2
    answer = q4("run", path, "-p", "hello", "-n", "1", "--temp", "0")
    assert answer.code == 0 and answer.err.count("is 4294967295") == 2
