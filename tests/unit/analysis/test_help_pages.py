"""Helps (`analysis.help_pages`): as wide as the terminal, but no wider than a page; examples as they were written."""

from __future__ import annotations

import argparse

import pytest

from analysis.help_pages import Help

EPILOG = """\
examples:
  a b    of this
  a c    of that

One line of prose that goes on
in the next one.

reports:
  x      stays
"""


@pytest.mark.parametrize(("columns", "widest"), [("40", 38), ("70", 68), ("300", 98)])
def test_prose_is_filled_and_examples_stay(monkeypatch: pytest.MonkeyPatch, columns: str, widest: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    parser = argparse.ArgumentParser(prog="a", description="word " * 60, epilog=EPILOG, formatter_class=Help)
    lines = parser.format_help().splitlines()
    assert widest - 5 < max(map(len, lines)) <= widest
    assert lines[lines.index("examples:") + 1 :][:3] == ["  a b    of this", "  a c    of that", ""]
    assert ("One line of prose that goes on in the next one." in lines) == (widest > 47)
    assert lines[-2:] == ["reports:", "  x      stays"]


def test_an_analysis_command_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    from analysis.command_line import Parser

    parser = Parser("python -m analysis.stalls", "What bounds it.", ["a.csv", "a.csv --json"])
    assert parser.format_help().endswith(
        "examples:\n  python -m analysis.stalls a.csv\n  python -m analysis.stalls a.csv --json\n"
    )
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--nope"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told == "error: unrecognized arguments: --nope; `python -m analysis.stalls --help` lists the options\n"
