"""A new user's first ten minutes, by the README alone: a wheel into a fresh environment, then every command of the tour
as it stands there, and a chat."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from screens import TMUX, Screen, short_folder

REPO = Path(__file__).resolve().parents[2]
MODEL = ".models/smollm2-135m-instruct-q4_0.gguf"
INHERITED = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "MODEL", "PROMPT")

CHAT = "q4engine run $MODEL                      # in a terminal: a chat"
NEEDS_ANOTHER_PROGRAM = "q4engine watch "  # test_watch_llama_cpp.py has a stand-in
FINGERPRINT = "q4engine fingerprint $MODEL"
# What a command prints, or leaves, by its beginning or a part of it.
PRINTED = {
    "What is the capital of France?": r"\bParis\b",
    "--lookup": r"\bapple\b.*\bfig\b",
    "Is Paris in France?": r"\A(yes|no)\n\Z",
    "-hf ": r"\A\S",
    "q4engine inspect": r"\b(llama|GEMV)\b",
    "q4engine tokenize": r"(?m)^ *\d+ -> .*Hello",
    "q4engine fingerprint": r"[0-9a-f]{64}",
    "q4engine convert": r"(?m)^examples:$",
    "q4engine perplexity": r"(?m)^perplexity \d+\.\d+ \+/- ",
    "q4engine bench": r"(?s)\bpp128\b.*\btg32\b",
    "q4engine analyse stalls": r"(?s)\bprefill\b.*\bdecode\b",
    "q4engine doctor": r"(?m)^(ok|no|--)  ",
    "q4engine explain": r"(?ms)^prefill .*^decode .*^ruled out$",
    "python - ": r"\bParis\b",
}
LEFT = {
    "q4engine quantize": ("smollm2-q8_0.gguf",),
    "--capture capture.csv": ("capture.csv", "markers.csv", "trace.json"),
}


OTHERWISE = (
    ("~/q4engine", '"$HERE"/environment'),
    ("/tmp/", '"$HERE"/'),
    ("--seconds 30", "--seconds 3"),
    ("-p 16,64 -n 16 -t 1,2", "-p 16 -n 4 -t 1,2"),
)
"""What is typed otherwise than it stands there: folders of this test's own, and less time."""


def commands_of(text: str) -> list[str]:
    """What stands indented: commands, each with the lines that go on with it."""
    found: list[str] = []
    for line in re.findall(r"^    (.*)$", text, re.MULTILINE):
        goes_on = found and (found[-1].endswith("\\") or ("<<'END'" in found[-1] and not found[-1].endswith("\nEND")))
        if goes_on:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


TOUR = commands_of((REPO / "README.md").read_text(encoding="utf-8").partition("\n## A tour\n")[2].partition("\n## ")[0])


class Shell:
    """bash in a folder of its own, where what was set stays set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if name not in INHERITED}
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        self.environment.setdefault("PIP_CACHE_DIR", f"{cache}/pip")
        self.environment |= {
            "HERE": str(folder),
            "HF_HOME": str(folder / "hf"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self._said: list[str] = []

    def words(self, command: str) -> list[str]:
        """What starts the command."""
        said = "\n".join([*self._said, command])
        for written, here in OTHERWISE:
            said = said.replace(written, here)
        return ["bash", "-e", "-c", f'cd "$HERE"\n{said}']

    def run(self, command: str) -> str:
        """What it prints; AssertionError where it fails or says that something is wrong."""
        if re.match(r"\. |[A-Z]+=\S+$", command):
            self._said.append(command)
        words, nothing = self.words(command), subprocess.DEVNULL
        done = subprocess.run(words, env=self.environment, stdin=nothing, capture_output=True, text=True)
        if done.returncode != 0 or (re.search("(?m)^(error|Traceback)", done.stderr) and command[:4] != "pip "):
            raise AssertionError(f"{command}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Where the commands of the tour up to the first of q4engine's own have been typed."""
    if not (REPO / MODEL).is_file() or not shutil.which("make") or not shutil.which("bash"):
        pytest.skip("needs make, bash, and the model that make gets")
    folder = tmp_path_factory.mktemp("first minutes")
    for name in (".models", "README.md", "dist"):
        (folder / name).symlink_to(REPO / name)
    cached = folder / "hf/hub/models--bartowski--SmolLM2-135M-Instruct-GGUF/snapshots/0123"
    cached.mkdir(parents=True)
    (cached / "SmolLM2-135M-Instruct-Q4_0.gguf").symlink_to(REPO / MODEL)
    subprocess.run(["make", "-s", "wheel"], cwd=REPO, check=True, capture_output=True)
    shell = Shell(folder)
    for command in TOUR[: TOUR.index(CHAT)]:
        if not command.startswith(("make ", "q4engine ")):
            shell.run(command)
    return shell


def test_every_command_of_the_tour(shell: Shell) -> None:
    assert shell.run("command -v q4engine").strip() == str(shell.folder / "environment" / "bin" / "q4engine")
    assert TOUR.count("make wheel                               # for this machine; `make cross` for Arm") == 1
    found: dict[str, str] = {}
    for command in TOUR:
        if command.startswith(("q4engine", "python -", "Q4_")) and not command.startswith(NEEDS_ANOTHER_PROGRAM):
            found[command] = "" if command == CHAT else shell.run(command)
    assert len(found) > 18
    for part, pattern in PRINTED.items():
        printed = [text for command, text in found.items() if part in command]
        assert printed and all(re.search(pattern, text) for text in printed), (part, printed)
    for part, names in LEFT.items():
        assert sum(part in command for command in found) == 1
        assert all((shell.folder / name).stat().st_size > 100 for name in names)
    described = next(text for command, text in found.items() if "--json-schema" in command)
    assert set(json.loads(described)) == {"name", "age"}
    here, portable = (text for command, text in found.items() if FINGERPRINT in command)
    assert re.findall("[0-9a-f]{64}", here) == re.findall("[0-9a-f]{64}", portable)


@pytest.mark.skipif(TMUX is None, reason="there is no tmux (make setup brings it)")
def test_a_first_chat(shell: Shell) -> None:
    with short_folder() as folder:
        talk = Screen(folder, shell.words(CHAT), **{name: shell.environment[name] for name in ("HERE", "HF_HOME")})
        try:
            talk.wait("^chat: /help lists commands")
            talk.ready()
            talk.type("What is the capital of France?", "Enter")
            talk.wait(r"^> What is the capital of France\?\n.*\w")
            talk.type("C-c")
            talk.wait(r"^\((stopped; what was said stays|Ctrl-C once more, .*)\)$")  # it may have ended by itself
            talk.ready()
            talk.type("/quit", "Enter")
            talk.wait("^ended 0$")
        finally:
            talk.close()


def test_what_is_installed_is_the_wheel(shell: Shell) -> None:
    code = "import q4engine, analysis, annotate; print(q4engine.__file__, analysis.__file__, annotate.__file__)"
    for path in shell.run(f'python -c "{code}"').split(" /"):
        assert "environment/lib" in path
    listed = shell.run("pip show --files q4engine")
    assert not re.search(r"^  (tests|toolchains|docs)/", listed, re.MULTILINE)
    assert "q4engine/py.typed" in listed and "../bin/q4engine" in listed
