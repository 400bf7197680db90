"""SmolLM2 through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from q4engine import cli
from q4engine.engine import Engine
from q4engine.tokenizer import ChatTemplate

QUESTION = "What is the capital of France?"


def test_the_capital_of_france(smollm2_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", str(smollm2_path), "-p", QUESTION, "--temp", "0", "-n", "64"]) == 0
    captured = capsys.readouterr()
    assert "Paris" in captured.out
    assert "<|im_end|>" not in captured.out  # the model's own end of turn ended it
    assert "eval time" in captured.err


def test_prompt_as_the_template_makes_it(smollm2_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine.load(smollm2_path, n_threads=1)
    template = ChatTemplate.from_gguf(engine.gguf, engine.tokenizer)
    assert template.note is None
    text = template.render([{"role": "user", "content": QUESTION}])
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = engine.tokenizer.encode(text)
    assert ids[:3] == [1, 9690, 198] and len(ids) == 37  # <|im_start|>, "system", newline
    assert engine.tokenizer.decode(ids, special=True) == text
    assert engine.tokenizer.encode("in 1234  x", add_bos=False) == engine.tokenizer.encode("in ") + (
        [engine.tokenizer.vocabulary.ids[digit] for digit in "1234"] + engine.tokenizer.encode("  x")
    )
    # typed by hand, with the same text as its prompt, the model gives the same answer
    answers = []
    for prompt in (QUESTION, text.replace("\n", "\\n")):
        assert cli.main(["run", str(smollm2_path), "-p", prompt, "--temp", "0", "-n", "8", "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out)["tokens"])
    assert answers[0] == answers[1]
