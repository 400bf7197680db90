"""Observing that is cut short: by a signal's exception, by a full disk, by a reader that leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import bits
import pytest
from capture_runs import PROMPT
from file_limits import files_of_at_most

import q4engine.profiling.observer
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.interrupts import uninterrupted
from q4engine.profiling.observer import Observation, observe
from q4engine.profiling.recording import Record


class Interrupt(BaseException):
    """As KeyboardInterrupt is: none of an application's ``except Exception``."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bits.write_model("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture
def raising_interrupts() -> Iterator[None]:
    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGINT, handler)
    yield
    assert signal.signal(signal.SIGINT, before) is handler


class Sink:
    """Sends a signal while it is told of a call."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.heard: list[int] = []
        self._interrupted_at = interrupted_at

    def write(self, record: Record) -> None:
        if record.number == self._interrupted_at:
            os.kill(os.getpid(), signal.SIGINT)
        self.heard.append(record.number)


@pytest.mark.usefixtures("raising_interrupts")
@pytest.mark.parametrize("kind", ["live", "often", "late"])
def test_an_interrupted_call_is_told_to_all_sinks_or_to_none(model: Path, kind: str) -> None:
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    sinks = [Sink(interrupted_at=3), Sink()]
    with pytest.raises(Interrupt), observe(session, Observation()) as observer:
        observer.level = q4engine.profiling.observer.Level.CALLS
        observer.start()
        getattr(observer, kind).extend(sinks)
        observer.attach()
        for token in range(5):
            session.decode([token])
    assert sinks[0].heard == sinks[1].heard and sinks[0].heard[:4] == [0, 1, 2, 3]


@pytest.mark.usefixtures("raising_interrupts")
def test_what_a_handler_says_waits_until_the_block_is_left() -> None:
    done = []
    with pytest.raises(Interrupt):
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("in the block")
        done.append("behind it")
    assert done == ["in the block"]


def test_signals_that_are_ignored_stay_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with uninterrupted():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("option", ["markers", "capture", "trace"])
def test_a_disk_that_becomes_full_is_one_error_that_names_the_file(model: Path, tmp_path: Path, option: str) -> None:
    path = tmp_path / "out"
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    what = Observation(**{option: path}, events="none")  # type: ignore[arg-type]
    full = pytest.raises(Q4Error, match=f"{path}: the {option} cannot be written: File too large")
    with full, files_of_at_most(1500), observe(session, what):
        for token in range(60):
            session.decode([token])


def test_a_disk_that_becomes_full_leaves_whole_rows_and_all_files_are_named(model: Path, tmp_path: Path) -> None:
    paths = {option: tmp_path / option for option in ("markers", "capture", "trace")}
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with (
        pytest.raises(Q4Error) as caught,
        files_of_at_most(1500),
        observe(session, Observation(**paths, events="none")),  # type: ignore[arg-type]
    ):
        for token in range(60):
            session.decode([token])
    for option, path in paths.items():
        assert str(caught.value).count(f"{path}: the {option} cannot be written: File too large") == 1
    for option in ("markers", "capture"):
        text = paths[option].read_text()
        rows = [line for line in text.splitlines() if not line.startswith("#")]
        assert text.endswith("\n") and len(rows) > 2 and len({row.count(",") for row in rows}) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["capture", "markers"]


def test_files_from_before_stay_until_there_is_a_row(model: Path, tmp_path: Path) -> None:
    paths = {option: tmp_path / option for option in ("markers", "capture", "trace")}
    for path in paths.values():
        path.write_text("earlier")
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    with pytest.raises(Interrupt), observe(session, Observation(**paths, events="none")):  # type: ignore[arg-type]
        raise Interrupt
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(paths, "earlier")


def test_a_reader_that_leaves_is_an_error_of_its_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    session = Engine.load(model, n_threads=1).session(n_ctx=64)
    broken = pytest.raises(Q4Error, match=f"{path}: the markers cannot be written: Broken pipe")
    with broken, observe(session, Observation(markers=path)):
        session.decode(PROMPT)
        os.close(reader)
