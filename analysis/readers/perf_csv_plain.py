"""One spelling for blocks of `perf stat -x` rows: \\n ends a line, one byte separates fields, decimals have a point.

What the careful parser does field by field is done here for a whole block at once, and nothing beside it: a comma that
is not surely a decimal one stays, and so the row stays to the careful parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

# Stands for a separator of several bytes. No text holds it: it is ASCII's own unit separator.
MARK = "\x1f"


# Where a comma separates fields and is the decimal mark too: milliseconds of a clock, and the share of time behind an
# event and its running time. Patterns that begin with a literal are several times as fast.
_CLOCK = re.compile(rb",(?<=\d,)(\d\d,msec,)")
_SHARE = re.compile(rb"(,(?<=[^,\n],)\d{1,20},(?:100|\d\d?)),(\d\d)(?=[,\n])")


class Plain(NamedTuple):
    """The block, the byte that separates its fields, and the separator that the file has."""

    block: bytes
    mark: str
    separator: str

    def spelled(self, line: str) -> str:
        """A line, or a part of one, with the file's own separator."""
        return line if self.mark == self.separator else line.replace(self.mark, self.separator)

    def with_block(self, block: bytes) -> Plain:
        return self._replace(block=block)


def plain(block: bytes, separator: str, comma: bool = False) -> Plain | None:
    """The block in the one spelling; None for what only the careful parser understands. comma: see `Dialect`."""
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    block = without_quotes(block, separator)
    if not block.isascii() or any(odd in block for odd in (b"\0", b"\r", b"\n#", b"\n\n", b'"')) or block[:1] == b"#":
        return None
    mark = separator
    if len(separator) > 1:
        mark = MARK
        if MARK.encode() in block:
            return None
        block = block.replace(separator.encode(), MARK.encode())
    if comma:
        block = _SHARE.sub(rb"\1.\2", _CLOCK.sub(rb".\1", _with_pointed_times(block)))
    if separator != "," and b"," in block:
        block = _with_points(block, mark)
    return Plain(block, mark, separator)


def without_quotes(block: bytes, separator: str) -> bytes:
    """The block without a spreadsheet's quotes, where each stands at a field's edge and no separator between two.

    Save within an event's slashes, where it separates nothing without quotes either.
    """
    if b'"' not in block:
        return block
    if len(separator) == 1 and separator not in '"/':
        mark = re.escape(separator)
        name = f'(?<![^{mark}\n])"([^"/{mark}\n]*/[^"/\n]*/[^"/{mark}\n]*)"(?=[{mark}\n])'
        block = re.sub(name.encode(), rb"\1", block)
        if b'"' not in block:
            return block
    data = np.frombuffer(block, dtype=np.uint8)
    is_quote = data == ord('"')
    is_edge = (data == ord(separator[0])) | (data == ord("\n"))
    at_edge = np.concatenate(([True], is_edge[:-1])) | np.concatenate((is_edge[1:], [True]))
    is_open = np.logical_xor.accumulate(is_quote)
    if len(separator) > 1 or separator == '"' or (is_quote & ~at_edge).any() or (is_open & is_edge).any():
        return block
    return block.replace(b'"', b"")


def _with_pointed_times(block: bytes) -> bytes:
    """A point for the first comma of each line that begins with blanks, digits, a comma and nine more characters."""
    data = np.frombuffer(block, dtype=np.uint8)
    starts = np.concatenate(([0], np.flatnonzero(data == ord("\n"))[:-1] + 1))
    commas = np.append(np.flatnonzero(data == ord(",")), (len(data), len(data)))
    first = np.searchsorted(commas, starts)
    is_time = (data[starts] == ord(" ")) & (commas[first + 1] - commas[first] == 10)
    if not is_time.any():
        return block
    pointed = data.copy()
    pointed[commas[first[is_time]]] = ord(".")
    return pointed.tobytes()


def _with_points(block: bytes, mark: str) -> bytes:
    """A point for the comma of each field that is blanks, digits, one comma and digits."""
    data = np.frombuffer(block, dtype=np.uint8)
    is_comma, is_blank = data == ord(","), data == ord(" ")
    is_digit = (data >= ord("0")) & (data <= ord("9"))
    is_end = (data == ord(mark)) | (data == ord("\n"))
    leads = is_blank & np.concatenate(([True], (is_end | is_blank)[:-1]))
    ends = np.flatnonzero(is_end)
    commas = np.flatnonzero(is_comma)
    fields = np.searchsorted(ends, commas)
    others = np.flatnonzero(~(is_comma | is_digit | is_end | leads))
    is_number = np.ones(len(ends), dtype=bool)
    is_number[np.searchsorted(ends, others)] = False
    is_number &= np.bincount(fields, minlength=len(ends)) == 1
    # the last byte ends a line: there is one behind every comma, and it is no digit that stands before the first byte
    decimal = is_number[fields] & is_digit[commas - 1] & is_digit[commas + 1]
    if not decimal.any():
        return block
    pointed = data.copy()
    pointed[commas[decimal]] = ord(".")
    return pointed.tobytes()
