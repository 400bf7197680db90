"""Real vocabularies against published vectors: texts and the ids that the models' own tokenizers give."""

from __future__ import annotations

from pathlib import Path

import pytest

from q4engine.gguf import GGUFFile
from q4engine.tokenizer import Tokenizer

SEPARATOR = "\n__ggml_vocab_test__\n"


def vectors(path: Path) -> list[tuple[str, list[int]]]:
    texts = Path(f"{path}.inp").read_text(encoding="utf-8").split(SEPARATOR)
    lines = Path(f"{path}.out").read_text(encoding="utf-8").split("\n")  # the last text is empty, and so is its line
    return [(text, [int(token) for token in line.split()]) for text, line in zip(texts, lines, strict=True)]


@pytest.mark.parametrize("name", ["ggml-vocab-qwen2.gguf", "ggml-vocab-llama-spm.gguf"])
def test_published_vectors(shared_data: Path, name: str) -> None:
    path = shared_data / "tokenizers" / name
    if not path.exists():
        pytest.skip(f"{name} is absent")
    cases = vectors(path)
    assert len(cases) == 47
    with GGUFFile.open(path) as gguf:
        tokenizer = Tokenizer.from_gguf(gguf)
    for text, ids in cases:
        assert tokenizer.encode(text, add_bos=False, parse_special=False) == ids, repr(text)
        assert tokenizer.decode(ids) == text
        stream = tokenizer.stream_decoder()
        streamed = "".join([stream.push(token) for token in ids]) + stream.flush()
        prefix = " " if "spm" in name and text else ""  # which decode() takes off again
        assert streamed == prefix + text
    # all the vectors once more, as one text that has every word boundary between them
    joined = SEPARATOR.join(text for text, _ in cases)
    assert tokenizer.decode(tokenizer.encode(joined, add_bos=False)) == joined


def test_qwen2_special_tokens(shared_data: Path) -> None:
    path = shared_data / "tokenizers" / "ggml-vocab-qwen2.gguf"
    if not path.exists():
        pytest.skip("ggml-vocab-qwen2.gguf is absent")
    with GGUFFile.open(path) as gguf:
        tokenizer = Tokenizer.from_gguf(gguf)
    assert tokenizer.encode("<|im_start|>user\nHello<|im_end|>") == [151644, 872, 198, 9707, 151645]
    assert 151645 in tokenizer.stop_ids and 151643 in tokenizer.stop_ids
    assert tokenizer.decode([151644, 872, 151645]) == "user"
    assert tokenizer.decode([151644, 872, 151645], special=True) == "<|im_start|>user<|im_end|>"
