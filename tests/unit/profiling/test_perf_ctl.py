"""The pipes to a perf beside us, with a perf that the test plays."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from q4engine.errors import Q4Error
from q4engine.profiling import perf_ctl
from q4engine.profiling.perf_ctl import PerfControl


class Perf:
    """Reads commands and acknowledges them, as perf does: with a zero byte behind the line."""

    def __init__(self, folder: Path, acknowledges: bool = True) -> None:
        self.control, self.answer = folder / "ctl", folder / "ack"
        os.mkfifo(self.control)
        os.mkfifo(self.answer)
        self.commands: list[str] = []
        self._acknowledges = acknowledges
        self._in = os.open(self.control, os.O_RDWR)
        self._out = os.open(self.answer, os.O_RDWR)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with os.fdopen(self._in, "rb", buffering=0) as lines:
            while (line := lines.readline().decode().strip()) != "end":
                self.commands.append(line)
                if self._acknowledges:
                    os.write(self._out, b"ack\n\0")

    def end(self) -> None:
        writer = os.open(self.control, os.O_WRONLY)
        os.write(writer, b"end\n")
        self._thread.join()
        os.close(writer)
        os.close(self._out)


@contextmanager
def playing(folder: Path, acknowledges: bool = True) -> Iterator[Perf]:
    perf = Perf(folder, acknowledges)
    try:
        yield perf
    finally:
        perf.end()


@pytest.mark.parametrize("prefix", ["", "fifo:"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_one_phase_alone_is_counted(tmp_path: Path, phase: str, prefix: str) -> None:
    with playing(tmp_path) as perf:
        control = PerfControl(f"{prefix}{perf.control},{perf.answer}", phase)  # type: ignore[arg-type]
        for call in ("prefill", "prefill", "decode", "decode", "prefill", "decode"):
            control.enter(call)  # type: ignore[arg-type]
        control.close()
        control.close()
    assert perf.commands == ["enable", "disable"] * 2


def test_a_pipe_that_nobody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_ctl, "_OPEN_SECONDS", 0.1)
    os.mkfifo(tmp_path / "ctl")
    with pytest.raises(Q4Error, match="nobody reads from it; start perf"):
        PerfControl(str(tmp_path / "ctl"), "decode")


def test_a_perf_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_ctl, "_ANSWER_SECONDS", 0.1)
    with playing(tmp_path, acknowledges=False) as perf:
        control = PerfControl(f"{perf.control},{perf.answer}", "decode")
        with pytest.raises(Q4Error, match="did not acknowledge 'enable'"):
            control.enter("decode")
        control.close()


def test_without_a_pipe_for_answers(tmp_path: Path) -> None:
    with playing(tmp_path, acknowledges=False) as perf:
        control = PerfControl(str(perf.control), "decode")
        control.enter("decode")
        control.close()
    assert perf.commands == ["enable", "disable"]


def test_what_is_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Q4Error, match="expected a pipe made with mkfifo"):
        PerfControl(str(tmp_path / "file"), "decode")
    with pytest.raises(Q4Error, match="No such file"):
        PerfControl(str(tmp_path / "absent"), "decode")
