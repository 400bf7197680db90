"""Every target of the fuzzer for a few seconds, from its first seed on: Q4_FUZZ_SECONDS says how many. The readers have
two minutes for all of them together, in `make test-long`, and a second each in `make test`. Cases that once failed come
first."""

from __future__ import annotations

import itertools
import os

import pytest
from fuzz.harness import CPU_SECONDS_OF_A_TEST, run_case, run_for
from fuzz.readers import READERS
from fuzz.targets import TARGETS

SECONDS = float(os.environ.get("Q4_FUZZ_SECONDS", "10"))
OF_A_READER = 1.0
OF_ALL_READERS = 120.0
# Seeds that found something.
FOUND: dict[str, tuple[int, ...]] = {}


def run_target(name: str, seconds: float) -> None:
    found = FOUND.get(name, ())
    seeds = itertools.chain(found, itertools.count())
    outcome = run_for(TARGETS[name], name, seeds, seconds, CPU_SECONDS_OF_A_TEST)
    assert outcome.failure is None, outcome.failure
    assert outcome.cases > len(found)


@pytest.mark.parametrize("name", TARGETS)
def test_fuzz(name: str) -> None:
    run_target(name, OF_A_READER if name in READERS else SECONDS)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_fuzz_readers(name: str) -> None:
    run_target(name, OF_ALL_READERS / len(READERS))


def test_the_harness_notices_what_goes_wrong() -> None:
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
    crashing = type("Crashing", (Broken,), {"case": lambda self, rng: os.kill(os.getpid(), 9)})
    outcome = run_for(crashing, "broken", itertools.count(), 5.0)
    assert outcome.failure is not None and "signal 9" in outcome.failure
    assert run_case(Broken(), "broken", 1) is False
