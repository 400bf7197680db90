"""What goes to a terminal: as wide as it is, in an encoding that may lack characters, into a pipe that may close.

Nothing but the standard library, so that the engine and `analysis` share it.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import sys
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Sequence

NARROWEST, WIDEST = 60, 200
_TEXT = 110
"""Width of text that goes to no terminal."""
_GAP = "  "
_READABLE = {
    "…": "...", "–": "-", "—": "-", "−": "-", "±": "+-", "≥": ">=", "≤": "<=", "×": "x", "·": "*", "µ": "u", "→": "->",
    "⁰": "0", "¹": "1", "²": "2", "³": "3", "⁶": "6", "⁹": "9", "\u00a0": " ", "’": "'", "‘": "'", "“": "'", "”": "'",
    "Δ": "d", "°": " deg",
}  # fmt: skip


def make_safe() -> None:
    """A character that the encoding of stdout or stderr lacks becomes one like it, or a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="q4.readable")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_readable, error.object[error.start : error.end])), error.end


def _readable(character: str) -> str:
    """One like it: of a letter with an accent the letter."""
    plain = unicodedata.normalize("NFKD", character)[0]
    return _READABLE.get(character, plain if plain.isascii() and plain.isprintable() else "?")


codecs.register_error("q4.readable", _replaced)


def encodable(text: str) -> str:
    """`text` as stdout will show it, so that it is measured as it will be."""
    return text if holds_all() else text.encode(sys.stdout.encoding, "q4.readable").decode(sys.stdout.encoding)


def holds_all() -> bool:
    """Whether stdout's encoding has every character; where not, JSON is written in ASCII, which loses nothing."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("_", "-").startswith("utf")


def give_up_stdout() -> None:
    """Nobody takes what is left to write; the interpreter's own flush at exit must not complain about it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """A line on stderr, whether anybody takes it or not."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def columns() -> int | None:
    """Characters that a line may have: the variable COLUMNS, else the terminal's; None where there is neither."""
    text = os.environ.get("COLUMNS", "")
    width = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not width:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            width = os.get_terminal_size(sys.stdout.fileno()).columns
    return min(max(width, NARROWEST), WIDEST) if width else None


def wrapped(prefix: str, text: str, indent: str | None = None, width: int | None = None) -> list[str]:
    """`text` in lines, the first behind `prefix`, the others behind `indent` (as wide as the prefix)."""
    indent = " " * len(prefix) if indent is None else indent
    return list(_wrapped(encodable(prefix), encodable(text), encodable(indent), width or columns() or _TEXT))


@functools.lru_cache(1024)  # a report of many phases says the same of each
def _wrapped(prefix: str, text: str, indent: str, width: int) -> tuple[str, ...]:
    if len(prefix) + len(text) <= width and text.isprintable() and text[-1:] not in ("", " "):
        return (prefix + text,)
    glued = text.replace(" %", "\u00a0%")  # a number and its percent sign stay on one line
    lines = textwrap.wrap(glued, width, initial_indent=prefix, subsequent_indent=indent, break_on_hyphens=False)
    return tuple(line.replace("\u00a0%", " %") for line in lines) or (prefix,)


def aligned(rows: Sequence[Sequence[str]], left: Collection[int] | None = None, indent: str = "") -> list[str]:
    """Rows of equally many cells as lines, titles first. left: columns that are no numbers; None: all.

    Columns that do not fit beside the first follow below in blocks of their own, each with the first column again.
    """
    if not rows:
        return []
    rows = [[encodable(cell) for cell in row] for row in rows]
    n = len(rows[0])
    limit = columns()
    widths = [max(len(row[column]) for row in rows) for column in range(n)]
    blocks = _blocks(widths, limit, len(indent))
    if limit is not None and len(blocks) > 1:
        widths[0] = min(widths[0], _first_at_most(limit))
    texts = range(n) if left is None else {column % n for column in left}
    lines: list[str] = []
    for block in blocks:
        lines += [""] if lines else []
        for row in rows:
            cells = []
            for column in block:
                room = widths[column]
                if limit is not None and column:
                    room = min(room, limit - len(indent) - widths[0] - len(_GAP))
                cell = shortened(row[column], room)
                cells.append(cell.ljust(room) if column in texts else cell.rjust(room))
            lines.append(f"{indent}{_GAP.join(cells)}".rstrip())
    return lines


def fitted(lines: Iterable[str]) -> list[str]:
    """Lines that are no table: those too long for the terminal go on below, indented."""
    limit, found = columns(), []
    for line in map(encodable, lines):
        if limit is None or len(line) <= limit:
            found.append(line)
        else:
            hang = " " * (len(line) - len(line.lstrip()) + 4)
            found += textwrap.wrap(line, limit, subsequent_indent=hang, break_on_hyphens=False)
    return found


def shortened(text: str, most: int) -> str:
    """`text`, its end cut where it is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + ("…" if encodable("…") == "…" else "~")


def _first_at_most(limit: int) -> int:
    return limit // 2


def _blocks(widths: Sequence[int], limit: int | None, used: int) -> list[list[int]]:
    """Columns that stand beside each other; the first stands in every block."""
    if limit is None or used + sum(widths) + len(_GAP) * (len(widths) - 1) <= limit:
        return [list(range(len(widths)))]
    first = used + min(widths[0], _first_at_most(limit))
    blocks: list[list[int]] = [[0]]
    filled = first
    for column in range(1, len(widths)):
        step = len(_GAP) + widths[column]
        if filled + step > limit and len(blocks[-1]) > 1:
            blocks.append([0])
            filled = first
        blocks[-1].append(column)
        filled += step
    return blocks
