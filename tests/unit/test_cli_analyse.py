"""``q4engine analyse``: the analysis commands, wherever one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import Cli

from analysis import command_line
from q4engine.cli import analyse

CAPTURE = Path(__file__).resolve().parents[1] / "data" / "capture_per_op.csv"


def python_m(*words: object, folder: Path | None = None) -> str:
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout


def test_the_same_as_of_the_module(q4: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    for words in (("stalls", CAPTURE), ("stalls", "--json", CAPTURE), ("timeline", CAPTURE)):
        for name in ("analyse", "analyze"):
            result = q4(name, *words)
            assert (result.code, result.err) == (0, "")
            assert (
                result.out.split() == python_m(f"analysis.{words[0]}", *words[1:]).split()
            )  # lines have another width


def test_every_report_has_its_help(q4: Cli) -> None:
    folder = Path(command_line.__file__).parent
    commands = {path.stem for path in folder.glob("*.py") if "__main__" in path.read_text()}
    commands |= {path.parent.name for path in folder.glob("*/__main__.py")}
    assert commands == set(analyse.REPORTS)
    listed = q4("analyse", "--help").out
    for report in analyse.REPORTS:
        assert q4("analyse", report, "--help").out.startswith(f"usage: q4engine analyse {report} ")
        assert f"  {report} " in listed


def test_a_folder_called_analysis_hides_nothing(tmp_path: Path) -> None:
    for name in ("plain", "package"):
        (tmp_path / name / "analysis").mkdir(parents=True)
    (tmp_path / "package" / "analysis" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    code = "import sys; from q4engine.cli import main; sys.exit(main())"
    for name, command in (
        ("plain", [sys.executable, "-m", "q4engine"]),
        ("package", [sys.executable, "-P", "-c", code]),  # as the installed command, which has no folder to look in
    ):
        words = [*command, "analyse", "stalls", str(CAPTURE)]
        done = subprocess.run(words, cwd=tmp_path / name, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(str(CAPTURE))


def test_mistakes(q4: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    result = q4("analyse", "stalls", "nowhere.csv")
    assert (result.code, result.out) == (1, "") and result.err.startswith("error: nowhere.csv")
    assert q4("analyse").code == 2
    for name, answer in (("stals", "did you mean stalls?"), ("zzz", "expected one of stalls, timeline, ")):
        result = q4("analyse", name, "x")
        assert result.code == 2 and f"there is no report '{name}', {answer}" in result.err
    assert q4("analyse", "stalls", "--nope", "x").code == 2
    monkeypatch.setattr(analyse, "find_spec", lambda _: None)
    result = q4("analyse", "stalls", CAPTURE)
    assert result.err == "error: the analysis needs pandas: pip install 'q4engine[analysis]'\n"
