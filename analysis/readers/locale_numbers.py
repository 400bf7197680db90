"""Numbers as a locale writes them: separators of thousands, a decimal comma."""

from __future__ import annotations

import re

from analysis.errors import printable
from analysis.readers.perf_rows import Malformed

BLANKS = "\u00a0\u202f\u2009"
LONGEST = 60
VALUE = rf"\d[\d.,'’{BLANKS}]{{0,58}}"
"""A pattern for a number of any locale; where blanks part thousands they are not plain ones."""

_LAST_PART = re.compile(r"(.*)([.,])(\d+)")
_SEPARATORS = re.compile(rf"[.,'’ {BLANKS}]")


def plain(text: str, may_have_decimals: bool) -> str:
    """A locale's number in Python's spelling. Whole counts have separators of thousands only."""
    whole, point, decimals = text, "", ""
    cut = _LAST_PART.fullmatch(text) if len(text) <= LONGEST else None
    if may_have_decimals and cut and cut[2] not in cut[1]:
        whole, point, decimals = cut.groups()
    groups = _SEPARATORS.split(whole)
    of_three = all(len(g) == 3 for g in groups[1:]) and 1 <= len(groups[0]) <= (3 if len(groups) > 1 else LONGEST)
    marks = set(_SEPARATORS.findall(whole))
    if len(text) > LONGEST or len(marks) > 1 or not (of_three or _is_indian(groups)):
        raise Malformed(f"'{printable(text)}' is no number")
    return "".join(groups) + ("." + decimals if point else "")


def _is_indian(groups: list[str]) -> bool:
    """Lakh and crore: 44,84,75,65,198."""
    if len(groups) < 2 or len(groups[-1]) != 3 or not 1 <= len(groups[0]) <= 2:
        return False
    return all(len(g) == 2 for g in groups[1:-1])


def with_point(text: str) -> str:
    """A number without thousands, its decimal comma as a point."""
    return text.replace(",", ".", 1) if text.count(",") == 1 and "." not in text else text
