"""The command line on a tiny random model: help, wrong usage, errors of one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cli_runs import Cli, Result

from q4engine.cli import COMMANDS
from q4engine.cli.analyse import REPORTS
from q4engine.cli.options import NO_PROMPT, unescape


@pytest.mark.parametrize("command", ["run", "inspect", "tokenize", "fingerprint"])
def test_help_has_examples(q4: Cli, command: str) -> None:
    result = q4(command, "--help")
    assert result.code == 0 and f"\n  q4engine {command} model.gguf" in result.out


def test_top_help_lists_commands(q4: Cli) -> None:
    result = q4("--help")
    assert result.code == 0
    assert all(f"    {name}" in result.out for name in ("run", "inspect", "quantize", "tokenize", "fingerprint"))


def test_version(q4: Cli) -> None:
    from q4engine import __version__

    assert q4("--version").out == f"q4engine {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("frobnicate",),
        ("run",),
        ("run", "a.gguf", "-m", "b.gguf"),
        ("run", "a.gguf", "--no-such-option"),
        ("run", "a.gguf", "-p", "x", "-f", "y"),
        ("run", "a.gguf", "-n", "many"),
        ("run", "a.gguf", "-n", "-2"),
        ("run", "a.gguf", "-t", "0"),
        ("run", "a.gguf", "-t", "257"),
        ("run", "a.gguf", "-b", "0"),
        ("run", "a.gguf", "-c", "-1"),
        ("run", "a.gguf", "-c", "9" * 30),
        ("run", "a.gguf", "-b", str(1 << 21)),
        ("run", "a.gguf", "--backend", "cuda"),
        ("run", "a.gguf", "--json"),
        ("tokenize", "a.gguf", "-p", "x", "--ids", "--json"),
        ("inspect",),
        ("fingerprint", "a.gguf", "-n", "-1"),
    ],
)
def test_wrong_usage(q4: Cli, arguments: tuple[str, ...]) -> None:
    result = q4(*arguments)
    assert (
        result.code == 2 and result.out == "" and re.fullmatch(r"error: .*; `q4engine.* --help` lists .*\n", result.err)
    )


NO_NUMBERS = ("", " ", "x", "nan", "1_0", "0x10", "１", "+", "\x1b[2J")
NO_INTEGERS = (*NO_NUMBERS, "1.5", "1e3", "inf", "9" * 5000)
NO_FRACTIONS = (*NO_NUMBERS, "inf", "-inf", "1e400", "-1", "-1e-300")
TOO_MANY = "1" + "0" * 25
WRONG_VALUES = {
    "run": {
        **dict.fromkeys(
            ("-n", "-c", "-t", "-b", "-s", "--top-k", "--repeat-last-n"), (*NO_INTEGERS, "-2", "1" + "0" * 25)
        ),
        **dict.fromkeys(("--temp", "--top-p", "--min-p", "--repeat-penalty"), NO_FRACTIONS),
        "--repeat-penalty": ("0", "1e9"),
        "-C": ("", "0x0", "99999", "-1", "3-1", "0-", "nan"),
        **dict.fromkeys(("-f", "--capture", "--markers", "--trace", "--perf-ctl"), ("",)),
        "--events": ("",),
    },
    "bench": {
        **dict.fromkeys(("-p", "-n", "-d", "-r", "-b"), (*NO_INTEGERS, "-1", TOO_MANY)),
        "-t": (*NO_INTEGERS, "-2", "1,-1", TOO_MANY),
        "--n-prompt": ("1,", ",1", "1,,2", "1;2", "-1"),
        "--cooldown": NO_FRACTIONS,
        "-C": ("", "99999"),
        "--capture": ("",),
        "--vs-python": ("",),
    },
    "fingerprint": {"-n": (*NO_INTEGERS, "-1"), "-C": ("",), "-f": ("",)},
    "inspect": {"-t": (*NO_INTEGERS, "0", "257"), "-C": ("",)},
    "tokenize": {"-f": ("",)},
    "quantize": {"-t": (*NO_INTEGERS, "0", "257"), "--type": ("", "q9_9"), "--method": ("",)},
}


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (command, option, value)
        for command, wrong in WRONG_VALUES.items()
        for option in wrong
        for value in wrong[option]
    ],
)
def test_a_wrong_value_is_wrong_usage(q4: Cli, tmp_path: Path, command: str, option: str, value: str) -> None:
    """Whatever is wrong with it, before any file is touched. The one line names the option."""
    files = ["a.gguf", str(tmp_path / "b.gguf")] if command == "quantize" else ["a.gguf"]
    extra = ["--capture", str(tmp_path / "c.csv")] if option == "--events" else []
    result = q4(command, *files, *extra, *([f"{option}={value}"] if option.startswith("--") else [option, value]))
    assert (result.code, result.out) == (2, "")
    (last,) = result.err.splitlines()
    assert last.startswith("error: ") and last.endswith(f"; `q4engine {command} --help` lists the options"), last
    assert option in last
    assert last.isprintable() and len(last) < 300 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["run", "bench", "fingerprint", "inspect", "tokenize"])
def test_an_empty_model_is_wrong_usage(q4: Cli, command: str) -> None:
    for words in (("",), ("-m", "")):
        result = q4(command, *words)
        assert result.code == 2 and "the name is empty; `" in result.err
    assert q4("quantize", "a.gguf", "").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nowhere.gguf", "-p", "x"), "error: nowhere.gguf: no such file\n"),
        (("inspect", "."), "error: .: is a directory, expected a GGUF file\n"),
        (("tokenize", "nowhere.gguf", "-p", "x"), "error: nowhere.gguf: no such file\n"),
        (("fingerprint", "nowhere.gguf"), "error: nowhere.gguf: no such file\n"),
        (
            ("run", "a.gguf", "-p", ""),
            f"error: the prompt is empty: {NO_PROMPT}; without any of them, in a terminal, a chat begins\n",
        ),
        (("run", "a.gguf", "-f", "nowhere.txt"), "error: nowhere.txt: cannot be read: No such file or directory\n"),
        (("tokenize", "a.gguf"), f"error: there is no text: {NO_PROMPT}\n"),
        (("inspect", "a\nb\x1b[2J"), "error: a\\nb\\x1b[2J: no such file\n"),
    ],
)
def test_errors_are_one_line(q4: Cli, arguments: tuple[str, ...], message: str) -> None:
    assert q4(*arguments) == Result(1, "", message)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"a\nb\tc\\n", "a\nb\tc\\n"),
        (r"\xc3\xa9\x41", "éA"),
        (r"\"\'", "\"'"),
        (r"C:\dir\q\x4", r"C:\dir\q\x4"),
        ("ends with \\", "ends with \\"),
        ("é我\udcff", "é我\udcff"),
    ],
)
def test_escapes(text: str, plain: str) -> None:
    assert unescape(text) == plain


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS), *(("analyse", name) for name in REPORTS)])
def test_helps_fit_a_page_and_have_examples(q4: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    lines = q4(*words, "--help").out.splitlines()
    assert max(map(len, lines)) <= 100
    examples = lines[lines.index("examples:") + 1 :]
    assert examples[0].startswith("  ") and any(" ".join(("q4engine", *words)) in line for line in examples)
    monkeypatch.setenv("COLUMNS", "60")
    assert len(q4(*words, "--help").out.splitlines()) > len(lines)
