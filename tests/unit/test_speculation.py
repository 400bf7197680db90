"""Speculation: the text is that of single tokens whatever is guessed, and what is kept count of is what happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from q4engine.conversation import Conversation
from q4engine.engine import Call, Engine
from q4engine.errors import ContextFullError, Q4Error
from q4engine.generate import generate
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.speculation import Drafter, DraftModel, Lookup, SpeculativeSession, _Pace, require_same_vocabulary

PROMPT = [5, 9, 14, 5, 9, 14, 5, 9]
SETTINGS = (
    SamplerSettings(temperature=0.0),
    SamplerSettings(temperature=0.8, seed=1),
    SamplerSettings(temperature=0.8, seed=2, repeat_penalty=1.2),
    SamplerSettings(temperature=1.5, seed=3, top_k=0, top_p=1.0, min_p=0.0),
)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine.load(tiny, n_threads=1)


class Told:
    """Guesses what it was told to, from a text that begins with the prompt; wrong at every ``wrong``-th place."""

    costly = False

    def __init__(self, text: Sequence[int], wrong: int) -> None:
        self._text = text
        self._wrong = wrong

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
    session._pace._guessing = 0.0
    assert list(generate(session, PROMPT, sampler, 40)) == plain(engine, settings, 40)
    assert session.guesses.accepted >= session.guesses.drafted - 3  # the last are never drawn


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


def test_drafters_are_what_they_say() -> None:
    drafters: list[type[Drafter]] = [Lookup, DraftModel]
    assert [drafter.costly for drafter in drafters] == [False, True]
