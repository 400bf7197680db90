"""Tables of a plan, checked: what every reader of one asks first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from q4engine.errors import Q4Error, shown

MOST_TEXT_BYTES = 1 << 20


def of_table(given: object, place: str) -> Mapping[str, Any]:
    """The table itself. Q4Error where it is none."""
    if not isinstance(given, dict):
        raise Q4Error(f"{place}: found {shown(given)}, expected a table")
    return given


def only(given: Mapping[str, Any], place: str, known: tuple[str, ...]) -> None:
    """Q4Error where it has a key that nobody reads."""
    if unknown := sorted(set(given) - set(known)):
        raise Q4Error(f"[{place}]: there is no {shown(unknown[0])}, expected {', '.join(known)}")


def one_text(given: object, place: str, may_be_empty: bool = False) -> str:
    """The text itself. Q4Error where it is none."""
    if not isinstance(given, str) or not (given or may_be_empty) or "\0" in given:
        raise Q4Error(f"{place}: found {shown(given)}, expected a text")
    return given


def text_of(path: Path, place: str) -> str:
    """A file's text, in UTF-8 and of at most a MiB. Q4Error where it is none."""
    if path.exists() and not path.is_file():
        raise Q4Error(f"{place}: {path}: cannot be read: it is no regular file")
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_TEXT_BYTES + 1)
        if not 0 < len(raw) <= MOST_TEXT_BYTES:
            found = "is empty" if not raw else "is larger"
            raise Q4Error(f"{place}: {path}: {found}, expected a text of at most {MOST_TEXT_BYTES} bytes")
        return raw.decode("utf-8")
    except OSError as error:
        raise Q4Error(f"{place}: {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Q4Error(f"{place}: {path}: is no UTF-8 at byte {error.start}") from None


def variables_of(given: Mapping[str, Any], place: str) -> tuple[tuple[str, str], ...]:
    """Of the table's "environment", in order of their names."""
    table = of_table(given.get("environment", {}), f"{place}.environment")
    for name, value in table.items():
        if not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise Q4Error(f"[{place}]: environment: {shown(name)} = {shown(value)}: expected a text")
    return tuple(sorted(table.items()))
