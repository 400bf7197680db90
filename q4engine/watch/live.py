"""Markers of a watched program's calls for Arm Streamline, while it runs: they carry the times at which calls began."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import annotate
from analysis import palette
from q4engine.watch import records

_COLORS = {phase: annotate.Color(*palette.rgb(palette.phase(phase))) for phase in ("prefill", "decode")}


class NewCalls:
    """The calls that the processes of a folder have begun since they were last asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[tuple[str, int], int] = {}

    def take(self) -> list[records.WatchedCall]:
        """By their start; graphs that evaluate no tokens are none."""
        found: list[records.WatchedCall] = []
        for path in self._folder.glob(f"*{records.SUFFIX}"):
            if not path.is_file():
                continue
            with contextlib.suppress(OSError, struct.error), path.open("rb") as file:
                for slot, entries in self._entries(path.name, file.fileno()):
                    found += records.begun(slot, entries)
        return sorted(found, key=lambda call: call.start_ns)

    def _entries(self, name: str, file: int) -> Iterator[tuple[int, bytes]]:
        """What the blocks of logs have got; an entry is counted in when it is whole."""
        for at, block_bytes in records.blocks(file, os.pread(file, 64, 0)):
            used, is_log, slot = records.block(os.pread(file, records.BLOCK_HEAD_BYTES, at))
            before = self._read.get((name, at), 0)
            used = min(used, block_bytes - records.BLOCK_HEAD_BYTES)
            if is_log and used > before:
                self._read[name, at] = used
                yield slot, os.pread(file, used - before, at + records.BLOCK_HEAD_BYTES + before)


@contextmanager
def streamline(
    folder: Path,
    mode: annotate.Mode,
    phase_of: Callable[[records.WatchedCall], str],
    endpoints: annotate.Endpoints | None = None,
) -> Iterator[Callable[[], None]]:
    """Gives what is to be called now and then: it sends a marker for each call that began since."""
    calls = NewCalls(folder)
    with annotate.streamline(mode, endpoints or annotate.Endpoints()) as client:

        def send() -> None:
            for call in calls.take():
                text = f"past {max(0, call.n_past)}, n_eval {call.n_eval}"
                client.marker(text, _COLORS.get(phase_of(call), _COLORS["prefill"]), time_ns=call.start_ns)

        yield send
