"""Each of llama.cpp's options typed, and its answer as docs/from-llama.cpp.md has it."""

from __future__ import annotations

import re

import llama_flags
import pytest
from cli_runs import Cli

from q4engine.cli import llama_cpp, parser_of
from q4engine.cli.parsing import Parser

IGNORED = [(name, kind) for kind in llama_cpp.RUN_IGNORED for names in kind for name in names]
ABSENT = [
    (command, name, kind)
    for command, kinds in llama_cpp.ABSENT.items()
    for kind in kinds
    for names in kind
    for name in names
]


def test_the_document_is_that_of_the_parsers() -> None:
    assert llama_flags.DOCUMENT.read_text(encoding="utf-8") == llama_flags.document()
    assert len(IGNORED) + len(ABSENT) > 600


@pytest.mark.parametrize(("name", "kind"), IGNORED)
def test_what_changes_nothing_is_said(q4: Cli, name: str, kind: llama_cpp.Flags) -> None:
    values = ["1"] if kind.arity == 1 else []
    result = q4("run", "nowhere.gguf", "-p", "a", name, *values)
    assert result.err == f"note: without effect here: {name}\nerror: nowhere.gguf: no such file\n"


PARSERS = {command: parser_of(command) for command in llama_cpp.ABSENT}


def refusal(command: str, name: str, kind: llama_cpp.Flags) -> str:
    line = f"{name} is llama.cpp's option for {kind.what}, which is not there: {kind.advice}"
    return f"error: {line}; `q4engine {command} --help` lists the options\n"


@pytest.mark.parametrize(("command", "name", "kind"), ABSENT)
def test_what_is_not_there_is_named(
    command: str, name: str, kind: llama_cpp.Flags, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = PARSERS[command]
    assert name not in parser._option_string_actions
    for words in ([name], [name, "1"], [f"{name}=1"], [name.replace("-", "_").replace("_", "-", 2)]):
        with pytest.raises(SystemExit) as left:
            parser.parse_args(["nowhere.gguf", *(("out.gguf",) if command == "quantize" else ("-p", "1")), *words])
        assert left.value.code == 2 and capsys.readouterr() == ("", refusal(command, name, kind))


@pytest.mark.parametrize("command", llama_cpp.ABSENT)
def test_a_command_says_so(q4: Cli, command: str) -> None:
    kind = llama_cpp.ABSENT[command][0]
    name = next(iter(kind))[0]
    result = q4(command, "nowhere.gguf", name)
    assert (result.code, result.out, result.err) == (2, "", refusal(command, name, kind))


def test_no_option_is_in_two_places() -> None:
    for command in llama_cpp.ABSENT:
        names = [name for at, name, _ in ABSENT if at == command]
        names += [name for name, _ in IGNORED] if command == "run" else []
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-temp", "0"], "there is no option -temp, did you mean --temp?"),
        (["--tmep", "0"], "there is no option --tmep, did you mean --temp?"),
        (["--treads", "2"], "there is no option --treads, did you mean --threads?"),
        (["-t4x"], "there is no option -t4x: the value of -t stands apart from it"),
        (["-ngl99"], "there is no option -ngl99, did you mean -ngl 99?"),
        (["--ctx-size64"], "there is no option --ctx-size64, did you mean --ctx-size 64?"),
        (["-p", "-abc"], "there is no option -abc; as the value of -p it is written -p=-abc"),
        (["–temp", "0"], "'–temp' begins with U+2013 for a hyphen, did you mean --temp?"),
        (["—ctx-size=64"], "'—ctx-size=64' begins with U+2014 for a hyphen, did you mean --ctx-size=64?"),
        (["more", "words"], "unrecognized arguments: more words"),
        (["-vv"], "there is no option -vv, did you mean -v?"),
        (["--zzzzzz"], "there is no option --zzzzzz"),
        (["-p"], "argument -p/--prompt: expected one argument"),
    ],
)
def test_names_that_are_none(q4: Cli, words: list[str], message: str) -> None:
    result = q4("run", "nowhere.gguf", *words)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: {message}; `q4engine run --help` lists the options\n"


@pytest.mark.parametrize("words", [["--ctx_size", "64"], ["--ctx-size=64"], ["--ctx_size=64"], ["-c64"], ["-c", "64"]])
def test_one_option_in_all_its_spellings(words: list[str]) -> None:
    assert parser_of("run").parse_args(["model.gguf", *words]).ctx_size == 64


def test_values_are_left_alone() -> None:
    args = parser_of("run").parse_args(["model.gguf", "-p", "- a_b --c_d", "-s", "-1", "-l", "7-inf", "-r", "x_y"])
    assert (args.prompt, args.seed, args.reverse_prompt) == ("- a_b --c_d", -1, ["x_y"])
    assert args.logit_bias == [(7, -float("inf"))]


def test_commands_that_are_none(q4: Cli) -> None:
    rest = "; `q4engine --help` lists the commands\n"
    assert q4("runn").err == f"error: there is no command 'runn', did you mean run?{rest}"
    assert q4("zzz").err == f"error: there is no command 'zzz'{rest}"
    assert q4("--verison").err.startswith("error: there is no option --verison, did you mean --version?")
    assert re.fullmatch("error: .*COMMAND; .*\n", q4().err)


def test_a_parser_of_its_own() -> None:
    """Commands are not needed."""
    parser = Parser(prog="x")
    parser.add_argument("-a", type=int)
    assert parser.parse_args(["-a5"]).a == 5
