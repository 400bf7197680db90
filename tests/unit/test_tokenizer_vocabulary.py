"""Special ids and stop tokens of a vocabulary, as the metadata says."""

from __future__ import annotations

from pathlib import Path

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
