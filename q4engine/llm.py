"""The engine for who writes Python: ``from q4engine import Engine``. Text in, text out.

    with Engine.load("model.gguf") as engine:
        print(engine.generate("Once upon a time", n_predict=40, temperature=0))
        print(engine.chat("What is the capital of France?"))
        for piece in engine.stream([{"role": "user", "content": "Name three primes."}]):
            print(piece, end="", flush=True)

An engine may be asked by several threads at once: each answer has a session of its own, and calls queue for the
engine's threads. In asyncio, ``await asyncio.to_thread(engine.chat, question)``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from q4engine import engine as below
from q4engine.conversation import Conversation, Message
from q4engine.errors import Q4Error, shown
from q4engine.generate import Generation, StopReason, Timings
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.sampling.grammar import Grammar
from q4engine.tokenizer import ChatTemplate


class Engine(below.Engine):
    """A loaded model that answers. Use :meth:`load`; sessions and logits are those of :class:`engine.Engine`.

    What ``generate``, ``chat`` and ``stream`` take besides the text:

    - ``n_predict``: tokens at most; -1 (default) until the model ends or the context is full. ContextFullError where a
      number does not fit.
    - ``stop``: texts that end the answer, without them.
    - ``n_ctx``: tokens of context (default: the model's, up to 4096).
    - ``grammar`` (GBNF) or ``json_schema`` (text or a dict): what the answer keeps to; needs ``q4engine[grammar]``.
    - ``chat_template``: a name or file instead of the model's.
    - any field of :class:`SamplerSettings`: ``temperature``, ``top_k``, ``seed``, … or all of them as ``settings``.
    """

    def __init__(self, *loaded: Any) -> None:
        if len(loaded) < 2:
            raise TypeError("an engine comes from a file: Engine.load(path)")
        super().__init__(*loaded)
        self._idle: list[below.Session] = []
        self._template: ChatTemplate | None = None

    def generate(self, prompt: str, **how: Any) -> str:
        """What comes after a text, which is used as it is."""
        return self.stream(prompt, **how).read()

    def chat(self, messages: str | Iterable[Message], **how: Any) -> str:
        """The answer to a question, or to messages with ``role`` (system, user, assistant) and ``content``."""
        return self.stream(
            [{"role": "user", "content": messages}] if isinstance(messages, str) else messages, **how
        ).read()

    def stream(
        self,
        prompt: str | Iterable[Message],
        *,
        n_predict: int = -1,
        stop: str | Sequence[str] = (),
        n_ctx: int | None = None,
        grammar: str | None = None,
        json_schema: str | Mapping[str, Any] | None = None,
        chat_template: str | None = None,
        settings: SamplerSettings | None = None,
        **sampling: Any,
    ) -> Stream:
        """The answer piece by piece as it comes: to a text that goes on, or to the messages of a talk."""
        tokenizer, ends = self.tokenizer, _texts(stop)
        talk = None if isinstance(prompt, str) else _messages(prompt)
        sampler = Sampler(
            replace(settings or SamplerSettings(), **sampling), tokenizer, self._grammar(grammar, json_schema)
        )
        template = None if talk is None else self._template_of(chat_template)
        conversation = Conversation(self, self._session(n_ctx), tokenizer, template, sampler)
        try:
            if talk is None:
                generation = conversation.complete(str(prompt), n_predict)
            else:
                generation = conversation.answer(talk, n_predict)
        except BaseException:
            self._idle.append(conversation.session)
            raise
        return Stream(self, conversation, generation, ends)

    def _grammar(self, gbnf: str | None, json_schema: str | Mapping[str, Any] | None) -> Grammar | None:
        if gbnf is not None and json_schema is not None:
            raise Q4Error("an answer keeps to a grammar or to a json_schema, both are given")
        if gbnf is not None and not isinstance(gbnf, str):
            raise TypeError(f"grammar takes a text, got {type(gbnf).__name__}")
        if gbnf is not None:
            return Grammar.from_gbnf(gbnf, self.tokenizer)
        if json_schema is None:
            return None
        schema = json_schema if isinstance(json_schema, str) else json.dumps(json_schema)
        return Grammar.from_json_schema(schema, self.tokenizer)

    def _template_of(self, name: str | None) -> ChatTemplate:
        if name is not None:
            return ChatTemplate.named(name, self.tokenizer)
        if self._template is None:
            self._template = ChatTemplate.from_gguf(self.gguf, self.tokenizer)
        return self._template

    def _session(self, n_ctx: int | None) -> below.Session:
        """One that nobody uses: what it holds of the prompt is not evaluated again."""
        if self._closed:
            return self.session(n_ctx)  # which says so
        wanted = n_ctx or min(self.config.n_ctx_train, below.DEFAULT_CONTEXT)
        for session in list(self._idle):
            if session.n_ctx == wanted:
                try:
                    self._idle.remove(session)
                except ValueError:  # another thread has it
                    continue
                return session
        return self.session(n_ctx)

    def close(self) -> None:
        """As of the engine below; sessions that were kept go too."""
        self._idle.clear()
        super().close()


class Stream:
    """An answer as it comes: iterate over it once for its pieces of text. Breaking off is fine.

    ``text`` holds what came so far, ``tokens`` its ids, ``stop_reason`` says afterwards why it ended, ``timings`` where
    the time went, ``seed`` repeats it.
    """

    def __init__(self, engine: Engine, conversation: Conversation, generation: Generation, stop: Sequence[str]) -> None:
        self.text = ""
        self._engine = engine
        self._conversation = conversation
        self._generation = generation
        self._stop = [text for text in stop if text]
        self._pieces = self._run()

    @property
    def tokens(self) -> list[int]:
        return self._generation.tokens

    @property
    def stop_reason(self) -> StopReason:
        return self._generation.stop_reason

    @property
    def timings(self) -> Timings:
        return self._generation.timings

    @property
    def seed(self) -> int:
        return self._conversation.sampler.seed

    def read(self) -> str:
        """All of it."""
        for _ in self:
            pass
        return self.text

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __repr__(self) -> str:
        shown = self.text if len(self.text) <= 40 else self.text[:39] + "…"
        return f"<Stream {len(self.tokens)} tokens, {self.stop_reason}: {shown!r}>"

    def _run(self) -> Iterator[str]:
        decoder, held = self._conversation.tokenizer.stream_decoder(), ""
        longest = max(map(len, self._stop), default=1)
        try:
            for token in self._generation:
                held += decoder.push(token)
                if (end := min((at for at in map(held.find, self._stop) if at >= 0), default=-1)) >= 0:
                    self._generation.stop_reason = "reverse prompt"
                    held = held[:end]
                    break
                sure = max(len(held) - longest + 1, 0)  # the rest may be the beginning of a text that ends it
                if sure:
                    yield self._said(held[:sure])
                    held = held[sure:]
            else:
                held += decoder.flush()
            if held:
                yield self._said(held)
        finally:
            if not self._engine._closed:
                self._engine._idle.append(self._conversation.session)

    def _said(self, piece: str) -> str:
        self.text += piece
        return piece


def _messages(given: Iterable[Message]) -> list[Message]:
    """A talk, from any iterable. TypeError where it is none, Q4Error where a message is none."""
    if isinstance(given, (bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"expected a text or a list of messages, got {type(given).__name__}")
    talk = list(given)
    if not talk:
        raise Q4Error("there are no messages to answer")
    for at, message in enumerate(talk):
        if not isinstance(message, Mapping):
            raise Q4Error(f"message {at} is {_told(message)}, expected a dict of role and content")
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                found = _told(message[key]) if key in message else "missing"
                raise Q4Error(f"the {key} of message {at} is {found}, expected a text")
    return talk


def _texts(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """What ends an answer. TypeError for what is no text."""
    texts = (given,) if isinstance(given, str) else tuple(given or ())
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"stop takes a text or several, got {type(text).__name__}")
    return texts


def _told(value: object) -> str:
    return shown(repr(value))[1:-1]
