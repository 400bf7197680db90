"""A conversation on one session: what a turn evaluates, and that reuse changes no answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from q4engine.conversation import Conversation, Message
from q4engine.engine import Call, Engine, Session
from q4engine.errors import ContextFullError, Q4Error
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.tokenizer import ChatTemplate


def conversation(engine: Engine, *, templated: bool) -> Conversation:
    template = ChatTemplate.from_gguf(engine.gguf, engine.tokenizer) if templated else None
    sampler = Sampler(SamplerSettings(temperature=0.0, repeat_penalty=1.3, repeat_last_n=-1))
    return Conversation(engine, engine.session(), engine.tokenizer, template, sampler)


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine.load(tiny, n_threads=1)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def answered(talk: Conversation, messages: list[Message], n_predict: int = 5) -> Message:
    """The answer as a message."""
    tokens = list(talk.answer(messages, n_predict))
    return {"role": "assistant", "content": talk.tokenizer.decode(tokens)}


class Calls:
    """The calls that a session makes."""

    def __init__(self, session: Session) -> None:
        self.made: list[Call] = []
        session.observers.append(self)

    def before(self, call: Call) -> None:
        self.made.append(call)

    def after(self, call: Call) -> None:
        pass


@pytest.mark.parametrize("templated", [True, False])
def test_a_turn_evaluates_what_is_new_and_answers_as_if_from_the_start(engine: Engine, templated: bool) -> None:
    talk = conversation(engine, templated=templated)
    calls = Calls(talk.session)
    messages: list[Message] = []
    for text in ("abc", "def", "the quick brown fox"):
        messages.append(user(text))
        held, evaluated = list(talk.session.tokens), talk.timings.prompt.tokens
        calls.made.clear()
        reply = answered(talk, messages)
        assert reply == answered(conversation(engine, templated=templated), messages)
        first, *steps = calls.made
        assert first.phase == "prefill" and {call.phase for call in steps} == {"decode"}
        assert talk.timings.prompt.tokens - evaluated == first.n_eval
        kept = list(talk.session.tokens)[: first.n_past]
        assert kept == held[: first.n_past] and (not held or first.n_past > 0)
        messages.append(reply)


def test_the_same_question_again_evaluates_one_token(engine: Engine) -> None:
    talk = conversation(engine, templated=True)
    first = answered(talk, [user("abc")])
    calls = Calls(talk.session)
    assert answered(talk, [user("abc")]) == first
    assert calls.made[0].n_eval == 1 and calls.made[0].phase == "prefill"


def test_another_beginning_keeps_nothing_of_the_answer_before(engine: Engine) -> None:
    talk = conversation(engine, templated=False)
    answered(talk, [user("abc")])
    assert answered(talk, [user("xyz")]) == answered(conversation(engine, templated=False), [user("xyz")])


def test_a_text_is_completed_behind_one_begin_token(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = conversation(engine, templated=False)
    plain = list(talk.complete("abc", 0).prompt)
    monkeypatch.setattr(engine.tokenizer, "add_bos", True)
    bos = engine.tokenizer.vocabulary.bos_id
    assert bos is not None and list(talk.complete("abc", 0).prompt) == [bos, *plain]
    text = engine.tokenizer.token_bytes(bos).decode()
    assert list(talk.complete(text + "abc", 0).prompt) == [bos, *plain]


def test_a_text_without_tokens_is_an_error(engine: Engine) -> None:
    talk = conversation(engine, templated=False)
    empty: Sequence[Message] = [user("")]
    for begin in (lambda: talk.complete(""), lambda: talk.answer(empty)):
        with pytest.raises(Q4Error, match="the prompt is empty"):
            begin()


def test_a_prompt_beyond_the_context_is_counted_no_further(engine: Engine) -> None:
    talk = conversation(engine, templated=False)
    n_ctx = talk.session.n_ctx
    with pytest.raises(ContextFullError, match=rf"{n_ctx + 1} or more were given, it holds {n_ctx} \(set by -c\)"):
        talk.complete("0 1 " * 1_000)


def test_a_prompt_far_beyond_the_context_is_bounded_by_its_letters(engine: Engine) -> None:
    talk = conversation(engine, templated=False)
    text = "0 1 " * 20_000
    with pytest.raises(ContextFullError, match=r"\d+ or more were given") as refused:
        talk.complete(text)
    given = int(str(refused.value).split(" or more")[0].split()[-1])
    assert talk.session.n_ctx + 1 < given <= len(engine.tokenizer.encode(text))
