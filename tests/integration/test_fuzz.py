"""Every target of the fuzzer, from its first seed on; cases that once failed come first.

In `make test` for 4 seconds each, in `make test-long` for a minute; Q4_FUZZ_SECONDS says otherwise. The readers, of
which there are many, have a second each, and two minutes together.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
from fuzz import native_plans
from fuzz.counts import Counts
from fuzz.guided import Drawn
from fuzz.harness import CPU_SECONDS_OF_A_TEST, Folder, Outcome, run_case, run_for
from fuzz.readers import READERS
from fuzz.targets import NAMES, TARGETS, run

SECONDS = float(os.environ.get("Q4_FUZZ_SECONDS", "0"))
SHORT, LONG = SECONDS or 4.0, SECONDS or 60.0
OF_A_READER, OF_ALL_READERS = 1.0, 120.0
FOUND = {"read-markers": (29990,), "grammars": (14681,)}  # seeds that found something


def run_target(name: str, seconds: float) -> None:
    if name == native_plans.NAME:
        native_plans.build()
    for seed in FOUND.get(name, ()):
        run_case(TARGETS[name](), name, seed, CPU_SECONDS_OF_A_TEST)
    outcome = run(name, 0, seconds, CPU_SECONDS_OF_A_TEST)
    assert outcome.failure is None, outcome.failure
    assert outcome.cases > 0


@pytest.mark.parametrize("name", NAMES)
def test_fuzz(name: str) -> None:
    run_target(name, OF_A_READER if name in READERS else SHORT)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_fuzz_long(name: str) -> None:
    run_target(name, OF_ALL_READERS / len(READERS) if name in READERS else LONG)


def test_the_harness_notices_what_goes_wrong(tmp_path: Path) -> None:
    class Broken:
        refused = (ValueError,)
        error: BaseException | None = None

        def case(self, rng: object) -> None:
            if self.error is not None:
                raise self.error

    for error, message in ((KeyError("k"), "KeyError"), (ValueError("a\nb"), "an error of several lines")):
        Broken.error = None
        broken = type("Late", (Broken,), {"error": None})

        def case(self: Broken, rng: object, error: BaseException = error) -> None:
            self.n = getattr(self, "n", 0) + 1  # type: ignore[attr-defined]
            if self.n == 7:  # type: ignore[attr-defined]
                raise error

        broken.case = case  # type: ignore[method-assign]
        outcome = run_for(broken, "broken", itertools.count(), 5.0)
        assert outcome.cases == 3 and outcome.failure is not None and message in outcome.failure

    def crash(self: Broken, rng: object) -> None:
        self.folder = Folder()  # type: ignore[attr-defined]
        told.write_text(self.folder.name)  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)

    told = tmp_path / "folder"
    crashing = type("Crashing", (Broken,), {"case": crash})
    outcome = run_for(crashing, "broken", itertools.count(), 5.0)
    assert outcome.failure is not None and "signal 9" in outcome.failure
    assert not Path(told.read_text()).exists()
    assert run_case(Broken(), "broken", 1) is False


def test_counts_add_up_over_runs(tmp_path: Path) -> None:
    Counts(tmp_path / "counts.json").add("one", Outcome(10, 4, 1.5))
    counts = Counts(tmp_path / "counts.json")
    counts.add("one", Outcome(5, 0, 0.5, "seed 15 failed"))
    counts.add("two", Outcome(1, 1))
    assert counts.next_seed("one") == 16 and counts.next_seed("three") == 0 and counts.cases == 16
    assert Counts(tmp_path / "counts.json").by_target == counts.by_target
    assert "16 cases" in counts.lines()[-1] and [path.name for path in tmp_path.iterdir()] == ["counts.json"]


def test_cases_of_bytes() -> None:
    """What Atheris gives a target for random numbers: the same bytes are the same case, without an end."""
    first, again, other = (Drawn(data) for data in (b"\x5a\xff\x01" * 9, b"\x5a\xff\x01" * 9, b"\x5b" * 27))
    drawn = [[rng.randrange(7), rng.random(), rng.choice("abc"), rng.randbytes(30)] for rng in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0][3].endswith(b"\0")
    empty = Drawn(b"")
    assert [empty.random(), empty.randint(3, 9), empty.getrandbits(0)] == [0.0, 3, 0]
