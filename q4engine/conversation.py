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
    from q4engine.tokenizer import ChatTemplate, Tokenizer

Message = dict[str, str]
"""role ("system", "user" or "assistant") and content."""


@dataclass
class Conversation:
    """An engine, its one session and the timings of all turns. Without a template texts are used as they are."""

    engine: Engine
    session: Session
    tokenizer: Tokenizer
    template: ChatTemplate | None
    sampler: Sampler
    timings: Timings = field(default_factory=Timings)

    def answer(self, talk: Sequence[Message], n_predict: int = -1) -> Generation:
        """What comes after all messages of a talk so far; only what the session does not hold yet is evaluated."""
        if self.template is not None:
            return self.complete(self.template.render(list(talk)), n_predict)
        return self.complete("".join(message["content"] for message in talk), n_predict)

    def complete(self, text: str, n_predict: int = -1) -> Generation:
        """What comes after a text. Q4Error where it has no tokens."""
        prompt = self._tokenise(text)
        return generate(self.session, prompt, self.sampler, n_predict, self.tokenizer.stop_ids, self.timings)

    def _tokenise(self, text: str) -> list[int]:
        """A begin token belongs before it unless it is there."""
        with self.timings.tokenise.measured(0):
            try:
                ids = self.tokenizer.encode(text, add_bos=False, most=self.session.n_ctx)
            except TooManyTokensError as error:
                raise ContextFullError(0, error.at_least, self.session.n_ctx, or_more=True) from None
            bos = self.tokenizer.vocabulary.bos_id
            if self.tokenizer.add_bos and bos is not None and ids[:1] != [bos]:
                ids.insert(0, bos)
        self.timings.tokenise.tokens += len(ids)
        if not ids:
            raise Q4Error("the prompt is empty")
        return ids
