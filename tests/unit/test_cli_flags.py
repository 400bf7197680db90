"""Each option that docs/from-llama.cpp.md calls working, typed by every name that it has, to its command on a tiny
model. test_cli_llama_cpp.py types the others: what changes nothing, and what is not there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import llama_flags
import pytest
from cli_runs import Cli
from models.tiny import TINY_LLAMA, write_tiny

from q4engine.cli import parser_of
from q4engine.gguf.types import TensorType

FLAGS = [
    (command, name)
    for command in llama_flags.COMMANDS
    for names, _ in llama_flags.options_of(command)
    for name in names
    if name not in ("--vs", "--explain", "--power", "--imatrix")
]
"""Without what needs another engine, sensors or a file of another kind: tests of their own have stand-ins."""

# What stands in a command besides; an option that is typed takes the place of its own entry here.
USUAL = {
    "run": {"": "MODEL", "-p": "abc", "-n": "1", "-t": "1"},
    "bench": {"": "MODEL", "-p": "4", "-n": "1", "-r": "1", "-t": "1"},
    "quantize": {"": "SOURCE OUT", "--type": "q8_0", "-t": "1"},
    "perplexity": {"": "MODEL", "-f": "TEXT", "-c": "32", "-t": "1"},
    "tokenize": {"": "MODEL", "-p": "abc"},
}
# The value of an option that takes neither 1 nor one of a list, and what else it needs, by its first name.
VALUES = {
    "-m": "MODEL",
    "-hf": "me/tiny",
    "-f": "TEXT",
    "-C": "CPU",
    "--numa": "numactl",
    "--prio": "0",
    "--samplers": "top_k;temperature",
    "--sampler-seq": "kt",
    "-l": "7-inf",
    "--grammar": 'root ::= "yes"',
    "--grammar-file": "GRAMMAR",
    "-j": "{}",
    "-jf": "SCHEMA",
    "-sysf": "TEXT",
    "--chat-template": "chatml",
    "-md": "MODEL",
    "--prompt-cache": "OUT",
    "--override-kv": "llama.rope.freq_base=float:10000",
    "-c": "64",
    "--type": "q4_0",
    "--kl-base": "MODEL",
    "--capture": "DIR",
    "--events": "none",
    "--plot": "PICTURE",
    "--vs-python": "python3",
    "-o": "csv",
    "-pg": "4,1",
}
WITH = {
    "-td": ("--draft", "MODEL"),
    "--draft-max": ("--lookup", "3"),
    "--prompt-cache-ro": ("--prompt-cache", "CACHE"),
    "--plot": ("--sustain", "1"),
    "--events": ("--capture", "DIR"),
    "-mli": ("--single-turn",),
}
SUSTAINED = ("-p", "-n", "-r")
WITHOUT = {
    "--sustain": SUSTAINED,
    "--plot": SUSTAINED,
    "-m": ("",),
    "-hf": ("",),
    "-f": ("-p",),
    "--stdin": ("-p",),
    "-p": ("-f",),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("flags") / "tiny.gguf")


@pytest.fixture
def places(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Files by the names that they have above, and a cache of Hugging Face's with the model in it."""
    monkeypatch.chdir(tmp_path)
    cpus = os.sched_getaffinity(0)
    cached = tmp_path / "hub" / "models--me--tiny" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    (cached / "tiny-q4_0.gguf").symlink_to(model)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    texts = {"TEXT": "It was a dark and stormy night. " * 8, "GRAMMAR": 'root ::= "no"', "SCHEMA": '{"enum": [1]}'}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    yield {
        **{name: str(tmp_path / name) for name in (*texts, "OUT", "CACHE", "DIR")},
        "MODEL": str(model),
        "SOURCE": str(write_tiny(tmp_path / "f32.gguf", TINY_LLAMA.with_changes(weight_type=TensorType.F32))),
        "CPU": str(min(os.sched_getaffinity(0))),
        "PICTURE": str(tmp_path / "picture.svg"),
    }
    os.sched_setaffinity(0, cpus)


def value_of(command: str, first: str) -> list[str]:
    """What stands behind the option: nothing, what VALUES has, the first of its choices, or 1."""
    action = parser_of(command)._option_string_actions[first]
    if action.nargs == 0:
        return []
    if (command, first) == ("perplexity", "-p"):
        return ["It was a dark and stormy night. " * 8]
    return [VALUES.get(first) or (str(next(iter(action.choices))) if action.choices else "1")]


def words_of(command: str, name: str) -> list[str]:
    """The whole command line."""
    action = parser_of(command)._option_string_actions[name]
    first = action.option_strings[0]
    dropped = {*WITHOUT.get(first, ()), *action.option_strings}
    words = [command]
    for option, value in USUAL[command].items():
        if option not in dropped:
            words += [option, value] if option else value.split()
    return [*words, *WITH.get(first, ()), name, *value_of(command, first)]


@pytest.mark.parametrize(("command", "name"), FLAGS)
def test_what_works_does(q4: Cli, places: dict[str, str], command: str, name: str) -> None:
    if name.startswith(("--grammar", "-j", "--json-schema")):
        pytest.importorskip("llguidance", reason="llguidance is not installed (the extra grammar)")
    words = [places.get(word, word) for word in words_of(command, name)]
    if name == "--prompt-cache-ro":
        assert q4(*words[: words.index("--prompt-cache")], "--prompt-cache", places["CACHE"]).code == 0
    result = q4(*words, stdin=b"abc\n") if name == "--stdin" else q4(*words, typed="abc\n")
    assert result.code == 0, (words, result.err)
    assert not re.search(r"^(error|usage):|without effect", result.err, re.MULTILINE), result.err
    assert result.out or command == "quantize"


def test_there_are_many() -> None:
    assert len(FLAGS) > 120
