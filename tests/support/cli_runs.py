"""Runs a command of q4engine in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from q4engine import cli


@dataclass
class Result:
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def runner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """stdin of the commands is a terminal, in which ``typed`` is typed, or holds ``stdin``."""

    def run(*arguments: object, stdin: bytes | None = None, typed: str = "") -> Result:
        piped = io.TextIOWrapper(io.BytesIO(stdin or b""), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", piped if stdin is not None else Terminal(typed))
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return run
