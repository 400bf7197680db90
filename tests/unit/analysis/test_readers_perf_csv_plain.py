"""The one spelling of a block of rows."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from analysis.readers.perf_csv_plain import plain
from analysis.readers.perf_csv_row import is_decimal_comma


@given(st.text("0123456789 ,;.%-a\r\n", max_size=60))
def test_only_sure_decimal_commas_become_points(text: str) -> None:
    rows = plain(f"{text}\n".encode(), ";")
    if rows is None:
        return
    lines = f"{text}\n".replace("\r\n", "\n").splitlines()
    for before, after in zip(lines, rows.block.decode().splitlines(), strict=True):
        for old, new in zip(before.split(";"), after.split(";"), strict=True):
            pointed = old.replace(",", ".", 1) if is_decimal_comma(old) else old
            assert new in (old, pointed)
            if re.fullmatch(" *[0-9]+,[0-9]+", old):
                assert new == pointed
