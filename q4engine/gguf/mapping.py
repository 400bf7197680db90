"""A file's bytes, mapped into memory for as long as somebody looks at them."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from pathlib import Path

from q4engine.errors import Q4Error
from q4engine.gguf.foreign import in_folder, why_missing


class MappedFile:
    """A regular file that is not empty, mapped for reading. Q4Error names it where it cannot be.

    A mapping shows what others write into the file meanwhile: ``require_unchanged`` tells. A file that is replaced by
    another of its name (written beside and renamed) does not change.
    """

    _descriptor = -1  # of one that was never opened, too (a copy that failed)

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapping: mmap.mmap | None = None
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise Q4Error(f"{path}: {in_folder(path)}")
            if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer
                raise Q4Error(f"{path}: is no regular file, expected a GGUF file")
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._stamp = self._now()
            if self._stamp[0] == 0:
                raise Q4Error(f"{path}: the file is empty, expected a GGUF file")
            self._mapping = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise Q4Error(f"{path}: {why_missing(path)}") from None
        except (OSError, ValueError) as error:
            raise Q4Error(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None

    @property
    def data(self) -> mmap.mmap:
        if self._mapping is None:
            raise Q4Error(f"{self.path}: the file was closed")
        return self._mapping

    def require_unchanged(self) -> None:
        """Q4Error where the file was written to since it was opened. Costs a system call; nothing after ``close``."""
        if self._descriptor >= 0 and (now := self._now()) != self._stamp:
            what = "cut short" if now[0] < self._stamp[0] else "changed"
            raise Q4Error(f"{self.path}: the file was {what} while it was in use")

    def close(self) -> None:
        """Unmap the file; views that are still alive keep the mapping until they go."""
        if self._mapping is not None:
            with contextlib.suppress(BufferError):
                self._mapping.close()
            self._mapping = None
        self._close_descriptor()

    def __del__(self) -> None:
        self._close_descriptor()  # the mapping goes with the last that refers to it

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _now(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns
