"""Files that are written: whole or not at all, and never over what is read.

Nothing but the standard library, so that the engine, `annotate` and `analysis` share it.

An output is written beside its name, under a short one of its own, and renamed when it is whole, so that a file of the
name from before stays until then. The short name's file is locked while it is written: one whose writer was killed is
not, and goes when the next output is written to its folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

_BESIDE = ".q4-{}.part"
_BESIDE_NAMES = re.compile(r"\.q4-[0-9a-f]{8}\.part")
_PAGE = 4096  # the smallest there is
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Output:
    """One output, `file` open for binary writing; `buffering` as for `open`.

    `keep` gives it its name, `drop` leaves nothing of it; the `with` statement does the one where its block ends and
    the other where it raises. A pipe or a device is written as it is. OSError where it cannot be written.
    """

    file: BinaryIO

    def __init__(self, path: str | os.PathLike[str], buffering: int = -1) -> None:
        self.path = Path(path)
        self._beside: Path | None = None
        self._target = Path(os.path.realpath(path))  # a link stays one, what it points to is replaced
        if self.path.exists() and not self.path.is_file():
            self.file = self.path.open("wb", buffering=buffering)
            return
        mode = _mode_of(self._target)
        remove_abandoned(self._target.parent)
        descriptor, self._beside = _opened_beside(self._target.parent)
        if mode is not None:
            with contextlib.suppress(OSError):  # file systems that know no modes
                os.fchmod(descriptor, mode)
        self.file = os.fdopen(descriptor, "wb", buffering=buffering)

    @property
    def is_file(self) -> bool:
        """False for a pipe or a device, in which nothing can be changed once it is written."""
        return stat.S_ISREG(os.fstat(self.file.fileno()).st_mode)

    @property
    def beside(self) -> Path | None:
        """Where it lies until it has its name, everything that was written so far in it; None for what has it."""
        self.file.flush()
        return self._beside

    def show(self) -> None:
        """Gives the file its name now, and goes on with writing it."""
        self.file.flush()
        if self._beside is not None:
            self._beside.replace(self._target)
            self._beside = None

    def keep(self) -> None:
        """Closes the file and gives it its name."""
        locked = None
        try:
            locked = os.dup(self.file.fileno())
            self.file.close()  # some file systems say here that it could not be written
            if self._beside is not None:
                self._beside.replace(self._target)
                self._beside = None
        finally:
            if locked is not None:
                os.close(locked)
            self.drop()

    def drop(self) -> None:
        """Closes the file; what has not been given its name is removed. May be called at any time, and again."""
        try:
            with contextlib.suppress(OSError):  # a full disk is told by the write that met it
                self.file.close()
        finally:
            if self._beside is not None:
                self._beside.unlink(missing_ok=True)
                self._beside = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.keep()
        else:
            self.drop()


class Rows:
    """A file that grows by whole rows and can be read while it does.

    It takes its name with its first rows, so that a file from before stays where none come. What cannot be written to
    its end, as on a full disk, is taken back: the file ends with a whole row, also where its writer is killed in the
    middle of them. OSError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], head: bytes) -> None:
        """`head` stands before the first rows."""
        self._output = Output(path, buffering=0)
        self._waiting = head
        self._size = 0

    @property
    def has_rows(self) -> bool:
        return not self._waiting

    @property
    def is_open(self) -> bool:
        return not self._output.file.closed

    def write(self, rows: bytes) -> None:
        """Adds rows, whole lines."""
        data = self._waiting + rows
        try:
            if self._waiting:
                _write_all(self._output.file, data)
                self._output.show()
            else:
                for piece in _pieces(data, self._size):
                    _write_all(self._output.file, piece)
        except OSError:
            if self._output.is_file and not self._waiting:
                self._output.file.truncate(self._size)
            self._output.drop()
            raise
        self._size += len(data)
        self._waiting = b""

    def rewrite(self, offset: int, data: bytes) -> None:
        """Writes over what stands at this offset; nothing happens to a pipe, and before the first rows."""
        if self.has_rows and self._output.is_file:
            self._output.file.seek(offset)
            _write_all(self._output.file, data)
            self._output.file.seek(self._size)

    def close(self) -> None:
        """Closes the file; without rows there is none. Closing twice is fine."""
        if self.is_open:
            if self.has_rows:
                self._output.keep()
            else:
                self._output.drop()


def write(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Writes a whole file; text is UTF-8. OSError where that fails, and then nothing has changed."""
    with Output(path) as output:
        output.file.write(data.encode() if isinstance(data, str) else data)


def conflict(
    outputs: Iterable[tuple[str, str | os.PathLike[str] | None]],
    inputs: Iterable[tuple[str, str | os.PathLike[str] | int | None]],
) -> str | None:
    """What is wrong where an output is the file of an input or of another output, under whatever name; else None.

    Both are pairs of what the user calls it and the path, None where it was not given; a number is an open file. Of a
    folder that is read, each file counts. Pipes and devices may be both.
    """
    taken: dict[object, str] = {}
    for name, source in inputs:
        if source is not None:
            taken |= dict.fromkeys(_identities(source), name)
    for name, path in outputs:
        if path is None or (Path(path).exists() and not Path(path).is_file()):
            continue
        identity = _identity(Path(path))
        if identity in taken:
            return f"{name} {path} is the file of {taken[identity]}: give another"
        taken[identity] = name
    return None


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A folder of a short name for this block alone, which goes with all that is in it; where its process is killed, at
    the next output there. OSError where there can be none."""
    remove_abandoned(parent)
    descriptor, path = _folder_beside(parent)
    try:
        yield path
    finally:
        _remove_folder(path)
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Removes what killed writers left in the folder: files and folders of our short names that nobody has locked."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _BESIDE_NAMES.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_unless_locked(entry.path)


def _remove_unless_locked(path: str) -> None:
    access = os.O_RDONLY if Path(path).is_dir() else os.O_RDWR
    descriptor = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_folder(path) if stat.S_ISDIR(mode) else Path(path).unlink()
    finally:
        os.close(descriptor)


def _remove_folder(path: str | Path) -> None:
    import shutil  # and with it all compressions that there are

    shutil.rmtree(path, ignore_errors=True)


def _folder_beside(parent: Path) -> tuple[int, Path]:
    """A new folder that is locked, and its name."""
    while True:
        path = parent / _BESIDE.format(secrets.token_hex(4))
        try:
            path.mkdir(0o700)
        except FileExistsError:
            continue
        with contextlib.suppress(FileNotFoundError):
            return _locked(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)), path


def _opened_beside(folder: Path) -> tuple[int, Path]:
    """A new file that is locked, and its name."""
    while True:
        path = folder / _BESIDE.format(secrets.token_hex(4))
        try:
            descriptor = os.open(path, _FLAGS, 0o666)
        except FileExistsError:
            continue
        with contextlib.suppress(FileNotFoundError):
            return _locked(descriptor), path


def _locked(descriptor: int) -> int:
    """FileNotFoundError where another writer took it for an abandoned one before it was locked."""
    with contextlib.suppress(OSError):  # file systems without locks: what is abandoned there is not told apart
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_nlink:
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError


def _mode_of(target: Path) -> int | None:
    """The permissions that a file of the name has; PermissionError where it may not be written."""
    if not target.exists():
        return None
    os.close(os.open(target, os.O_WRONLY | os.O_CLOEXEC))
    return stat.S_IMODE(target.stat().st_mode) & 0o777


def _pieces(rows: bytes, offset: int) -> Iterator[memoryview]:
    """Rows for that place of a file in whole ones, as many as end on the same page.

    The kernel copies page by page, and a killed process writes no further page. A row that lies on two is a piece of
    its own, and cut only by a signal between the two copies.
    """
    view, start = memoryview(rows), 0
    while start < len(rows):
        border = start + _PAGE - (offset + start) % _PAGE
        end = rows.rfind(b"\n", start, border) + 1 or rows.find(b"\n", border) + 1 or len(rows)
        yield view[start:end]
        start = end


def _write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _identities(source: str | os.PathLike[str] | int) -> list[object]:
    if not isinstance(source, int):
        path = Path(source)
        return [_identity(entry) for entry in path.iterdir()] if path.is_dir() else [_identity(path)]
    with contextlib.suppress(OSError):
        status = os.fstat(source)
        if stat.S_ISREG(status.st_mode):
            return [(status.st_dev, status.st_ino)]
    return []


def _identity(path: Path) -> object:
    """What two names of one file have in common, whether it exists or not."""
    target = os.path.realpath(path)  # where `Output` writes it: absent/../name leads to name
    for each in (path, Path(target)):
        with contextlib.suppress(OSError):
            status = each.stat()
            return status.st_dev, status.st_ino
    return target
