"""Engines of sweeps and what they tell besides times: transformers, each token, captures, perplexities."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import Cli
from models.tiny import write_tiny

from analysis.sweep_results import read
from q4engine.bench import peer_worker
from q4engine.errors import Q4Error
from q4engine.sweep.results import read_results
from q4engine.sweep.scored_models import ScoredText, score_models, scored_text

TORCH = """\
__version__ = "0.0.0"
float32 = "float32"
def set_num_threads(n): print("noise on standard output", n)
def tensor(rows): return rows
import contextlib
inference_mode = contextlib.nullcontext
"""
TRANSFORMERS = """\
__version__ = "0.0.1"
class DynamicCache:
    n = 0
    def crop(self, n):
        if n >= 0:
            raise ValueError("not supported")  # as newer ones say
        self.n += n
class Model:
    def eval(self): return self
    def __call__(self, input_ids, past_key_values, use_cache, logits_to_keep):
        past_key_values.n += len(input_ids[0])
        if past_key_values.n > 12:
            raise ValueError("the cache is full")
class AutoTokenizer:
    @staticmethod
    def from_pretrained(folder, gguf_file=None):
        print("noise of a tokenizer")
        return AutoTokenizer()
    def encode(self, text, add_special_tokens):
        return [0] * (len(text) + add_special_tokens)
class AutoModelForCausalLM:
    @staticmethod
    def from_pretrained(folder, dtype, gguf_file=None):
        if gguf_file != "good.gguf" and not folder.endswith("/bad"):
            raise OSError("no such model\\nand more")
        return Model()
"""


def answers(folder: Path, model: str, *requests: dict[str, object]) -> list[dict[str, object]]:
    """Of the worker, with stand-ins for torch and transformers."""
    (folder / "torch.py").write_text(TORCH)
    (folder / "transformers.py").write_text(TRANSFORMERS)
    command = [
        sys.executable,
        "-P",
        peer_worker.__file__,
        "transformers",
        str(folder / model),
        "f16",
        "64",
        "4",
        "2",
        "2",
    ]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, input=lines, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "noise" not in done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_transformers_is_driven_as_llama_cpp_is(tmp_path: Path) -> None:
    run = {"prompt": list(range(5)), "generated": [1, 2]}
    facts, prepared, *ran, wrong = answers(
        tmp_path, "good.gguf", {"prepare": [1, 2, 3, 4, 5]}, run, run, run, {"prepare": list(range(13))}
    )
    assert (facts["name"], facts["version"]) == ("transformers", "0.0.1") and prepared == {}
    assert all(isinstance(each["seconds"], float) for each in ran) and len(ran) == 3  # the cache is cut back each time
    assert wrong == {"error": "ValueError: the cache is full"}
    _, told = answers(tmp_path, "good.gguf", {"tokenize": "synthetic"})
    assert told["tokens"] == 9 and isinstance(told["seconds"], float)
    assert answers(tmp_path, "bad.gguf") == [{"error": "OSError: no such model"}]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").touch()  # the checkpoint that a GGUF file was made of
    assert [sorted(each) for each in answers(tmp_path, "bad.gguf", {"tokenize": "a"})][1] == ["seconds", "tokens"]


def test_transformers_that_is_not_there_is_one_reason(tmp_path: Path, q4: Cli) -> None:
    model, out = write_tiny(tmp_path / "tiny.gguf"), tmp_path / "out.sqlite"
    path = tmp_path / "plan.toml"
    path.write_text(
        f"repetitions = 2\n[axes]\nmodel = {str(model)!r}\nengine = 'transformers'\nthreads = 1\nprompt = 4\n"
        f"generate = 0\n[engines.transformers]\npython = {str(bare_python(tmp_path))!r}\n"
    )
    assert q4("sweep", path, "-o", out).code == 1
    (reason,) = {run.reason for run in read_results(out)}
    assert reason.startswith("transformers (") and reason.endswith("ModuleNotFoundError: No module named 'torch'")


def bare_python(folder: Path) -> Path:
    """This interpreter without what is installed."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    path.chmod(0o755)
    return path


def test_tokens_captures_and_perplexities(tmp_path: Path, q4: Cli) -> None:
    write_tiny(tmp_path / "tiny.gguf")
    (tmp_path / "text.txt").write_text("Words that are read. " * 40)
    path = tmp_path / "plan.toml"
    path.write_text(
        "repetitions = 1\nsamples = 1\ntokens = true\ncaptures = true\ncomponents = true\n[axes]\nmodel = 'tiny.gguf'\n"
        "type = ['', 'q8_0']\nthreads = 1\nprompt = 5\ngenerate = 3\ndepth = 2\n"
        "[perplexity]\ntext = 'text.txt'\ncontext = 32\nwindows = 2\n"
    )
    done = q4("sweep", path)
    assert done.code == 0 and done.err.count("perplexity") == 2, done.err
    runs = read_results(tmp_path / "plan.sqlite")
    assert [[n_past for n_past, _ in run.tokens] for run in runs] == 2 * [[7, 8, 9]]
    captures = sorted((tmp_path / "plan.sqlite.captures").iterdir())
    assert len(captures) == 2 and all("# model" in capture.read_text() for capture in captures)
    results = read(tmp_path / "plan.sqlite")
    scores = {setup.values["type"]: setup.perplexity for setup in results.setups}
    assert set(scores) == {"", "q8_0"} and all(value and value > 1 for value in scores.values())
    assert all(len(by_place) == 3 for by_place in results.tokens.values()) and len(results.tokens) == 2
    assert "perplexity" not in q4("sweep", path).err  # each is scored once
    page = tmp_path / "page.html"
    assert q4("analyse", "sweep", tmp_path / "plan.sqlite", "--html", page).code == 0
    assert "each token, median of the runs" in page.read_text()


def test_a_text_is_tokenised_and_both_backends_tell_their_operations(tmp_path: Path, q4: Cli) -> None:
    write_tiny(tmp_path / "tiny.gguf")
    (tmp_path / "text.txt").write_text("Words that are read. " * 40)
    path = tmp_path / "plan.toml"
    path.write_text(
        "repetitions = 1\nsamples = 2\ncomponents = true\ntokenize = 'text.txt'\n[axes]\nmodel = 'tiny.gguf'\n"
        "engine = ['native', 'numpy']\nthreads = 1\nprompt = 40\ngenerate = 3\ndepth = 2\n"
    )
    assert q4("sweep", path).code == 0
    results = read(tmp_path / "plan.sqlite")
    assert len(set(results.times["tokenize"].tokens)) == 1 and results.times["tokenize"].tokens[0] > 40
    assert [len(values) for values in results.times["tokenize"].samples] == [1, 1]  # a second time it would be known
    for phase, product in (("prefill", "gemm"), ("decode", "gemv")):
        parts = {setup.values["engine"]: set(results.components[setup.known_by, phase]) for setup in results.setups}
        assert set(parts) == {"native", "numpy"} and "rope" in parts["numpy"]
        assert all(found >= {product, "attention", "rms_norm"} for found in parts.values())
    (tmp_path / "text.txt").write_text("Others.")
    assert "was begun with tokenize" in q4("sweep", path).err
    for content, message in ((b"", "is empty, expected a text"), (b"\xff", "is no UTF-8 at byte 0"), (None, "No such")):
        (tmp_path / "text.txt").unlink() if content is None else (tmp_path / "text.txt").write_bytes(content)
        done = q4("sweep", path)
        assert done.code == 1 and message in done.err and len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": 3}, "perplexity.text: found '3', expected a text"),
        ({"text": "a", "windows": 0}, "perplexity.windows: found '0', expected a whole number from 1"),
        ({"text": "a", "context": True}, "perplexity.context: found 'True'"),
        ({"txt": "a"}, "[perplexity]: there is no 'txt'"),
    ],
)
def test_what_is_wrong_with_a_perplexity_is_one_line(given: dict[str, object], message: str) -> None:
    with pytest.raises(Q4Error) as error:
        scored_text(given, Path())
    assert message in str(error.value)


def test_a_text_that_cannot_be_scored_is_a_line(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "tiny.gguf")
    (tmp_path / "short").write_text("few")
    told: list[str] = []
    for name, message in (("short", "expected at least 512, one window"), ("nowhere", "No such file")):
        text = ScoredText(tmp_path / name, 512, 1)
        assert score_models(text, {("tiny.gguf", ""): model}, 100, told.append) == []
        assert told[-1].startswith("error: tiny.gguf: perplexity: ") and message in told[-1]
