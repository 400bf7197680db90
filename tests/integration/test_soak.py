"""Long use keeps memory and descriptors where they are, without the collector of cycles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from models.tiny import write_tiny

from q4engine.engine import Engine

pytestmark = pytest.mark.long

MOST_GROWTH = 2 << 20  # bytes, over four fifths of the use: less than what any one piece of it takes if it is kept


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "synthetic-tiny.gguf")


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def resident() -> int:
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) << 10


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def use(piece: Callable[[int], object], times: int) -> None:
    """A fifth of the pieces warms up; over the rest nothing grows."""
    for at in range(times // 5):
        piece(at)
    before = resident(), descriptors()
    for at in range(times // 5, times):
        piece(at)
    grown = resident() - before[0]
    print(f"{times} pieces: {grown / 1024:+.0f} KiB resident, {descriptors() - before[1]:+d} descriptors")
    assert grown < MOST_GROWTH
    assert descriptors() == before[1]


def test_20000_tokens(model: Path) -> None:
    with Engine.load(model, n_threads=2) as engine:
        session = engine.session(n_ctx=512)

        def decode(at: int) -> None:
            if session.n_past == 512:
                session.truncate(64)
            session.decode([at % 300])

        use(decode, 20_000)


def test_500_sessions(model: Path) -> None:
    with Engine.load(model, n_threads=2) as engine:
        use(lambda at: engine.session(n_ctx=512).decode([at % 300] * 70), 500)


def test_200_loads(model: Path) -> None:
    def load(at: int) -> None:
        with Engine.load(model, n_threads=2) as engine:
            engine.session(n_ctx=64).decode(engine.tokenizer.encode("Hello"))

    use(load, 200)


def test_200_loads_that_nobody_closes(model: Path) -> None:
    def load(at: int) -> None:
        engine = Engine.load(model, n_threads=2)
        engine.session(n_ctx=64).decode([at % 300])

    use(load, 200)
