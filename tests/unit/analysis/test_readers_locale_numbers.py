"""Numbers as locales write them."""

from __future__ import annotations

import pytest

from analysis.readers.locale_numbers import plain, with_point
from analysis.readers.perf_rows import Malformed


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("1,234,567", False, "1234567"),
        ("1.234.567", False, "1234567"),
        ("1\u202f234", False, "1234"),
        ("44,84,75,65,198", False, "448475" + "65198"),
        ("1.234,56", True, "1234.56"),
        ("1,234.56", True, "1234.56"),
        ("5181,527343", True, "5181.527343"),
        ("1234567", False, "1234567"),
    ],
)
def test_plain(text: str, decimals: bool, expected: str) -> None:
    assert plain(text, decimals) == expected


@pytest.mark.parametrize("text", ["1,23", "1,234.567,890", "12,34,5", "1,2345", "1234,567", "9" * 61, "1'234,567"])
def test_no_numbers(text: str) -> None:
    with pytest.raises(Malformed, match="is no number"):
        plain(text, may_have_decimals=False)


def test_decimal_commas() -> None:
    assert with_point("1,5") == "1.5"
    assert with_point("1,234,567") == "1,234,567"
    assert with_point("1,234.5") == "1,234.5"
