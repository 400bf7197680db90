"""The one exception that tells a user what is wrong with a capture."""

from __future__ import annotations

from os import PathLike, fspath

LONGEST_QUOTE = 80


def printable(text: str, longest: int = LONGEST_QUOTE) -> str:
    """`text` fit for one terminal line: control characters escaped, cut at `longest` characters.

    Captures may come from anywhere, so nothing in them may move the cursor or break a message into lines.
    """
    shown = text if len(text) <= longest else text[: longest - 1] + "…"
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


class AnalysisError(Exception):
    """One line for the user: file, row and reason. Commands print it as `error: …` and exit with `exit_code`."""

    exit_code = 1

    def __init__(self, reason: str, *, path: str | PathLike[str] | None = None, row: int | None = None) -> None:
        """`row` is the 1-based line of `path` that `reason` speaks of."""
        self.reason = printable(reason, 1000)
        self.path = None if path is None else fspath(path)
        self.row = row
        where = [] if self.path is None else [printable(self.path, 1000)]
        if row is not None:
            where.append(f"line {row}")
        super().__init__(": ".join([*where, self.reason]))
