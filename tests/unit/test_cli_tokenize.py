"""``q4engine tokenize``: the same tokens in every form."""

from __future__ import annotations

import json
from pathlib import Path

from cli_runs import Cli


def test_tokens_in_every_form(q4: Cli, tiny: Path) -> None:
    plain = q4("tokenize", tiny, "-p", "abc").out.splitlines()
    data = json.loads(q4("tokenize", tiny, "-p", "abc", "--json").out)
    assert "".join(data["pieces"]).endswith("abc") and data["count"] == len(data["ids"]) == len(plain)
    assert [int(line.split(" -> ")[0]) for line in plain] == data["ids"]
    assert q4("tokenize", tiny, "-p", "abc", "--ids").out == f"{data['ids']}\n"
    assert q4("tokenize", tiny, "-p", "abc", "--count").out == f"{data['count']}\n"
