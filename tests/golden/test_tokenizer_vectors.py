"""Real vocabularies against published vectors: texts and the ids that the models' own tokenizers give."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizer_vectors
from tokenizer_vectors import SEPARATOR, VOCABULARIES, read_vectors

from q4engine.gguf import GGUFFile
from q4engine.tokenizer import Tokenizer


def vocabulary(name: str) -> Path:
    path = tokenizer_vectors.path_of(name)
    if not path.is_file():
        pytest.skip(f".models/tokenizer-vectors/{path.name} is absent; `make test` gets it where a package index is")
    return path


@pytest.mark.parametrize("name", VOCABULARIES)
def test_published_vectors(name: str) -> None:
    path = vocabulary(name)
    judged = tokenizer_vectors.judge(path)
    assert judged.n_texts >= 47 and judged.wrong == []


@pytest.mark.parametrize("name", ["qwen2", "llama-spm"])
def test_texts_come_back_whole(name: str) -> None:
    path = vocabulary(name)
    cases = read_vectors(path)
    with GGUFFile.open(path) as gguf:
        tokenizer = Tokenizer.from_gguf(gguf)
    for text, ids in cases:
        assert tokenizer.decode(ids) == text
        stream = tokenizer.stream_decoder()
        streamed = "".join([stream.push(token) for token in ids]) + stream.flush()
        prefix = " " if "spm" in name and text else ""  # which decode() takes off again
        assert streamed == prefix + text
    # all the vectors once more, as one text that has every word boundary between them
    joined = SEPARATOR.join(text for text, _ in cases)
    assert tokenizer.decode(tokenizer.encode(joined, add_bos=False)) == joined


def test_qwen2_special_tokens() -> None:
    with GGUFFile.open(vocabulary("qwen2")) as gguf:
        tokenizer = Tokenizer.from_gguf(gguf)
    assert tokenizer.encode("<|im_start|>user\nHello<|im_end|>") == [151644, 872, 198, 9707, 151645]
    assert 151645 in tokenizer.stop_ids and 151643 in tokenizer.stop_ids
    assert tokenizer.decode([151644, 872, 151645]) == "user"
    assert tokenizer.decode([151644, 872, 151645], special=True) == "<|im_start|>user<|im_end|>"


def test_a_judge_that_finds_mistakes(tmp_path: Path) -> None:
    """One id changed, and one text with a character that the vocabulary lacks."""
    source = vocabulary("refact")
    copy = tmp_path / source.name
    copy.symlink_to(source)
    (tmp_path / f"{copy.name}.inp").write_text(Path(f"{source}.inp").read_text(encoding="utf-8"), encoding="utf-8")
    lines = Path(f"{source}.out").read_text(encoding="utf-8").split("\n")
    lines[0] += " 7"
    (tmp_path / f"{copy.name}.out").write_text("\n".join(lines), encoding="utf-8")
    judged = tokenizer_vectors.judge(copy)
    assert len(judged.wrong) == 1 and judged.wrong[0][1][-1] == 7
