"""The cursor over a GGUF file's bytes: values as Python's struct has them, and no byte behind the end."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from q4engine.errors import Q4Error
from q4engine.gguf.cursor import Cursor
from q4engine.gguf.types import ValueType

PATH = Path("synthetic.gguf")


def cursor(data: bytes) -> Cursor:
    return Cursor(PATH, data)


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


@given(st.integers(0, 2**32 - 1), st.integers(-(2**63), 2**63 - 1), st.text())
def test_values_follow_each_other(first: int, second: int, text: str) -> None:
    at = cursor(struct.pack("<Iq", first, second) + string(text.encode("utf-8", "replace")))
    assert at.u32("a") == first
    assert at.number(ValueType.INT64, "b") == second
    assert at.string("c") == text.encode("utf-8", "replace").decode()
    assert at.position == at.end


@given(st.binary(max_size=40), st.integers(0, 2**64 - 1))
def test_strings_are_skipped_to_where_reading_them_ends(rest: bytes, length: int) -> None:
    data = string(b"abc") + string(b"") + rest
    skipped = cursor(data)
    skipped.skip_strings(2, "two")
    assert skipped.position == 19
    long = cursor(struct.pack("<Q", length) + rest)
    if length > len(rest):
        with pytest.raises(Q4Error, match="runs past the end of the file"):
            long.skip_strings(1, "one")
    else:
        long.skip_strings(1, "one")
        assert long.position == 8 + length


@pytest.mark.parametrize(
    ("data", "read", "message"),
    [
        (b"abc", lambda at: at.u32("x"), r"ends inside x: 4 bytes expected at byte 0, 3 left"),
        (b"\x02", lambda at: at.number(ValueType.BOOL, "x"), r"x is the byte 2, expected a bool"),
        (string(b"abcd")[:-1], lambda at: at.string("x"), r"ends inside x: 4 bytes expected at byte 8, 3 left"),
        (string(b"abcd"), lambda at: at.string("x", max_bytes=3), r"x is 4 bytes long, expected at most 3"),
        (string(b"a\xff"), lambda at: at.string("x"), r"x is not valid UTF-8 \(at byte 1 of"),
        (bytes(7), lambda at: at.skip_numbers(ValueType.UINT16, 4, "x"), r"x \(4 of UINT16\): 8 bytes expected"),
        (bytes(15), lambda at: at.skip_strings(2, "x"), r"x \(2 strings of at least 8 bytes\)"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, read: object, message: str) -> None:
    with pytest.raises(Q4Error, match=rf"^synthetic\.gguf: .*{message}"):
        read(cursor(data))  # type: ignore[operator]
