"""A capture's file: opened with care, read as lines or as blocks of whole lines, never trusted."""

from __future__ import annotations

import re
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EFBIG
from io import SEEK_END, BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path
from sys import stderr
from typing import IO, Any, cast

import numpy as np

from analysis.errors import AnalysisError, printable
from analysis.readers import prefixes
from analysis.readers.prefixes import Prefix

STDIN = "-"
LONGEST_LINE = 1 << 20
HEAD_BYTES = 1 << 16
BLOCK_BYTES = 8 << 20
SMALLEST_BLOCK = 1 << 12
"""Of those that are decoded in one go."""
SHOW_PROGRESS_FROM = 32 << 20
MOST_SKIPPED = 100_000
"""Lines of a table's surroundings, or malformed ones that `--lenient` skips: more are no mishap but another file."""
MANY_REJECTED, MOST_OF_LINES = 10_000, 0.25
"""Malformed lines that are too many where they are more than that share of all."""
MOST_KEPT = 4 << 30
"""Bytes taken of a pipe: they are read more than once, so they are kept, in memory first, then in a file of no name."""

FEW_LINES = 40_000
"""Lines of any length. Beyond them they are as long on average as the format's rows are at the least."""

# What people hand over by mistake, by its first bytes.
NOT_TEXT = (
    (b"PERFILE2", "a perf.data file; export it first, with `perf stat report -x,` or `perf script`"),
    (b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a GGUF model"),
)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The first bytes of what PowerShell's `>` writes: read as the UTF-8 that it would be elsewhere."""


_LINE = re.compile(rb"[^\n]+")


class _Kept:
    """What was read of a pipe so far, and the pipe."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.pipe = pipe
        self.file = tempfile.SpooledTemporaryFile(max_size=64 << 20)  # noqa: SIM115 - lives as long as its Source
        self.size = 0
        weakref.finalize(self, self.file.close)
        if pipe is not sys.stdin.buffer:
            weakref.finalize(self, pipe.close)

    def read(self, at: int, n: int) -> bytes:
        """At most n bytes from a position on, b"" at the end."""
        if at == self.size:
            data = self.pipe.read(n)
            self.file.seek(0, SEEK_END)
            self.file.write(data)
            self.size += len(data)
            if self.size > MOST_KEPT:
                raise OSError(EFBIG, f"more than {MOST_KEPT >> 30} GiB from a pipe: write it to a file")
            return data
        self.file.seek(at)
        return self.file.read(n)


class _AsUtf8:
    """A file of UTF-16, read as UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self.text = TextIOWrapper(file, encoding="utf-16", errors="replace", newline="")

    def read(self, n: int) -> bytes:
        return self.text.read(max(1, n // 4)).encode("utf-8")

    def close(self) -> None:
        self.text.close()


class _Replay(RawIOBase):
    """A pipe from its beginning, as often as it is asked for."""

    def __init__(self, kept: _Kept) -> None:
        self.kept = kept
        self.at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.kept.read(self.at, len(buffer))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


class Source:
    """One file to read, `-` for standard input.

    lenient: malformed rows are counted and skipped instead of ending the reading.
    least: bytes of a line, on average over many, below which a file is none of its format; 0 for no such limit.
    """

    def __init__(self, path: str | Path, lenient: bool = False) -> None:
        self.path = Path(path)
        self.lenient = lenient
        self.notes: list[str] = []
        self.skipped = 0
        self.least = 0
        self._n_lines = self._n_bytes = 0
        self._rejected = 0
        self._first_rejected = ""
        self._kept: _Kept | None = None
        self._prefix: Prefix | None = None
        self._n_prefixed = 0
        try:
            if self.path.is_dir():
                raise self.error("is a directory; name a capture file")
            if str(self.path) != STDIN and not self.path.exists():
                raise self.error("no such file")
            if str(self.path) == STDIN or not self.path.is_file():
                self._kept = _Kept(sys.stdin.buffer if str(self.path) == STDIN else self.path.open("rb"))
            with self._open() as file:
                head = file.read(HEAD_BYTES)
                self.size = 0 if self._kept else self.path.stat().st_size
            if head.startswith(UTF_16):
                self._kept = _Kept(cast(IO[bytes], _AsUtf8(self._open())))
                with self._open() as file:
                    head = file.read(HEAD_BYTES)
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise self.error(f"cannot be read: {reason or problem}") from None
        self.head = self._check_head(head)
        if prefix := prefixes.find(self.head):
            self.head = [prefix.off(line) for line in self.head]
            self._prefix = prefix

    def error(self, reason: str, row: int | None = None) -> AnalysisError:
        return AnalysisError(reason, path=self.path, row=row)

    def reject(self, row: int, reason: str) -> None:
        """A malformed row: an error, or, if lenient, one more to count."""
        if not self.lenient:
            raise self.error(f"{reason} (--lenient skips such lines)", row)
        self._rejected += 1
        self._first_rejected = self._first_rejected or f"line {row}: {reason}"
        if self._rejected > MOST_SKIPPED or self._rejected > max(MANY_REJECTED, self._n_lines * MOST_OF_LINES):
            raise self.error(f"{self._rejected} malformed lines up to here; the first is {self._first_rejected}", row)

    def skip(self, row: int) -> None:
        """A line that is another program's: one more to count, until it is too many for any capture."""
        self.skipped += 1
        if self.skipped > MOST_SKIPPED:
            raise self.error(f"more than {MOST_SKIPPED} lines that are no part of a table", row)

    def closing_notes(self) -> list[str]:
        if self._prefix:
            before = printable(self._prefix.example.strip(), 60)
            self.notes.append(f"{self._n_prefixed} line(s) begin as a log's do ('{before}'), which was taken off")
        if self._rejected:
            first = printable(self._first_rejected, 200)
            self.notes.append(f"{self._rejected} malformed row(s) skipped; the first is {first}")
        return self.notes

    def _check_head(self, head: bytes) -> list[str]:
        """The first lines, at most HEAD_BYTES of them, as text."""
        if not head.strip():
            raise self.error("is empty" if not head else "holds nothing but blanks")
        for magic, what in NOT_TEXT:
            if head.startswith(magic):
                raise self.error(f"is {what}")
        cut = head if len(head) < HEAD_BYTES else head[: head.rfind(b"\n") + 1] or head
        if b"\0" in cut:
            raise self.error("binary data, not a capture (a NUL byte)", cut[: cut.index(b"\0")].count(b"\n") + 1)
        if cut is head and len(head) == HEAD_BYTES:
            next(iter(self.lines()), None)  # one endless first line: let the line reader say what is wrong with it
            return head.decode("utf-8", "ignore").splitlines()[:1]
        if cut.endswith(b"\n") and (known := self._decoded(1, cut)) is not None:
            return known
        return [self._decode(raw, row, exact=False) for row, raw in enumerate(cut.splitlines(), 1)]

    def _decode(self, raw: bytes, row: int, exact: bool = True) -> str:
        if len(raw) > LONGEST_LINE:
            raise self.error(f"longer than {LONGEST_LINE >> 20} MiB, which no capture's line is", row)
        if b"\0" in raw:
            raise self.error("binary data, not a capture (a NUL byte)", row)
        self._n_lines += 1
        self._n_bytes += len(raw) + 1
        if self._n_lines - FEW_LINES > self._n_bytes / self.least if self.least else False:
            raise self.error(f"{self._n_lines} lines of {self._n_bytes // self._n_lines} bytes: no capture's are", row)
        try:
            errors = "strict" if exact else "backslashreplace"
            return raw.decode("utf-8-sig" if row == 1 else "utf-8", errors).rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise self.error(f"not UTF-8 text (byte 0x{raw[problem.start]:02x})", row) from None

    def lines(self, exact: bool = True, blank: bool = False) -> Iterator[tuple[int, str]]:
        """(1-based row, line without its end) for every line, of empty ones only if `blank`: one for many in a row.

        exact: bytes that are no UTF-8 are an error; without it they are escaped: what a program printed around its
        counters is nobody's business here.
        """
        for first, block in self.blocks():
            if not blank:
                yield from self.decode_block(first, block, exact)
                continue
            if b"\n\n\n" in block:
                yield from self._filled(first, block, exact, blank)
                continue
            if (known := self._decoded(first, block)) is not None:
                yield from enumerate(known, first)
                continue
            for row, raw in enumerate(block.split(b"\n")[:-1], first):
                yield row, self._decode(raw, row, exact) if raw else ""

    def check_text(self) -> None:
        """Raises AnalysisError where the first lines are no UTF-8."""
        for row, _ in self.lines():
            if row > len(self.head):
                break

    def holds(self, text: bytes) -> bool:
        """Whether the bytes stand anywhere in the file."""
        with self._open() as file:
            rest = b""
            while read := file.read(BLOCK_BYTES):
                if text in rest + read:
                    return True
                rest = read[-len(text) :]
        return False

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """(row of the first line, block of whole lines), all bytes in order, `\\n` at every line's end.

        Without what a log put before each line.
        """
        n_prefixed = 0
        for row, block in self._blocks():
            if self._prefix:
                block, n = self._prefix.pattern.subn(b"", block)
                n_prefixed += n
            yield row, block
        self._n_prefixed = n_prefixed

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        with self._open() as file, self._progress() as advance:
            row, rest = 1, b""
            while read := file.read(BLOCK_BYTES):
                advance(len(read))
                end = read.rfind(b"\n") + 1
                if not end:
                    rest += read
                    if len(rest) > LONGEST_LINE:
                        raise self.error(f"longer than {LONGEST_LINE >> 20} MiB, which no capture's line is", row)
                    continue
                block, rest = rest + read[:end], read[end:]
                yield row, block
                row += block.count(b"\n")
            if rest:
                yield row, rest + b"\n"

    def decode_block(self, row: int, block: bytes, exact: bool = True) -> Iterator[tuple[int, str]]:
        """The block's lines that are not empty, each checked as `lines` checks it."""
        if b"\n\n\n" not in block:
            if (known := self._decoded(row, block)) is not None:
                for at, line in enumerate(known, row):
                    if line:
                        yield at, line
                return
            for at, raw in enumerate(block.split(b"\n")[:-1], row):
                if raw:
                    yield at, self._decode(raw, at, exact)
            return
        yield from self._filled(row, block, exact)

    def _filled(self, row: int, block: bytes, exact: bool, blank: bool = False) -> Iterator[tuple[int, str]]:
        """The lines between which there may be millions of empty ones, which cost nothing. blank: one of them each."""
        counted = 0  # of what is before `row`
        for match in _LINE.finditer(block):
            n = block.count(b"\n", counted, match.start())
            row, counted = row + n, match.start()
            if blank and n > 1:
                yield row - 1, ""
            yield row, self._decode(match[0], row, exact)
        if blank and block.endswith(b"\n\n"):
            yield row + 1, ""

    def _decoded(self, row: int, block: bytes) -> list[str] | None:
        """What `_decode` makes of each line of a large block in which nothing is wrong; None for any other block."""
        if len(block) < SMALLEST_BLOCK or b"\0" in block or b"\r" in block or (row == 1 and block[:1] == b"\xef"):
            return None
        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
        sizes = np.diff(ends, prepend=-1)  # with the line's end
        are_filled = sizes > 1
        n_lines = self._n_lines + np.cumsum(are_filled)
        n_bytes = self._n_bytes + np.cumsum(np.where(are_filled, sizes, 0))
        if sizes.max() > LONGEST_LINE or (self.least and (n_lines - FEW_LINES > n_bytes / self.least).any()):
            return None
        try:
            lines = block.decode("utf-8").split("\n")[:-1]
        except UnicodeDecodeError:
            return None
        self._n_lines, self._n_bytes = int(n_lines[-1]), int(n_bytes[-1])
        return lines

    def _open(self) -> IO[bytes]:
        if self._kept:
            return cast(IO[bytes], BufferedReader(_Replay(self._kept)))
        try:
            return self.path.open("rb")
        except OSError as problem:
            raise self.error(f"cannot be read: {problem.strerror}") from None

    @contextmanager
    def _progress(self) -> Iterator[Callable[[int], None]]:
        """Yields a function to call with the number of bytes read; a bar on a terminal for large files."""
        if self.size < SHOW_PROGRESS_FROM or not stderr.isatty():
            yield lambda n: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(printable(self.path.name, 40), total=self.size)
            yield lambda n: progress.advance(task, n)
