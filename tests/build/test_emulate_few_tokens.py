"""Instructions of calls of a few tokens: how a capture's rows become the table, and what numbers are taken."""

from __future__ import annotations

import pandas as pd
import pytest
from emulate import few_tokens
from emulate.instruction_shares import INSTRUCTIONS


def rows() -> pd.DataFrame:
    """A call of one token and one of two, whose Q4_0 products take half again as much."""
    found = [
        (0, 1, "", "", 1000),
        (0, 1, "gemv", "Q4_0", 400),
        (0, 1, "gemv", "Q4_0", 200),
        (0, 1, "gemv", "Q6_K", 300),
        (0, 1, "rms_norm", "", 40),
        (1, 2, "", "", 1500),
        (1, 2, "gemv", "Q4_0", 900),
        (1, 1, "gemm", "Q6_K", 450),
        (1, 2, "rms_norm", "", 80),
    ]
    return pd.DataFrame(found, columns=["call", "n_eval", "op", "type", INSTRUCTIONS])


def test_instructions_add_up_by_kind_and_number_of_tokens() -> None:
    calls = few_tokens.kinds(rows())
    assert dict(calls[1]) == {
        "all": 1000,
        "products, Q4_0": 600,
        "products, Q6_K": 300,
        "rms_norm": 40,
        "rest of the call": 60,
    }
    assert calls[2]["products, Q4_0"] == 900
    assert calls[2]["products, Q6_K"] == 450
    assert calls[2]["rest of the call"] == 70


def test_the_table_has_ratios_to_a_single_token() -> None:
    lines = few_tokens.render(few_tokens.kinds(rows())).splitlines()
    assert lines[0].split() == ["M", "instructions,", "tokens:", "1", "2"]
    assert lines[1].split() == ["products,", "Q4_0", "0.001", "0.001", "1.500"]
    assert lines[-1].split() == ["all", "0.001", "0.002", "1.500"]


def test_a_single_token_is_always_among_the_numbers() -> None:
    assert few_tokens.numbers_of("2,8") == [1, 2, 8]
    for text in ("1,2", "0", "two"):
        with pytest.raises(ValueError):
            few_tokens.numbers_of(text)
