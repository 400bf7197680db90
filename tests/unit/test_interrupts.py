"""A Ctrl-C is never lost: an exception raised by a signal's handler reaches whoever decodes, streams or samples."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from models.tiny import write_tiny
from vocab_files import bpe_file, spm_file

from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.tokenizer import Tokenizer

TRIALS = 25
SECONDS = 0.002  # until the signal comes
TOO_LONG = 5.0  # until a lost one is given up


class Interrupt(BaseException):
    """As KeyboardInterrupt is: none of an application's ``except Exception``."""


@pytest.fixture(autouse=True)
def raising_alarm() -> Iterator[None]:
    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupted(work: Callable[[], object]) -> bool:
    """Whether the handler's exception ended the repetition of ``work``."""
    end = time.monotonic() + TOO_LONG
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        while time.monotonic() < end:
            work()
    except Interrupt:
        return True
    return False


@pytest.mark.parametrize("kind", ["bpe", "spm"])
def test_streaming(tmp_path: Path, kind: str) -> None:
    """NumPy, which compares a number of its own with an enum's member, throws away what is raised meanwhile."""
    file = bpe_file(tmp_path, ["a b"]) if kind == "bpe" else spm_file(tmp_path, {"a": -1.0, "b": -2.0})
    tokenizer = Tokenizer.from_gguf(file)
    last = len(tokenizer.vocabulary) - 1
    decoder = tokenizer.stream_decoder()

    def work() -> None:
        decoder.push(last)

    assert all(interrupted(work) for _ in range(TRIALS))


def test_decoding_and_sampling(tmp_path: Path) -> None:
    engine = Engine.load(write_tiny(tmp_path / "synthetic-tiny.gguf"), n_threads=2)
    session = engine.session()
    sampler = Sampler(SamplerSettings(repeat_penalty=1.1))

    def work() -> None:
        session.truncate(0)
        history = [1, 2, 3]
        logits = session.decode(history)
        sampler.sample(np.array(logits), history)

    assert all(interrupted(work) for _ in range(TRIALS))


def test_a_long_call_is_left_between_two_operations(tmp_path: Path) -> None:
    """It would take seconds; what is left behind is as if it had not been."""
    engine = Engine.load(write_tiny(tmp_path / "synthetic-tiny.gguf"), n_threads=2)
    session, other = engine.session(n_ctx=20_000, n_batch=20_000), engine.session()
    before = session.decode([1, 2, 3]).tobytes()
    logits = np.full(engine.config.vocab_size, np.nan, np.float32)
    said: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        try:
            other.decode([1])
        except Q4Error as error:
            said.append(str(error))
        raise Interrupt

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    assert session.recorder is not None
    with pytest.raises(Interrupt):
        session.recorder.decode(np.ones(19_000, np.int32), 3, False, logits)
    assert np.isnan(logits).all(), "the call ran to its end"
    assert len(said) == 1 and said[0].endswith("in the middle of a call can evaluate nothing itself")
    assert np.isfinite(other.decode([1])).all()
    session.truncate(0)
    assert session.decode([1, 2, 3]).tobytes() == before
