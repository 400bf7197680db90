"""A capture's file: opened with care, read as lines or as blocks of whole lines, never trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sys import stderr
from typing import IO

from analysis.errors import AnalysisError, printable

LONGEST_LINE = 1 << 20
HEAD_BYTES = 1 << 16
BLOCK_BYTES = 8 << 20
SHOW_PROGRESS_FROM = 32 << 20

# What people hand over by mistake, by its first bytes.
NOT_TEXT = (
    (b"PERFILE2", "a perf.data file; export it first, with `perf stat report -x,` or `perf script`"),
    (b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a GGUF model"),
    (b"\xff\xfe", "UTF-16 text; save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text; save it as UTF-8"),
)


class Source:
    """One file to read. `lenient`: malformed rows are counted and skipped instead of ending the reading."""

    def __init__(self, path: str | Path, lenient: bool = False) -> None:
        self.path = Path(path)
        self.lenient = lenient
        self.notes: list[str] = []
        self._rejected = 0
        self._first_rejected = ""
        try:
            if self.path.is_dir():
                raise self.error("is a directory; name a capture file")
            if not self.path.exists():
                raise self.error("no such file")
            with self.path.open("rb") as file:
                head = file.read(HEAD_BYTES)
                self.size = self.path.stat().st_size
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise self.error(f"cannot be read: {reason or problem}") from None
        self.head = self._check_head(head)

    def error(self, reason: str, row: int | None = None) -> AnalysisError:
        return AnalysisError(reason, path=self.path, row=row)

    def reject(self, row: int, reason: str) -> None:
        """A malformed row: an error, or, if lenient, one more to count."""
        if not self.lenient:
            raise self.error(f"{reason} (--lenient skips such lines)", row)
        self._rejected += 1
        self._first_rejected = self._first_rejected or f"line {row}: {reason}"

    def closing_notes(self) -> list[str]:
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
        return [self._decode(raw, row, exact=False) for row, raw in enumerate(cut.splitlines(), 1)]

    def _decode(self, raw: bytes, row: int, exact: bool = True) -> str:
        if len(raw) > LONGEST_LINE:
            raise self.error(f"longer than {LONGEST_LINE >> 20} MiB, which no capture's line is", row)
        if b"\0" in raw:
            raise self.error("binary data, not a capture (a NUL byte)", row)
        try:
            errors = "strict" if exact else "backslashreplace"
            return raw.decode("utf-8-sig" if row == 1 else "utf-8", errors).rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise self.error(f"not UTF-8 text (byte 0x{raw[problem.start]:02x})", row) from None

    def lines(self, exact: bool = True) -> Iterator[tuple[int, str]]:
        """(1-based row, line without its end) for every line.

        exact: bytes that are no UTF-8 are an error; without it they are escaped: what a program printed around its
        counters is nobody's business here.
        """
        with self._open() as file, self._progress() as advance:
            row = done = reported = 0
            while raw := file.readline(LONGEST_LINE + 1):
                row += 1
                yield row, self._decode(raw, row, exact)
                done += len(raw)
                if done - reported > BLOCK_BYTES:
                    advance(done - reported)
                    reported = done

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
        """(row of the first line, block of whole lines), all bytes in order, `\\n` at every line's end."""
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

    def decode_block(self, row: int, block: bytes) -> Iterator[tuple[int, str]]:
        """The block's lines, each checked as `lines` checks it."""
        for offset, raw in enumerate(block.split(b"\n")[:-1]):
            yield row + offset, self._decode(raw, row + offset)

    def _open(self) -> IO[bytes]:
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
