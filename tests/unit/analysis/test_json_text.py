"""JSON in pieces: what `json.dumps` writes of the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from analysis import json_text

DOCUMENTS: list[dict[str, Any]] = [
    {},
    {"a": [], "b": {}, "c": ()},
    {"a": [1, 2.5, -0.0, 1e300, 1e-7, None, True, False, "x"], "b": {"c": {"d": {"e": {"f": [[], [[]], {"g": [1]}]}}}}},
    {'quote " and \\': "lines\n and \t, é, 😀, \x7f, \u2028"},
    {"a": [[[[[[1, [2]]]]]], {"b": ({"c": 1},)}]},
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_as_json_has_it(document: dict[str, Any]) -> None:
    assert json_text.text(document) == json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def test_what_stdout_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "holds_all", lambda: False)
    document = {"é": ["😀", "\x7f"]}
    assert json_text.text(document) == json.dumps(document, indent=1) + "\n"


def test_an_entry_is_made_when_it_is_written() -> None:
    made: list[int] = []

    def entries() -> Any:
        for number in range(3):
            made.append(number)
            yield {"number": number, "deeper": ({"of": iter([number])} for _ in range(2))}

    pieces = json_text.pieces({"entries": entries(), "none": iter([])})
    assert "".join(next(pieces) for _ in range(4)) and len(made) == 1
    rest = "".join(pieces)
    assert len(made) == 3 and rest.endswith('"none": []\n}\n')
    document = {"entries": entries(), "none": iter([])}
    plain = [{"number": number, "deeper": [{"of": [number]}] * 2} for number in range(3)]
    assert json_text.text(document) == json.dumps({"entries": plain, "none": []}, indent=1) + "\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_of_json(value: float) -> None:
    with pytest.raises(ValueError, match="is no number of JSON"):
        json_text.text({"a": [value]})


def test_what_is_no_data() -> None:
    with pytest.raises(TypeError, match="set is no data of JSON"):
        json_text.text({"a": {1}})
