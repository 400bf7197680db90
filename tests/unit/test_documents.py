"""Commands of the README and of docs/: each names a command, target, module, file and options that are there; those
that need nothing but a model and a text are run, page by page, on a tiny model.

test_first_minutes.py types the README's tour.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_runs import Cli

from q4engine.cli import COMMANDS, parser_of
from q4engine.cli.analyse import REPORTS

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
STARTS = ("q4engine", "./q4engine", "python", ".venv/bin/python", "make", "pytest")
MAKEFILE = (REPO / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z]+) +[?:]=", MAKEFILE, re.MULTILINE))


def blocks(text: str) -> Iterator[str]:
    """What is indented, what is fenced as no other language, and code within lines."""
    yield from re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield "\n".join(re.findall(r"^    (.*)$", prose, re.MULTILINE))
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)


def commands(page: Path) -> Iterator[list[str]]:
    """Words of each command, without variables before it, and without what explains it behind four blanks or #."""
    for block in blocks(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.split(r" {4,}(?=\S)| [|>&<]|<<", line.strip())[0]
            try:
                words = shlex.split(line, comments=True)
            except ValueError:  # an apostrophe in prose
                continue
            while words and re.match(r"[A-Z][A-Z0-9_]*=", words[0]):
                words = words[1:]
            if words and words[0] in STARTS and len(words) > 1 and words[1] != "…":
                yield words


FOUND = [(page.name, words) for page in PAGES for words in commands(page)]


def options(words: list[str]) -> Iterator[str]:
    """Names of options, also those in the brackets of a synopsis."""
    for word in words[: words.index("--")] if "--" in words else words:
        name = word.strip("[]()").partition("=")[0]
        if re.fullmatch(r"--?[A-Za-z][\w-]*", name):
            yield name


@functools.cache
def named_in(folder: Path) -> str:
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


PARSERS = functools.cache(parser_of)


def check_q4engine(words: list[str]) -> None:
    command = words[0]
    assert command in (*COMMANDS, "analyze", "COMMAND", "--help", "--version"), words
    if command == "analyse" and len(words) > 1:
        check_report(words[1], words[2:])
    elif command in COMMANDS:
        known = PARSERS(command)._option_string_actions
        assert not [name for name in options(words[1:]) if name not in known], words


def check_report(report: str, words: list[str]) -> None:
    assert report in REPORTS, report
    text = named_in(REPO / "analysis")
    assert not [name for name in options(words) if f'"{name}"' not in text], words


def check_python(words: list[str]) -> None:
    if words[0] != "-m":
        if words[0].endswith(".py"):
            text = named_in(REPO / words[0])
            assert not [name for name in options(words[1:]) if f'"{name}"' not in text], words
        return
    module = words[1] if len(words) > 1 else "analysis"
    if module.startswith("analysis.") and module.count(".") == 1:
        check_report(module.partition(".")[2].replace("REPORT", "stalls"), words[2:])
        return
    path = module.replace(".", "/")
    (found,) = [REPO / at / path for at in ("toolchains", "tests", "") if (REPO / at / path).exists()] or [
        REPO / at / f"{path}.py" for at in ("toolchains", "tests", "") if (REPO / at / f"{path}.py").exists()
    ]
    assert not [name for name in options(words[2:]) if f'"{name}"' not in named_in(found)], words


def check_make(words: list[str]) -> None:
    for word in words:
        name, equals, _ = word.partition("=")
        assert name in VARIABLES if equals else name in TARGETS, (name, words)


@pytest.mark.parametrize("page", sorted({page for page, _ in FOUND}))
def test_what_is_named_is_there(page: str) -> None:
    for words in (words for name, words in FOUND if name == page):
        start, rest = words[0].rpartition("/")[2], words[1:]
        if start == "q4engine":
            check_q4engine(rest)
        elif start == "python":
            check_python(rest)
        elif start == "make":
            check_make(rest)
        else:
            assert all((REPO / word).exists() for word in rest if word.endswith(".py")), words


def test_there_are_many() -> None:
    assert len(FOUND) > 100
    assert {name for name, words in FOUND if words[0] == "q4engine"} > {"README.md", "watch.md", "experiments.md"}


# ---- run -------------------------------------------------------------------------------------------------------------

RUN = {
    "analysis.md": ("capture.csv", "captures"),
    "counters.md": ("run.csv",),
    "experiments.md": ("--dry-run",),
    "quality.md": ("q4engine perplexity",),
}
"""Of which pages commands are run, and what is in those that are."""
OTHERWISE = (
    (r"\b(model|MODEL|OTHER)\.gguf|\bMODEL\b", "MODEL"),
    (r"\bTEXT\.txt", "TEXT -c 32"),
    (r"-ct([kv]) q8_0", r"-ct\1 f16"),  # the tiny model's heads are too small
    (r"\bprompt\.txt|\bTEXT\b", "TEXT"),
    (r" \[-c 512\] \[--windows N\] \[(.*)\]", r" -c 32 --windows 2 \1"),
    (r"-p …", "-p abc"),
    (r"-t 1,2,4 -p 16,32,64,128,256,512 -n 32", "-t 1 -p 4,8,16 -n 4"),
    (r".*(FILE|REPORT|DIR|…).*", ""),  # how it is called, in words
)


def test_pages_can_be_typed(q4: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TEXT").write_text("It was a dark and stormy night. " * 6)
    (tmp_path / "MODEL").symlink_to(tiny)
    (tmp_path / "docs").symlink_to(REPO / "docs")
    (tmp_path / "capture.csv").symlink_to(REPO / "tests" / "data" / "capture.csv")
    typed = 0
    for page, parts in RUN.items():
        for _, words in (found for found in FOUND if found[0] == page):
            line = shlex.join(words).replace("'", "").replace("python -m analysis.", "q4engine analyse ")
            for written, here in OTHERWISE:
                line = re.sub(written, here, line)
            if any(part in line for part in parts) and line.startswith("q4engine "):
                result = q4(*line.split()[1:])
                assert result.code == 0 and (result.out or "-o " in line), (page, line, result.err)
                typed += 1
    assert typed > 6
