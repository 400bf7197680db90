"""Models of other types, quantised on the way and kept for the next time."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from q4engine.cpus import default_thread_count
from q4engine.errors import Q4Error
from q4engine.gguf.mixtures import TARGETS
from q4engine.gguf.quantize_file import quantize_file


class TypeCache:
    """A folder of quantised models, named by what they were made of: a source that changes is quantised anew."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self._tell = tell
        self._turn = threading.Lock()

    def path_of(self, source: Path, kind: str) -> Path:
        """Where the model of that type lies, or will. Q4Error where there is no source."""
        try:
            status = source.stat()
        except OSError as error:
            raise Q4Error(f"{source}: cannot be read: {error.strerror}") from None
        made_of = f"{source.resolve()}/{status.st_size}/{status.st_mtime_ns}"
        return self.folder / f"{source.stem}-{kind}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}.gguf"

    def model(self, source: Path, kind: str) -> Path:
        """The file to run: the source itself for the type "", else its quantised form, made where it is not there."""
        if not kind:
            return source
        path = self.path_of(source, kind)
        with self._turn:  # several machines may want it
            if not path.exists():
                self._make(source, kind, path)
        return path

    def _make(self, source: Path, kind: str, path: Path) -> None:
        self._tell(f"{source.name}: quantising to {kind}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Q4Error(f"{self.folder}: the folder cannot be made: {error.strerror}") from None
        quantize_file(source, path, TARGETS[kind], n_threads=default_thread_count())
