"""Completion scripts and manual pages: every command and option is in them, and shells take them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine.cli import COMMANDS, described, manual
from q4engine.cli.completion import SCRIPTS


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_option_is_there(q4: Cli, shell: str) -> None:
    script = q4("completion", shell).out
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", script)
        for option in described.described_options(command):
            for name in option.names:
                bare = name.lstrip("-")
                assert (f" {bare} " if shell == "fish" else name) in script, (command, name)


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = f"{script}\nCOMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; compopt() {{ echo no files; }}\n"
    done = subprocess.run(
        ["bash", "-c", line + '_q4engine; printf "%s\\n" "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_what_bash_offers(q4: Cli) -> None:
    script = q4("completion", "bash").out
    assert completed(script, "q4engine", "") == list(COMMANDS)
    assert completed(script, "q4engine", "to") == ["tokenize"]
    assert completed(script, "q4engine", "run", "--dry-m") == ["--dry-multiplier"]
    assert completed(script, "q4engine", "run", "--backend", "") == ["no files", "native", "numpy"]
    assert completed(script, "q4engine", "run", "-n", "") == ["no files", ""]
    assert completed(script, "q4engine", "run", "-f", "") == [""] == completed(script, "q4engine", "run", "x")
    assert completed(script, "q4engine", "analyse", "st") == ["stalls"]


OFFERED = (  # what is typed, and what is offered for its last word
    (("",), list(COMMANDS)),
    (("to",), ["tokenize"]),
    (("run", "--dry-m"), ["--dry-multiplier"]),
    (("run", "--backend", ""), ["native", "numpy"]),
    (("run", "-f", "a-f"), ["a-file.txt"]),
    (("run", "-n", "a-f"), []),
    (("run", "a-f"), ["a-file.txt"]),
    (("analyse", "st"), ["stalls"]),
    (("analyse", "a-f"), []),
    (("analyse", "stalls", "a-f"), ["a-file.txt"]),
    (("bench", "-o", ""), ["csv", "json", "jsonl", "md", "sql"]),
    (("completion", ""), ["bash", "fish", "zsh"]),
)


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_what_fish_offers(q4: Cli, tmp_path: Path) -> None:
    (tmp_path / "q4engine.fish").write_text(q4("completion", "fish").out)
    (tmp_path / "a-file.txt").touch()
    for words, offered in OFFERED:
        line = " ".join(("q4engine", *words))
        command = ["fish", "--no-config", "-c", f"source q4engine.fish; complete -C '{line}'"]
        home = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=home, capture_output=True, text=True)
        found = sorted(text.split("\t")[0] for text in done.stdout.splitlines())
        assert (done.stderr, found) == ("", sorted(offered)), line


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_shells_can_read_them(q4: Cli, shell: str, check: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    done = subprocess.run([shell, check], input=q4("completion", shell).out, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_manual_pages(q4: Cli, command: str) -> None:
    page = q4("manual", *filter(None, [command])).out
    assert page.startswith(f".TH Q4ENGINE{'-' if command else ''}{command.upper()} 1 ")
    options = list(described.described_options(command)) if command else []
    assert page.count(".TP\n") == len(options) + (len(described.positionals(command)) if command else len(COMMANDS))
    for option in options:
        assert ", ".join(rf"\fB{manual._escaped(name)}\fR" for name in option.names) in page
    assert not re.search(r"^(?!\.(TH|SH|TP|nf|fi)\b)[.\']", page, re.MULTILINE)  # no other requests
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-Kutf8", "-man", "-Tutf8", "-wall", "-Wbreak"], input=page, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_help_becomes_one_line() -> None:
    found = {option.names[0]: option for option in described.described_options("run")}
    assert found["-n"].help.startswith("tokens to generate at most; -1 (default): until")
    assert found["-n"].first_words == "tokens to generate at most" and found["-n"].value == "N"
    assert found["--backend"].choices == ("native", "numpy") and found["-f"].is_file and found["-v"].value is None
