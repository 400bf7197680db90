"""The code of docs/python.md and of the notebook runs as it stands, on a tiny model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.notebook import Verdicts, verdicts

REPO = Path(__file__).resolve().parents[2]
CAPTURE = REPO / "tests" / "data" / "capture_per_op.csv"


def blocks_of_the_page() -> Iterator[str]:
    text = (REPO / "docs" / "python.md").read_text(encoding="utf-8")
    yield from re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def cells_of_the_notebook() -> Iterator[str]:
    notebook = json.loads((REPO / "docs" / "examples" / "first_steps.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            yield "".join(cell["source"])


def test_the_page(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"MODEL": str(tiny), "CAPTURE": str(CAPTURE)}
    blocks = list(blocks_of_the_page())
    assert len(blocks) > 5
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    out = capsys.readouterr().out
    assert "<Engine synthetic tiny.gguf: llama, " in out and "top_p is 2, expected 0 to 1" in out
    assert "<Verdicts of capture_per_op.csv>" in out


def test_the_notebook(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in cells_of_the_notebook():
        exec(compile(cell, "first_steps.ipynb", "exec"), names)
        if "MODEL" in cell and "=" in cell.splitlines()[0]:
            names["MODEL"] = str(tiny)
    assert (tmp_path / "capture.csv").exists()


def test_verdicts_as_text_and_as_a_page() -> None:
    found = verdicts(CAPTURE)
    assert isinstance(found, Verdicts) and len(found.phases) > 0
    assert str(found).startswith(str(CAPTURE)) or CAPTURE.name in str(found).splitlines()[0]
    page = found._repr_html_()
    assert page.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and page.count("<") == 2
