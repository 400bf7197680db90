"""What ``from q4engine import Engine`` gives: texts in and out, piece by piece, from several threads."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import q4engine
from q4engine import Engine, Q4Error, SamplerSettings
from q4engine.conversation import Conversation
from q4engine.errors import ContextFullError
from q4engine.sampling import Sampler
from q4engine.tokenizer import ChatTemplate


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[Engine]:
    with Engine.load(tiny, n_threads=1) as loaded:
        yield loaded


def test_names_are_there_and_cost_nothing_until_they_are_used() -> None:
    assert {"Engine", "Q4Error", "SamplerSettings", "__version__"} <= set(dir(q4engine))
    with pytest.raises(AttributeError, match="module 'q4engine' has no attribute 'Enginee'"):
        _ = q4engine.Enginee  # type: ignore[attr-defined]
    code = "import sys, q4engine; assert 'numpy' not in sys.modules; q4engine.Engine; assert 'numpy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_text_goes_on(engine: Engine) -> None:
    text = engine.generate("abc", n_predict=8, temperature=0)
    session, sampler = engine.session(), Sampler(SamplerSettings(temperature=0.0))
    below = Conversation(engine, session, engine.tokenizer, None, sampler).complete("abc", 8)
    decoder = engine.tokenizer.stream_decoder()
    assert text == "".join(map(decoder.push, below)) + decoder.flush() != ""
    assert engine.generate("abc", n_predict=8, settings=SamplerSettings(temperature=0.0)) == text
    seeded = [engine.generate("abc", n_predict=8, seed=seed, temperature=2.0) for seed in (1, 1, 2)]
    assert seeded[0] == seeded[1] != seeded[2]


def test_a_talk_is_answered(engine: Engine) -> None:
    how = {"n_predict": 8, "temperature": 0, "chat_template": "chatml"}
    answer = engine.chat("abc", **how)
    assert answer == engine.chat([{"role": "user", "content": "abc"}], **how)
    assert answer != engine.chat([{"role": "system", "content": "x"}, {"role": "user", "content": "abc"}], **how)
    plain = ChatTemplate.from_gguf(engine.gguf, engine.tokenizer).render([{"role": "user", "content": "abc"}])
    assert engine.chat("abc", n_predict=4, temperature=0) == engine.generate(plain, n_predict=4, temperature=0)


def test_pieces_are_the_text(engine: Engine) -> None:
    stream = engine.stream("abc", n_predict=9, seed=3)
    pieces = list(stream)
    assert "".join(pieces) == stream.text != "" and len(pieces) > 1
    assert (len(stream.tokens), stream.stop_reason, stream.seed) == (9, "length", 3)
    assert stream.timings.evaluate.tokens == 8
    assert repr(stream).startswith("<Stream 9 tokens, length: '") and list(stream) == []


def test_texts_that_end_an_answer_are_not_in_it(engine: Engine) -> None:
    whole = engine.generate("abc", n_predict=20, seed=3)
    for end in (whole[7:10], whole[4], whole[9:13]):
        stream = engine.stream("abc", n_predict=20, seed=3, stop=["\0never", end])
        assert stream.read() == whole[: whole.find(end)] and stream.stop_reason == "reverse prompt"
        assert not any(end in piece for piece in [stream.text])
    assert engine.generate("abc", n_predict=20, seed=3, stop="\0never") == whole


def test_what_is_held_is_not_evaluated_again(engine: Engine) -> None:
    first = engine.stream("abcdefgh" * 4, n_predict=2, n_ctx=100)
    first.read()
    again = engine.stream("abcdefgh" * 4, n_predict=2, n_ctx=100)
    again.read()
    assert first.timings.prompt.tokens > 10 and again.timings.prompt.tokens == 1
    broken_off = iter(engine.stream("abc", n_predict=50, n_ctx=100))
    next(broken_off)
    other = engine.stream("abc", n_predict=2, n_ctx=100)
    assert other._conversation.session is not again._conversation.session


def test_a_form_is_kept_to(engine: Engine) -> None:
    pytest.importorskip("llguidance", reason="llguidance is not installed (the extra grammar)")
    assert engine.generate("abc", n_predict=9, grammar='root ::= "yes" | "no"') in ("yes", "no")
    assert engine.chat("abc", n_predict=9, json_schema={"enum": [1, 22]}) in ("1", "22")
    assert engine.chat("abc", n_predict=9, json_schema='{"enum": [1, 22]}') in ("1", "22")


def test_threads_and_asyncio(engine: Engine) -> None:
    wanted = engine.generate("abc", n_predict=12, temperature=0)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(engine.generate("abc", n_predict=12, temperature=0)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 6

    async def both() -> list[str]:
        calls = (asyncio.to_thread(engine.generate, "abc", n_predict=12, temperature=0) for _ in range(2))
        return await asyncio.gather(*calls)

    assert asyncio.run(both()) == [wanted] * 2


def test_mistakes(engine: Engine, tiny: Path) -> None:
    with pytest.raises(Q4Error, match="top_p is 2"):
        engine.generate("abc", top_p=2)
    with pytest.raises(TypeError, match="topp"):
        engine.generate("abc", topp=0.5)
    with pytest.raises(ContextFullError):
        engine.generate("abc" * 100, n_ctx=16)
    with pytest.raises(TypeError, match=r"expected token ids, got text: engine\.tokenizer\.encode"):
        engine.session().decode("abc")  # type: ignore[arg-type]
    closed = Engine.load(tiny, n_threads=1)
    closed.generate("abc", n_predict=1)
    closed.close()
    with pytest.raises(Q4Error, match="the engine was closed"):
        closed.generate("abc")


TALK = [{"role": "user", "content": "abc"}]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (b"abc", "expected a text or a list of messages, got bytes"),
        (None, "expected a text or a list of messages, got NoneType"),
        (TALK[0], "expected a text or a list of messages, got dict"),
        ([], "there are no messages to answer"),
        (["abc"], "message 0 is 'abc', expected a dict of role and content"),
        ([*TALK, {"role": "user"}], "the content of message 1 is missing, expected a text"),
        (
            [{"role": "user", "content": [{"text": "x"}]}],
            "the content of message 0 is [{'text': 'x'}], expected a text",
        ),
    ],
)
def test_prompts_that_are_none(engine: Engine, prompt: Any, message: str) -> None:
    for ask in (engine.generate, engine.chat):
        with pytest.raises((TypeError, Q4Error)) as caught:
            ask(prompt, n_predict=2)
        assert str(caught.value) == message
    how = {"n_predict": 2, "temperature": 0}
    assert engine.chat((message for message in TALK), **how) == engine.chat(tuple(TALK), **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"n_predict": "5"}, "n_predict is '5', expected an integer, -1 or more"),
        ({"n_predict": 2.0}, "n_predict is 2.0, expected"),
        ({"n_predict": -5}, "n_predict is -5, expected"),
        ({"n_ctx": 64.0}, "a context of 64.0 tokens in batches of 512: expected integers"),
        ({"stop": [b"x"]}, "stop takes a text or several, got bytes"),
        ({"temperature": "hot"}, "temperature is 'hot', expected 0 to 1e+06"),
        ({"temperature": None}, "temperature is None, expected"),
        ({"top_k": 40.0}, "top_k is 40.0, expected an integer from 0 to "),
        ({"logit_bias": [1]}, "logit_bias is [1], expected numbers by the ids of tokens"),
        ({"logit_bias": {"a": 1}}, "logit_bias has the key 'a', expected the id of a token"),
        ({"logit_bias": {1: "x"}}, "the bias of token 1 is 'x', expected"),
        ({"samplers": "top_k"}, "samplers is 'top_k', expected a list of texts"),
        ({"dry_sequence_breakers": "abc"}, "dry_sequence_breakers is 'abc', expected a list of texts"),
        ({"grammar": b"x"}, "grammar takes a text, got bytes"),
        ({"grammar": 'root ::= "a"', "json_schema": {}}, "an answer keeps to a grammar or to a json_schema, both are"),
    ],
)
def test_what_is_of_another_kind(engine: Engine, how: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, Q4Error)) as caught:
        engine.generate("abc", **{"n_predict": 1, **how})
    assert str(caught.value).startswith(message)


def test_tokens_that_are_none(engine: Engine) -> None:
    session = engine.session(n_ctx=16)
    for tokens in (None, 5, [1.5], [[1, 2]], ["a"], {1, 2}, iter([1])):
        with pytest.raises(
            TypeError, match="expected token ids, a list of integers or an array of one dimension, got "
        ):
            session.decode(tokens)  # type: ignore[arg-type]
    with pytest.raises(Q4Error, match="there are no tokens to evaluate"):
        session.decode([])
    with pytest.raises(TypeError, match="expected token ids, got text"):
        engine.tokenizer.decode("abc")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a text, got bytes"):
        engine.tokenizer.encode(b"abc")  # type: ignore[arg-type]
    assert session.n_past == 0


def test_ways_to_an_engine_that_are_none(tiny: Path) -> None:
    with pytest.raises(TypeError, match=r"an engine comes from a file: Engine\.load\(path\)"):
        Engine(str(tiny))
    with pytest.raises(Q4Error, match="there is no backend 'cuda', expected native or numpy"):
        Engine.load(tiny, backend="cuda")  # type: ignore[arg-type]


def test_an_answer_that_outlives_its_engine(tiny: Path) -> None:
    """What it was made with goes with it: nothing is left for an engine that was closed."""
    engine = Engine.load(tiny, n_threads=1)
    pieces = iter(engine.stream("abc", n_predict=9, seed=1))
    next(pieces)
    engine.close()
    list(pieces)
    with pytest.raises(Q4Error, match="the engine was closed"):
        engine.generate("abc", n_predict=1)


def test_what_they_say_of_themselves(engine: Engine, tiny: Path) -> None:
    assert re.fullmatch(r"<Engine synthetic tiny\.gguf: llama, 1 threads, \w+>", repr(engine))
    session = engine.session(n_ctx=64)
    session.decode([5, 6])
    assert repr(session) == "<Session of synthetic tiny.gguf: 2 of 64 tokens>"
    assert repr(engine.tokenizer) == f"<Tokenizer of synthetic tiny.gguf: ByteLevelBPE, {len(engine.tokenizer)} tokens>"
    with Engine.load(tiny, n_threads=1) as other:
        pass
    assert repr(other) == "<Engine synthetic tiny.gguf: llama, closed>"
