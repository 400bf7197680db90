"""What people paste around a table: quote marks of mail, fences of Markdown, colours of a terminal, shell prompts, and
what web pages make of its lines. What logs put before them is for `prefixes`."""

from __future__ import annotations

import re

from analysis.readers.perf_rows import is_transcript

TITLE = "Performance counter stats for"
ELAPSED = "seconds time elapsed"
"""Between the two stands `perf stat`'s table for people."""

_MOST_QUOTES = 20
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;:?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\^_])")
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;:?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[@-Z\\^_])")
_QUOTES = re.compile(rb"\n(?:[ \t]{0,80}>){1,20}")
_FENCE = re.compile(r"\s{0,12}(?:`{3,}|~{3,})[\w+-]{0,20}\s{0,12}|\s{0,12}</?(?:pre|code|details|summary)>\s{0,12}")
_CUT = re.compile(r"\s*(?:\[?\(?(?:\.{2,}|…)\)?\]?|\[(?:snip|cut)\])\s*")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&nbsp;": " ", "&#39;": "'", "&#x27;": "'", "&amp;": "&"}
_INTERRUPT = "^C"
"""What a terminal shows of the key that ends `perf stat -I`, before the last interval's first row."""
_NO_BREAK = re.compile(r"(?<!\d)\u00a0|\u00a0(?!\d)")
"""Between digits a no-break space parts thousands; elsewhere a web page or a word processor put it for a blank."""

_VERBOSE = re.compile(r"\s{0,8}\S{1,200}: -?\d{1,20} \d{1,20} \d{1,20}\s{0,8}")
"""What `perf stat -v` tells of each counter: value, time enabled, time running."""


def bare(line: str) -> str:
    """The line without colours, the quote marks of mail before it and blanks behind it."""
    text = uncoloured(line).removeprefix(_INTERRUPT)
    if "&" in text:
        for entity, character in _ENTITIES.items():
            text = text.replace(entity, character)
    if "\u00a0" in text:
        text = _NO_BREAK.sub(" ", text)
    for _ in range(_MOST_QUOTES):
        inner = text.lstrip()
        if not inner.startswith(">"):
            break
        text = inner[1:]
    return text.rstrip()


def uncoloured(line: str) -> str:
    """The line without a terminal's colours."""
    return _ESCAPE.sub("", line) if "\x1b" in line else line


def bare_block(block: bytes) -> bytes:
    """Whole lines without what `bare` would take off most of them, at once: colours, and quote marks at their begin."""
    if b"\x1b" in block:
        block = _ESCAPES.sub(b"", block)
    if block[:1] == b">" or b"\n>" in block:
        block = _QUOTES.sub(b"\n", b"\n" + block)[1:]
    return block


def is_decoration(text: str) -> bool:
    """A line that no tool of measurement prints as a part of its table: a fence, dots for what was cut, a prompt."""
    return (
        is_transcript(text)
        or "perf stat " in text
        or _CUT.fullmatch(text) is not None
        or _FENCE.fullmatch(text) is not None
        or _VERBOSE.fullmatch(text) is not None
    )
