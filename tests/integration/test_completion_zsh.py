"""What zsh completes, which it does in a terminal alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from screens import TMUX, Screen, short_folder

ZSHRC = """\
PS1='%% '
setopt no_beep
fpath=($ZDOTDIR $fpath)
autoload -Uz compinit
compinit -D -u
"""
COMPLETED = (
    ("q4engine to", "q4engine tokenize"),
    ("q4engine run --dry-m", "q4engine run --dry-multiplier"),
    ("q4engine run -no-c", "q4engine run -no-cnv"),
    ("q4engine run --backend nu", "q4engine run --backend numpy"),
    ("q4engine run -f a-f", "q4engine run -f a-file.txt"),
    ("q4engine run -n a-f", "q4engine run -n a-f"),
    ("q4engine run a-f", "q4engine run a-file.txt"),
    ("q4engine analyse st", "q4engine analyse stalls"),
    ("q4engine analyse stalls a-f", "q4engine analyse stalls a-file.txt"),
    ("q4engine bench -o m", "q4engine bench -o md"),
)


@pytest.mark.skipif(TMUX is None or shutil.which("zsh") is None, reason="needs tmux and zsh")
def test_what_zsh_completes() -> None:
    with short_folder() as folder:
        words = [sys.executable, "-m", "q4engine", "completion", "zsh"]
        (folder / "_q4engine").write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        (folder / ".zshrc").write_text(ZSHRC)
        (folder / "a-file.txt").touch()
        shell = Screen(folder, ["sh", "-c", f"cd {folder} && exec zsh -d -i"], ZDOTDIR=str(folder))
        try:
            shell.wait(r"^% *$")
            for typed, completed in COMPLETED:
                shell.type(typed, "Tab", "#")  # the mark tells that the key before it was heard
                line = shell.wait(rf"^% {re.escape(typed)}.*#$").rstrip().splitlines()
                assert f"% {completed}" in [re.sub(" *#$", "", text) for text in line], line
                shell.type("C-u", "clear", "Enter")
                shell.wait(r"\A\s*% *\s*\Z")
            shell.type("q4engine completion ", "Tab", "Tab")
            shell.wait("^bash +fish +zsh *$")
        finally:
            shell.close()
