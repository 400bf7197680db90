"""What ``from q4engine import Engine`` gives: texts in and out, piece by piece, from several threads."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

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


def test_what_they_say_of_themselves(engine: Engine, tiny: Path) -> None:
    assert re.fullmatch(r"<Engine synthetic tiny\.gguf: llama, 1 threads, \w+>", repr(engine))
    session = engine.session(n_ctx=64)
    session.decode([5, 6])
    assert repr(session) == "<Session of synthetic tiny.gguf: 2 of 64 tokens>"
    assert repr(engine.tokenizer) == f"<Tokenizer of synthetic tiny.gguf: ByteLevelBPE, {len(engine.tokenizer)} tokens>"
    with Engine.load(tiny, n_threads=1) as other:
        pass
    assert repr(other) == "<Engine synthetic tiny.gguf: llama, closed>"
