"""The formula evaluator: arithmetic against Python's own, typed unknowns, and nothing else gets through."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.formula import MAX_DEPTH, FormulaError, NotMeasured, Undefined, evaluate, parse

VALUES = {"A": 3.0, "B": 4.0, "STALL_BACKEND": 25.0, "CPU_CYCLES": 100.0, "ZERO": 0.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("STALL_BACKEND / CPU_CYCLES * 100", 25.0),
        ("2 - 3 - 4", -5.0),
        ("16 / 4 / 2", 2.0),
        ("2 + 3 * 4", 14.0),
        ("(2 + 3) * 4", 20.0),
        ("-A * B", -12.0),
        ("A - -B", 7.0),
        ("--A", 3.0),
        ("1.5e2 + .5", 150.5),
        ("  A\t+ B ", 7.0),
        ("ZERO / A", 0.0),
    ],
)
def test_value(text: str, expected: float) -> None:
    assert evaluate(text, VALUES) == expected


def test_missing_events_are_named_in_order_of_appearance() -> None:
    assert evaluate("(A + LATER) / (FIRST * LATER)", VALUES) == NotMeasured(("LATER", "FIRST"))


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_count_that_is_no_number_is_not_measured(value: float | None) -> None:
    assert evaluate("A / B", {"A": value, "B": 1.0}) == NotMeasured(("A",))


def test_division_by_zero_is_undefined() -> None:
    outcome = evaluate("A / (B - 4)", VALUES)
    assert isinstance(outcome, Undefined)
    assert "division by zero" in str(outcome)


def test_overflow_is_undefined() -> None:
    assert isinstance(evaluate("A * A", {"A": 1e300}), Undefined)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "A B", "A +", "* A", "A // B", "A ** B", "(A", "A)", "()", "f(A)", "A[0]", "A.B", "A;B", "2x", "1.2.3",
        "0x10", "1e999", "A if B else A", "__import__('os')", "A\0B", "é", "A @ B", "A % B", "lambda: 0", '"text"',
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse(text)


def test_limits() -> None:
    assert evaluate("(" * (MAX_DEPTH - 1) + "A" + ")" * (MAX_DEPTH - 1), VALUES) == 3.0
    with pytest.raises(FormulaError, match="nested"):
        parse("(" * MAX_DEPTH + "A" + ")" * MAX_DEPTH)
    with pytest.raises(FormulaError, match="nested"):
        parse("-" * 200 + "A")
    with pytest.raises(FormulaError, match="terms"):
        parse("A" + "+A" * 300)
    with pytest.raises(FormulaError, match="characters"):
        parse("A" + " " * 2000)


_expressions = st.recursive(
    st.one_of(st.integers(0, 99).map(str), st.sampled_from(["A", "B"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"{t[0]}{t[1]}{t[2]}"),
        inner.map(lambda t: f"(-{t})"),
    ),
    max_leaves=12,
)


@given(_expressions)
def test_agrees_with_python(text: str) -> None:
    ours = evaluate(text, VALUES)
    try:
        # as floats throughout, since Python's integers would never overflow
        theirs = eval(text, {"__builtins__": {}}, VALUES)
    except ZeroDivisionError:
        assert isinstance(ours, Undefined)
    else:
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)
