"""Speculation: the text is that of single tokens whatever is guessed, and what is kept count of is what happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import speculated
from models.tiny import TINY_OLMOE, write_tiny

from q4engine.conversation import Conversation
from q4engine.draft_cost import Cost, cost_of, products_per_token
from q4engine.engine import Call, Engine, Session
from q4engine.errors import ContextFullError, Q4Error
from q4engine.generate import generate
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.speculation import DraftModel, Lookup, SpeculativeSession, _Pace, require_same_vocabulary

PROMPT = [5, 9, 14, 5, 9, 14, 5, 9]
SETTINGS = (
    SamplerSettings(temperature=0.0),
    SamplerSettings(temperature=0.8, seed=1),
    SamplerSettings(temperature=0.8, seed=2, repeat_penalty=1.2),
    SamplerSettings(temperature=1.5, seed=3, top_k=0, top_p=1.0, min_p=0.0),
    SamplerSettings(temperature=0.7, seed=4, mirostat=2, mirostat_tau=2.0),
    SamplerSettings(seed=5, xtc_probability=0.5, dry_multiplier=2.0, dry_allowed_length=1, dry_sequence_breakers=()),
)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine.load(tiny, n_threads=1)


class Told:
    """Guesses what it was told to, from a text that begins with the prompt; wrong at every ``wrong``-th place."""

    def __init__(self, text: Sequence[int], wrong: int, cost: Cost | None = None) -> None:
        self._text = text
        self._wrong = wrong
        self._cost = cost

    def cost(self, model: Engine) -> Cost | None:
        return self._cost

    def prepare(self, tokens: Sequence[int]) -> None:
        pass

    def guess(self, tokens: Sequence[int], n: int) -> list[int]:
        at = len(tokens)
        return [
            token + (token == 0) - (token > 0) if (at + i) % self._wrong == 0 else token
            for i, token in enumerate(self._text[at : at + n])
        ]


def plain(engine: Engine, settings: SamplerSettings, n: int, prompt: Sequence[int] = PROMPT) -> list[int]:
    return list(generate(engine.session(n_ctx=128), prompt, Sampler(settings), n))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("wrong", [1, 2, 3, 7, 1000])
def test_the_text_is_that_of_single_tokens(engine: Engine, settings: SamplerSettings, wrong: int) -> None:
    wanted = plain(engine, settings, 40)
    session = SpeculativeSession(engine.session(n_ctx=128), Told([*PROMPT, *wanted], wrong), 7)
    assert list(generate(session, PROMPT, Sampler(settings), 40)) == wanted
    session.settle()
    assert list(session.session.tokens) == [*PROMPT, *wanted[:-1]]
    assert session.guesses.tokens == 39
    assert session.guesses.accepted <= session.guesses.drafted
    if wrong == 1000:
        assert session.guesses.accepted > 0 and session.guesses.speed_up is not None


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("length", [1, 2, 3])
def test_lookup_changes_nothing(engine: Engine, settings: SamplerSettings, length: int) -> None:
    session = SpeculativeSession(engine.session(n_ctx=128), Lookup(length), 7)
    assert list(generate(session, PROMPT, Sampler(settings), 60)) == plain(engine, settings, 60)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_draft_of_the_same_model_is_always_right(engine: Engine, settings: SamplerSettings) -> None:
    sampler = Sampler(settings)
    drafter = DraftModel(engine.session(n_ctx=128), sampler)
    session = SpeculativeSession(engine.session(n_ctx=128), drafter, 3)
    session._pace = speculated.Eager(3)
    assert list(generate(session, PROMPT, sampler, 40)) == plain(engine, settings, 40)
    assert session.guesses.drafted > 0
    assert session.guesses.accepted >= session.guesses.drafted - 3  # the last are never drawn


def test_texts_of_many_prompts(tmp_path: Path) -> None:
    target, draft = speculated.models(tmp_path, n_threads=1)
    found = [speculated.differences(target, draft, prompt, 24) for prompt in speculated.prompts(50)]
    assert [wrong for wrong, _ in found if wrong] == []
    assert sum(accepted for _, accepted in found) > 300  # of the guesses of both kinds


def test_every_number_of_guesses_gives_the_logits_of_single_tokens(engine: Engine) -> None:
    single = engine.session(n_ctx=64)
    rows = [single.decode([token]) for token in range(20)]
    for n in range(1, 17):
        session = engine.session(n_ctx=64)
        found = [session.decode(list(range(i, min(i + n, 20))), all_logits=True) for i in range(0, 20, n)]
        assert np.array_equal(np.concatenate(found).view(np.uint32), np.stack(rows).view(np.uint32))


def test_a_context_is_filled_to_its_last_place(engine: Engine) -> None:
    wanted = plain(engine, SETTINGS[0], 40)
    session = SpeculativeSession(engine.session(n_ctx=20), Told([*PROMPT, *wanted], 1000), 7)
    generation = generate(session, PROMPT, Sampler(SETTINGS[0]))
    assert list(generation) == wanted[:13] and generation.stop_reason == "context full"
    session = SpeculativeSession(engine.session(n_ctx=20), Told([*PROMPT, *wanted], 1000), 7)
    with pytest.raises(ContextFullError):
        list(generate(session, PROMPT, Sampler(SETTINGS[0]), 40))


def test_a_talk_goes_on_behind_guesses(engine: Engine) -> None:
    def answers(length: int | None) -> list[list[int]]:
        session, sampler = engine.session(n_ctx=128), Sampler(SETTINGS[1])
        guessing = None if length is None else SpeculativeSession(session, Lookup(length), 7)
        talk = Conversation(engine, session, engine.tokenizer, None, sampler, speculation=guessing)
        found = [list(talk.complete("abab" * 4, 12))]
        held = list(session.tokens)
        found.append(list(talk.continue_from([*held, 7, 8, 7], 12)))
        broken_off = talk.continue_from(held[:6], 12)
        found.append([token for _, token in zip(range(5), broken_off, strict=False)])
        return [*found, list(talk.complete("abab", 12))]

    assert answers(1) == answers(None)


def test_verify_is_a_phase_and_calls_say_what_was_evaluated(engine: Engine) -> None:
    wanted = plain(engine, SETTINGS[0], 30)
    below = engine.session(n_ctx=128)
    calls: list[Call] = []

    class Observer:
        def before(self, call: Call) -> None:
            calls.append(call)

        def after(self, call: Call) -> None:
            pass

    below.observers.append(Observer())
    session = SpeculativeSession(below, Told([*PROMPT, *wanted], 1000), 3)
    list(generate(session, PROMPT, Sampler(SETTINGS[0]), 30))
    assert {call.phase for call in calls} == {"prefill", "decode", "verify"}
    verified = [call for call in calls if call.phase == "verify"]
    assert session.guesses.calls == len(verified)
    assert session.guesses.drafted == sum(call.n_eval - 1 for call in verified)


def test_lookup_finds_the_last_occurrence_and_runs_over_the_end() -> None:
    lookup = Lookup(2)
    assert lookup.guess([1, 2, 3, 1, 2, 4, 1, 2], 3) == [4, 1, 2]
    assert Lookup(2).guess([7, 7, 7], 5) == [7] * 5
    assert Lookup(3).guess([1, 2], 4) == [] and Lookup(1).guess([], 4) == []
    assert lookup.guess([9, 8, 1, 9, 8], 2) == [1, 9]  # another text: nothing is left of the one before


def test_guesses_are_as_many_as_pay() -> None:
    pace = _Pace(7)
    pace.called(1, 1.0)
    for n in range(2, 9):
        pace.called(n, 1.0 + 0.05 * n)
    for _ in range(100):
        pace.checked(True)
    assert pace.best(7) == 7 and pace.best(3) == 3
    for _ in range(100):
        pace.checked(False)
    assert pace.best(7) == 0
    for _ in range(100):
        pace.called(2, 3.0)
        pace.checked(True)
    assert pace.best(1) == 0  # a call of two that costs three times as much never pays


def test_guesses_that_are_all_wrong_cost_little_to_learn_it() -> None:
    pace, lost = _Pace(7), 0.0
    costs = [0.0, 1.0, 1.15, 1.25, 1.35, 1.45, 1.6, 1.7, 1.8]  # of a call by its tokens, in a single token's time
    pace.called(1, 1.0)
    for _ in range(300):
        tokens = 1 + pace.best(7)
        pace.called(tokens, costs[tokens])
        pace.checked(False)
        lost += costs[tokens] - 1.0
    assert pace.best(7) == 0 and 0.0 < lost < 2.0


def test_a_call_that_was_held_up_once_does_not_end_calls_of_its_size() -> None:
    pace = _Pace(7)
    for _ in range(10):
        pace.called(1, 1.0)
        pace.called(8, 1.5)
        pace.checked(True)
    pace.called(8, 1000.0)
    assert pace.best(7) == 7
    first = _Pace(1)
    for seconds in (1.0, 50.0, 1.2):  # the first of its size, when nothing is in the caches
        first.called(1 if seconds == 1.0 else 2, seconds)
    first.checked(True)
    assert first.best(1) == 1


class Slow:
    """A session whose calls take a second, a fifth more for each further token, and the first one ten."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch, prompt_token: float = 0.0) -> None:
        self.now, self._session, self._first = 0.0, session, True
        monkeypatch.setattr("q4engine.speculation.time.perf_counter", lambda: self.now)
        decode = session.decode

        def slow(tokens: Sequence[int], **words: Any) -> np.ndarray:
            if words.get("phase") != "prefill":
                self.now += 10.0 if self._first else 0.8 + 0.2 * len(tokens)
                self._first = False
            else:
                self.now += prompt_token * len(tokens)
            return decode(tokens, **words)

        monkeypatch.setattr(session, "decode", slow)


def test_the_speed_up_is_that_of_the_calls(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plain(engine, SETTINGS[0], 42)
    for wrong, most in ((1000, 7), (1, 7), (2, 1)):
        below = engine.session(n_ctx=128)
        clock = Slow(below, monkeypatch)
        session = SpeculativeSession(below, Told([*PROMPT, *wanted], wrong), most)
        assert list(generate(session, PROMPT, Sampler(SETTINGS[0]), 42)) == wanted
        assert session.guesses.speed_up == pytest.approx(41 / clock.now)
        assert session.guesses.calls > 0


def test_without_a_guess_nothing_is_said_of_speed(engine: Engine) -> None:
    session = SpeculativeSession(engine.session(n_ctx=128), Lookup(64), 7)
    list(generate(session, PROMPT, Sampler(SETTINGS[0]), 5))
    assert session.guesses.speed_up is None and session.guesses.line().endswith("0 of 0 guesses were right")


@pytest.mark.parametrize("n_batch", [1, 2, 5])
def test_guesses_and_their_token_are_one_batch(engine: Engine, n_batch: int) -> None:
    wanted = plain(engine, SETTINGS[0], 30)
    below = engine.session(n_ctx=128, n_batch=n_batch)
    session = SpeculativeSession(below, Told([*PROMPT, *wanted], 1000), 7)
    sizes: list[int] = []
    decode = below._call
    below._call = lambda call, *rest: (sizes.append(call.n_eval), decode(call, *rest))[1]  # type: ignore[method-assign]
    assert list(generate(session, PROMPT, Sampler(SETTINGS[0]), 30)) == wanted
    assert max(sizes) <= n_batch and len(sizes[-(-len(PROMPT) // n_batch) :]) == 29 - session.guesses.accepted
    assert (session.guesses.calls == 0) == (n_batch == 1)


def test_a_prompt_is_no_cost_of_a_guess(engine: Engine) -> None:
    session = engine.session(n_ctx=128)
    drafter = DraftModel(session, Sampler(SETTINGS[0]))
    text = plain(engine, SETTINGS[0], 40)
    drafter.prepare(text)
    assert session.n_past == 39
    found = drafter.guess(text, 3)
    drafter.prepare([*text, found[0], 5])
    assert list(session.tokens) == [*text, *found[:2]]  # what is lacking is the next guess's


@pytest.mark.parametrize(("catching_up", "asked_at"), [(0.0, [43, 76, 109]), (0.001, [43, 76, 109]), (0.5, [])])
def test_a_drafter_that_never_pays_may_take_a_hundredth_of_the_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, catching_up: float, asked_at: list[int]
) -> None:
    asked: list[int] = []

    class Costly(Told):
        def prepare(self, tokens: Sequence[int]) -> None:
            clock.now += catching_up * (len(tokens) - (asked[-1] if asked else 0))

        def guess(self, tokens: Sequence[int], n: int) -> list[int]:
            asked.append(len(tokens))
            return super().guess(tokens, n)

    text = [*PROMPT, *plain(engine, SETTINGS[0], 110)]
    below = engine.session(n_ctx=128)
    clock = Slow(below, monkeypatch)
    session = SpeculativeSession(below, Costly(text, 1, Cost(0.0, 0.0)), 7)
    session._pace.right = 0.01
    session._catching_up = catching_up
    list(generate(session, PROMPT, Sampler(SETTINGS[0]), 110))
    assert asked == asked_at and session.guesses.drafted == len(asked_at)
    assert clock.now <= 1.01 * (10 + 108)


def test_a_copy_with_other_names_goes_on() -> None:
    source = list(range(100, 140))
    lookup, text = Lookup(3), [*source, 7]
    for i, token in enumerate(source):
        guess = lookup.guess(text, 2)
        if i in (13, 14):  # behind one that is another and two
            assert guess == [token, source[i + 1]]
        if 3 <= i < 12:
            assert guess[0] == token
        text.append(9 if i in (12, 13, 20, 21, 22) else token)
        assert i not in (22, 23, 24) or lookup.guess(text, 2) == [], (
            "three others end it, and three that are equal renew it"
        )
    assert lookup.guess(text[:-1], 1) == [139]
    assert Lookup(3).guess([1, 2, 3, 4, 1, 2, 3, 9], 2) == []  # four tokens are no copy


def test_what_is_wrong_with_a_draft_is_said_of_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    session = engine.session(n_ctx=16)
    monkeypatch.setattr(session, "sync", lambda tokens: np.full(engine.config.vocab_size, np.nan, np.float32))
    with pytest.raises(Q4Error, match=r"\.gguf: the logit of token 0 "):
        DraftModel(session, Sampler(SETTINGS[0])).guess([1, 2], 1)


def test_a_draft_has_the_same_vocabulary(engine: Engine, tiny: Path, tmp_path: Path) -> None:
    require_same_vocabulary(engine, engine)
    other = Engine.load(tiny, n_threads=1)
    tokens = other.tokenizer.vocabulary.tokens
    kept, tokens[3] = tokens[3], "another"
    with pytest.raises(Q4Error, match="token 3 is 'another'"):
        require_same_vocabulary(engine, other)
    tokens[3] = kept
    last = tokens.pop()
    with pytest.raises(Q4Error, match="a vocabulary of"):
        require_same_vocabulary(engine, other)
    tokens.append(last)


class Priced(Told):
    """A drafter by the clock: what it has not seen takes ``each`` seconds a token, a guess ``guess``."""

    def __init__(self, text: Sequence[int], cost: Cost, clock: Slow, each: float) -> None:
        super().__init__(text, 1000, cost)
        self._clock, self._each, self._seen = clock, each, 0
        self.asked: list[int] = []

    def prepare(self, tokens: Sequence[int]) -> None:
        self._clock.now += self._each * (len(tokens) - self._seen)
        self._seen = len(tokens)

    def guess(self, tokens: Sequence[int], n: int) -> list[int]:
        self.asked.append(len(tokens))
        found = super().guess(tokens, n)
        assert self._cost is not None
        self._clock.now += self._cost.token * len(found)
        return found


LONG = [3 + i * 7 % 50 for i in range(60)]


@pytest.mark.parametrize(
    ("token", "n_predict", "asked"),
    [
        (0.1, 60, True),
        (0.1, 8, False),  # its evaluation of the prompt takes 6 seconds, and 5 tokens save half of theirs
        (0.1, -1, True),
        (0.7, 60, False),  # may be right ever so often
        (0.7, -1, False),
    ],
)
def test_a_draft_evaluates_the_prompt_where_that_may_be_made_good(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, token: float, n_predict: int, asked: bool
) -> None:
    wanted = plain(engine, SETTINGS[0], n_predict, LONG)
    below = engine.session(n_ctx=128)
    clock = Slow(below, monkeypatch, prompt_token=0.1)
    drafter = Priced([*LONG, *wanted], Cost(token, 1.0), clock, 0.1)
    session = SpeculativeSession(below, drafter, 7)
    session.may_follow = n_predict
    assert list(generate(session, LONG, Sampler(SETTINGS[0]), n_predict)) == wanted
    assert bool(drafter.asked) == asked
    assert clock.now <= 6.0 + 10.0 + 1.01 * (len(wanted) - 2)  # the prompt, a first token, and single ones


def test_a_draft_that_was_left_out_is_asked_where_another_answer_is_long(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    below, sampler = engine.session(n_ctx=128), Sampler(SETTINGS[0])
    wanted = plain(engine, SETTINGS[0], 60, LONG)
    drafter = Priced([*LONG, *wanted], Cost(0.1, 1.0), Slow(below, monkeypatch, prompt_token=0.1), 0.1)
    session = SpeculativeSession(below, drafter, 7)
    talk = Conversation(engine, below, engine.tokenizer, None, sampler, speculation=session)
    assert list(talk.continue_from(LONG, 8)) == wanted[:8] and not drafter.asked
    assert list(talk.continue_from([*LONG, *wanted[:8]], 52)) == wanted[8:] and drafter.asked[0] == len(LONG) + 9


def test_what_a_draft_costs_follows_from_its_sizes(tmp_path: Path) -> None:
    target, draft = speculated.models(tmp_path, n_threads=1)
    assert cost_of(target, target) == Cost(1.0, 1.0)
    q_k_v, rest = 64 * (64 + 32 + 32), 64 * 64 + 3 * 64 * 96  # of the last layer the rest is the last token's alone
    assert (products_per_token(draft), products_per_token(target)) == (q_k_v, 2 * q_k_v + rest)
    assert cost_of(draft, target).prompt < cost_of(draft, target).token < 1.0  # both have the same output
    experts = Engine.load(write_tiny(tmp_path / "synthetic-moe.gguf", TINY_OLMOE), n_threads=1)
    assert products_per_token(experts) == 2 * 64 * 3 * 64 + 64 * (64 + 5) + 2 * 3 * 64 * 96
    assert Cost(0.25, 1.0).most_speed_up(3) == 4 / 1.75 and Cost(1.5, 1.0).most_speed_up(7) == 2 / 2.5


def test_drafters_are_what_they_say(engine: Engine) -> None:
    assert Lookup(3).cost(engine) is None
    assert DraftModel(engine.session(n_ctx=16), Sampler(SETTINGS[0])).cost(engine) == Cost(1.0, 1.0)
