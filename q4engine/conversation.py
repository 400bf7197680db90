"""A conversation: texts in, generations out, on one session that keeps what the next text has in common with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from q4engine.errors import ContextFullError, Q4Error, TooManyTokensError
from q4engine.generate import Generation, Timings, generate

if TYPE_CHECKING:
    from q4engine.engine import Engine, Session
    from q4engine.sampling import Sampler
    from q4engine.speculation import SpeculativeSession
    from q4engine.tokenizer import ChatTemplate, Tokenizer

Message = dict[str, str]
"""role ("system", "user" or "assistant") and content."""


def own_bos(tokenizer: Tokenizer) -> str:
    """What is to be said of a text that brings its own begin token."""
    bos = tokenizer.vocabulary.bos_id
    text = "" if bos is None else tokenizer.token_bytes(bos).decode("utf-8", "replace")
    return f"the text begins with {text} itself, so no second begin token is put before it"


@dataclass
class Conversation:
    """An engine, its one session and the timings of all turns. Without a template texts are used as they are."""

    engine: Engine
    session: Session
    tokenizer: Tokenizer
    template: ChatTemplate | None
    sampler: Sampler
    timings: Timings = field(default_factory=Timings)
    speculation: SpeculativeSession | None = None
    """Over ``session``, where tokens are guessed."""
    own_bos: bool = False
    """Whether the last text brought the begin token that the model would have got."""

    def answer(self, talk: Sequence[Message], n_predict: int = -1) -> Generation:
        """What comes after all messages of a talk so far; only what the session does not hold yet is evaluated."""
        return self.continue_from(self.tokens_of(talk), n_predict)

    def complete(self, text: str, n_predict: int = -1) -> Generation:
        """What comes after a text. Q4Error where it has no tokens."""
        return self.continue_from(self._tokenise(text), n_predict)

    def tokens_of(self, talk: Sequence[Message]) -> list[int]:
        """The prompt that asks for what comes after a talk. ContextFullError where the context never holds it."""
        if self.template is not None:
            return self._tokenise(self.template.render(list(talk)))
        return self._tokenise("".join(message["content"] for message in talk))

    def continue_from(self, prompt: Sequence[int], n_predict: int = -1) -> Generation:
        """What comes after a prompt's tokens."""
        self.sampler.begin()
        session = self.speculation or self.session
        if self.speculation is not None:
            self.speculation.may_follow = n_predict
        found = generate(session, prompt, self.sampler, n_predict, self.tokenizer.stop_ids, self.timings)
        if self.speculation is not None:
            found.at_end = self.speculation.settle
        return found

    def _tokenise(self, text: str) -> list[int]:
        """A begin token belongs before it unless it is there."""
        with self.timings.tokenise.measured(0):
            try:
                ids = self.tokenizer.encode(text, add_bos=False, most=self.session.n_ctx)
            except TooManyTokensError as error:
                raise ContextFullError(0, error.at_least, self.session.n_ctx, or_more=True) from None
            bos = self.tokenizer.vocabulary.bos_id
            self.own_bos = self.tokenizer.add_bos and bos is not None and ids[:1] == [bos]
            if self.tokenizer.add_bos and bos is not None and not self.own_bos:
                ids.insert(0, bos)
        self.timings.tokenise.tokens += len(ids)
        if not ids:
            raise Q4Error("the prompt is empty")
        return ids
