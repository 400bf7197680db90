"""The generation loop over a made-up session."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from q4engine.engine import Phase
from q4engine.errors import Q4Error
from q4engine.generate import Stopwatch, Timings, generate

STOP = 9


class CountingSession:
    """Likes the token after the last one best."""

    def __init__(self, n_ctx: int = 100) -> None:
        self.n_ctx = n_ctx
        self.tokens: list[int] = []
        self.calls: list[list[int]] = []
        self.phases: list[Phase] = []

    def held(self, tokens: Sequence[int]) -> int:
        return min(len(self.tokens), len(tokens) - 1)

    def sync(self, tokens: Sequence[int], *, phase: Phase) -> np.ndarray:
        kept = self.held(tokens)
        del self.tokens[kept:]
        return self.decode(tokens[kept:], phase=phase)

    def decode(self, tokens: Sequence[int], *, phase: Phase) -> np.ndarray:
        if len(self.tokens) + len(tokens) > self.n_ctx:
            raise Q4Error(f"the context is full: {len(self.tokens) + len(tokens)} of {self.n_ctx}")
        self.calls.append(list(tokens))
        self.phases.append(phase)
        self.tokens += tokens
        logits = np.zeros(10, np.float32)
        logits[(tokens[-1] + 1) % 10] = 1
        return logits


class Greedy:
    def __init__(self) -> None:
        self.histories: list[list[int]] = []

    def sample(self, logits: np.ndarray, history: Sequence[int]) -> int:
        self.histories.append(list(history))
        return int(np.argmax(logits))


def test_stops_at_a_stop_token() -> None:
    session, sampler = CountingSession(), Greedy()
    generation = generate(session, [1, 5], sampler, stop_tokens={STOP})
    assert list(generation) == [6, 7, 8] == generation.tokens
    assert generation.stop_reason == "stop token"
    assert session.calls == [[1, 5], [6], [7], [8]]
    assert sampler.histories == [[1, 5], [1, 5, 6], [1, 5, 6, 7], [1, 5, 6, 7, 8]]
    assert session.tokens == [1, 5, 6, 7, 8]
    assert session.phases == ["prefill", "decode", "decode", "decode"]


def test_stops_after_n_and_does_not_evaluate_the_last() -> None:
    session = CountingSession()
    generation = generate(session, [0], Greedy(), 3, {STOP})
    assert list(generation) == [1, 2, 3]
    assert generation.stop_reason == "length"
    assert session.calls == [[0], [1], [2]]
    assert session.tokens == [0, 1, 2]


def test_n_0_only_reads_the_prompt() -> None:
    session, sampler = CountingSession(), Greedy()
    assert list(generate(session, [0, 1], sampler, 0)) == []
    assert session.calls == [[0, 1]] and sampler.histories == []


def test_without_a_limit_it_ends_with_the_context() -> None:
    session = CountingSession(n_ctx=4)
    generation = generate(session, [0, 1], Greedy())
    assert list(generation) == [2, 3, 4]
    assert generation.stop_reason == "context full" and len(session.tokens) == 4


def test_a_limit_that_does_not_fit_is_an_error_when_reached() -> None:
    tokens = []
    with pytest.raises(Q4Error, match="5 of 4"):
        for token in generate(CountingSession(n_ctx=4), [0, 1], Greedy(), 10):
            tokens.append(token)
    assert tokens == [2, 3, 4]


def test_the_last_position_of_the_context_still_gives_a_token() -> None:
    assert list(generate(CountingSession(n_ctx=4), [0, 1, 2, 3], Greedy(), 1)) == [4]
    with pytest.raises(Q4Error, match="5 of 4"):
        list(generate(CountingSession(n_ctx=4), [0, 1, 2, 3, 4], Greedy(), 1))


def test_what_the_session_holds_is_history_and_no_work() -> None:
    session, sampler, timings = CountingSession(), Greedy(), Timings()
    session.tokens = [1, 2, 3]
    assert list(generate(session, [1, 2, 3, 4], sampler, 2, timings=timings)) == [5, 6]
    assert session.calls == [[4], [5]] and session.phases == ["prefill", "decode"]
    assert sampler.histories == [[1, 2, 3, 4], [1, 2, 3, 4, 5]]
    assert timings.prompt.tokens == 1


def test_an_interrupted_generation_says_so() -> None:
    generation = generate(CountingSession(), [0], Greedy(), 5)
    for _ in generation:
        break
    assert generation.stop_reason == "interrupted" and generation.tokens == [1]


def test_timings_count_tokens_of_each_phase() -> None:
    timings = Timings()
    list(generate(CountingSession(), [0, 1], Greedy(), 4, timings=timings))
    list(generate(CountingSession(), [0], Greedy(), 2, timings=timings))
    assert (timings.prompt.tokens, timings.evaluate.tokens, timings.sample.tokens) == (3, 4, 6)
    assert timings.prompt.seconds > 0 and timings.evaluate.seconds > 0


def test_what_fails_counts_its_time_but_no_tokens() -> None:
    stopwatch = Stopwatch()
    with pytest.raises(KeyError), stopwatch.measured(7):
        raise KeyError
    assert stopwatch.tokens == 0 and stopwatch.seconds > 0


def test_summary_in_the_usual_words() -> None:
    timings = Timings(0.25, Stopwatch(0.001, 10), Stopwatch(0.5, 10), Stopwatch(2.0, 40), Stopwatch(0.004, 41))
    assert [line.strip() for line in timings.lines()] == [
        "load time =     250.00 ms",
        "tokenise time =       1.00 ms /    10 tokens (    0.10 ms per token, 10000.00 tokens per second)",
        "prompt eval time =     500.00 ms /    10 tokens (   50.00 ms per token,    20.00 tokens per second)",
        "sampling time =       4.00 ms /    41 runs   (    0.10 ms per token, 10250.00 tokens per second)",
        "eval time =    2000.00 ms /    40 runs   (   50.00 ms per token,    20.00 tokens per second)",
        "total time =    2505.00 ms /    50 tokens",
    ]
    assert timings.as_dict()["eval"] == {"ms": 2000.0, "tokens": 40, "tokens_per_second": 20.0}


def test_summary_of_nothing() -> None:
    assert "prompt eval time =       0.00 ms /     0 tokens" in [line.strip() for line in Timings().lines()]
    assert Timings().as_dict()["eval"] == {"ms": 0.0, "tokens": 0}
