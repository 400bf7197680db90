"""How the help of a command is laid out: within 100 columns, its examples as they were written."""

from __future__ import annotations

import argparse
import shutil
import textwrap

_WIDEST = 100  # columns of a help


class Help(argparse.HelpFormatter):
    """Within 100 columns: prose is filled, lines that are indented and headings stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(shutil.get_terminal_size().columns, _WIDEST) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        found: list[str] = []
        for line in text.splitlines():
            if found and _is_prose(line) and _is_prose(found[-1]) and not found[-1].endswith(":"):
                found[-1] += f" {line}"
            else:
                found.append(line)
        return "\n".join(textwrap.fill(line, width) if _is_prose(line) else line for line in found)


def _is_prose(line: str) -> bool:
    return bool(line) and not line.startswith(" ")
