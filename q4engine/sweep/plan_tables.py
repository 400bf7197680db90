"""Tables of a plan, checked: what every reader of one asks first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from q4engine.errors import Q4Error, shown


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


def variables_of(given: Mapping[str, Any], place: str) -> tuple[tuple[str, str], ...]:
    """Of the table's "environment", in order of their names."""
    table = of_table(given.get("environment", {}), f"{place}.environment")
    for name, value in table.items():
        if not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise Q4Error(f"[{place}]: environment: {shown(name)} = {shown(value)}: expected a text")
    return tuple(sorted(table.items()))
