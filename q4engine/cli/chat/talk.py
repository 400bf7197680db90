"""What was said so far, and how much of it the context holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from q4engine.conversation import Conversation, Message
from q4engine.errors import ContextFullError, Q4Error
from q4engine.generate import Generation

_LONGEST_RESERVE = 256  # tokens that are kept free for an answer
_AFTER_FORGETTING = 0.75  # of the context at most is then used, so that not each turn forgets and evaluates all anew


class Talk:
    """Messages of a conversation; the system message, if any, is the first and is never forgotten.

    n_predict: as of `generate`. keep: turns that lie within so many tokens from the beginning are not forgotten either;
    -1: the first turn.
    """

    def __init__(self, conversation: Conversation, n_predict: int, system: str | None, keep: int = 0) -> None:
        self.conversation = conversation
        self.n_predict = n_predict
        self.keep = keep
        self.messages: list[Message] = []
        if system is not None:
            self.set_system(system)

    @property
    def n_ctx(self) -> int:
        return self.conversation.session.n_ctx

    @property
    def system(self) -> str | None:
        """The system message."""
        first = self.messages[:1]
        return first[0]["content"] if first and first[0]["role"] == "system" else None

    def set_system(self, text: str) -> None:
        """Another system message; an empty one is none."""
        rest = self.messages[self.system is not None :]
        self.messages = [*([{"role": "system", "content": text}] if text else []), *rest]

    @property
    def has_answer(self) -> bool:
        return bool(self.messages) and self.messages[-1]["role"] == "assistant"

    def ask(self, question: str) -> tuple[Generation, int]:
        """The answer to come, and how many of the oldest turns were forgotten for it.

        Q4Error where the question cannot be asked (it alone is too long, the template refuses it): nothing has changed.
        """
        before = list(self.messages)
        self.messages.append({"role": "user", "content": question})
        try:
            tokens, forgotten = self._fitted()
        except Q4Error:
            self.messages = before
            raise
        return self.conversation.continue_from(tokens, self.n_predict), forgotten

    def answered(self, text: str) -> bool:
        """Keeps the answer to the last question; a question to which nothing was said is taken back, False."""
        if text:
            self.messages.append({"role": "assistant", "content": text})
        else:
            self.messages.pop()
        return bool(text)

    def take_back(self) -> str | None:
        """Removes the last question and its answer and returns the question; None where there is none."""
        at = self._turns()[-1:]
        if not at:
            return None
        question = self.messages[at[0]]["content"]
        del self.messages[at[0] :]
        return question

    def _turns(self) -> Sequence[int]:
        """Where the questions are."""
        return [at for at, message in enumerate(self.messages) if message["role"] == "user"]

    def _fitted(self) -> tuple[list[int], int]:
        """The prompt's tokens, with so many of the oldest turns forgotten that an answer has room."""
        reserve = min(_LONGEST_RESERVE if self.n_predict < 0 else self.n_predict, self.n_ctx // 4)
        forgotten = 0
        while True:
            limit = self.n_ctx if not forgotten else int(_AFTER_FORGETTING * self.n_ctx)
            turns = self._turns()
            kept = self._n_kept(turns)
            first = turns[kept] if kept else int(self.system is not None)  # what stands before a question goes first
            later = [at for at in turns if at > first]
            try:
                tokens = self.conversation.tokens_of(self.messages)
                if len(tokens) + reserve <= limit or (not later and len(tokens) < self.n_ctx):
                    return tokens, forgotten
                if not later:
                    raise ContextFullError(0, len(tokens), self.n_ctx)
            except ContextFullError:
                if not later:
                    raise
            del self.messages[first : later[0]]
            forgotten += 1

    def _n_kept(self, turns: Sequence[int]) -> int:
        """How many of the oldest turns are never forgotten; the last one, which is being asked, does not count."""
        if self.keep < 0:
            return min(1, len(turns) - 1)
        ends = (self._tokens_to(question) for question in turns[:-1]) if self.keep else ()
        return sum(1 for _ in takewhile(lambda end: end <= self.keep, ends))

    def _tokens_to(self, question: int) -> int:
        """Tokens of the talk up to the answer of that question."""
        answer = self.messages[question + 1]["content"]
        asked = self.conversation.tokens_of(self.messages[: question + 1])
        return len(asked) + len(self.conversation.tokenizer.encode(answer, add_bos=False))
