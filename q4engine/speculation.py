"""Speculation without loss: the next tokens are guessed, and several are evaluated in one call.

A call of a few tokens reads the weights once, as a single token's does. What the sampler draws is compared with the
guess; equal ones need no call of their own, and the first other one takes the place of those that were guessed behind
it. Logits do not depend on how tokens are batched (docs/arithmetic.md), and the sampler draws once a position, so the
text is that of single tokens, bit for bit, at any temperature.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from q4engine.errors import Q4Error

if TYPE_CHECKING:
    import numpy as np

    from q4engine.draft_cost import Cost
    from q4engine.engine import Engine, Phase, Session
    from q4engine.sampling import Sampler

MAX_GUESSES = 16
_AT_ONCE = 1 + MAX_GUESSES  # tokens that a drafter has not seen and takes up as a part of its guess
_MEMORY = 0.1  # weight of the newest observation in an average
_HICCUP = 2.0  # times the average: what an observation counts for at most, since others may take the CPU for a while
_FIRST_GUESS = 0.6  # how often guesses are taken to be right before any was checked
_FIRST_DRAFT = 0.8  # the same of a model's, whose evaluation of the prompt is not paid for less
_BELIEVED = 2  # checks that this counts for: a text whose guesses are all wrong loses 1 to 2 tokens' time to learn it
_MORE = 0.2  # of a single token's time: what each further token of a call is taken to cost before it was measured
_PLAIN_FIRST = 2  # calls of a single token that tell its time
_COPYING, _OTHERS = 8, 2  # tokens that make a copy, which so many others in a row do not end
_RETRY = 32  # tokens after which a drafter that did not pay is asked again, as far as that may cost
_LOSS = 0.01  # of the time so far: what a drafter that costs time may take beyond what it saved, to be asked again
_WORTH = (
    1.05  # the speed over single tokens from which such a drafter pays: less is lost where it pauses and catches up
)


class Drafter(Protocol):
    """Guesses tokens. What it says is never trusted."""

    def cost(self, model: Engine) -> Cost | None:
        """What its guesses cost beside the model's own work; None where they take no time that counts."""
        ...

    def prepare(self, tokens: Sequence[int]) -> None:
        """Does what a guess behind these tokens needs and a drafter that is asked each time has done before."""
        ...

    def guess(self, tokens: Sequence[int], n: int) -> list[int]:
        """At most ``n`` tokens that may follow; none where it has no idea."""
        ...


class Lookup:
    """Guesses that what followed the last ``length`` tokens before follows them again: a table of n-grams.

    A text that has copied some tokens and then says something else for one or two of them (a name, a number) is taken
    to go on with the copy.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._behind: dict[tuple[int, ...], int] = {}  # n-gram: where what followed its last occurrence stands
        self._n, self._last = 0, -1
        self._at: int | None = None  # where what is copied goes on
        self._copied = self._other = 0  # tokens that were copied since it began; others in a row since

    def cost(self, model: Engine) -> Cost | None:
        return None

    def prepare(self, tokens: Sequence[int]) -> None:
        self._read(tokens)

    def guess(self, tokens: Sequence[int], n: int) -> list[int]:
        self._read(tokens)
        at = self._behind.get(tuple(tokens[-self._length :]))
        if at is not None:
            if at != self._at:
                self._copied = 0
            self._at, self._other = at, 0
        if self._at is None:
            return []
        at = self._at
        found = list(tokens[at : at + n])
        while len(found) < n:  # it overlaps with what it continues
            found.append(found[at + len(found) - len(tokens)])
        return found

    def _read(self, tokens: Sequence[int]) -> None:
        """Takes up the n-grams that something follows; all of them where the text is another one."""
        if len(tokens) < self._n or (self._n and tokens[self._n - 1] != self._last):
            self._behind.clear()
            self._n, self._at = 0, None
        for end in range(max(self._n, self._length), len(tokens)):
            self._behind[tuple(tokens[end - self._length : end])] = end
        for token in tokens[self._n :] if self._at is not None else ():
            self._follow(token, tokens)
        self._n, self._last = len(tokens), tokens[-1] if tokens else -1

    def _follow(self, token: int, tokens: Sequence[int]) -> None:
        """One more token of the text: whether it is still the one that is copied."""
        if self._at is None:
            return
        if tokens[self._at] == token:
            self._copied, self._other = self._copied + 1, 0
        else:
            self._other += 1
        lost = self._other > _OTHERS or (self._other and self._copied < _COPYING)
        self._at = None if lost else self._at + 1


class DraftModel:
    """Guesses what a smaller model says, which draws as the sampler would."""

    def __init__(self, session: Session, sampler: Sampler) -> None:
        self._session = session
        self._sampler = sampler  # whose state is copied, never changed

    def cost(self, model: Engine) -> Cost | None:
        from q4engine.draft_cost import cost_of

        return cost_of(self._session.engine, model)

    def prepare(self, tokens: Sequence[int]) -> None:
        if len(tokens) - self._session.held(tokens) > _AT_ONCE:
            with self._named():
                self._session.sync(tokens[:-1])

    def guess(self, tokens: Sequence[int], n: int) -> list[int]:
        session, sampler = self._session, self._sampler.fork()
        with self._named():
            logits = session.sync(tokens)
            found = [sampler.sample(logits, session.tokens)]
            while len(found) < n and session.n_past < session.n_ctx:
                logits = session.decode(found[-1:])
                found.append(sampler.sample(logits, session.tokens))
        return found

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What is wrong with it is not said of the model whose text it is."""
        try:
            yield
        except Q4Error as error:
            path = str(self._session.engine.gguf.path)
            raise Q4Error(str(error) if path in str(error) else f"{path}: {error}") from None


def require_same_vocabulary(engine: Engine, draft: Engine) -> None:
    """Q4Error where tokens of the one are not those of the other."""
    ours, theirs = engine.tokenizer.vocabulary, draft.tokenizer.vocabulary
    if len(ours) != len(theirs):
        raise Q4Error(
            f"{draft.gguf.path}: a vocabulary of {len(theirs)} tokens, expected the model's {len(ours)}; "
            "a draft model shares its vocabulary"
        )
    for token in range(len(ours)):
        if ours.tokens[token] != theirs.tokens[token]:
            raise Q4Error(
                f"{draft.gguf.path}: token {token} is {theirs.tokens[token]!r}, expected the model's "
                f"{ours.tokens[token]!r}; a draft model shares its vocabulary"
            )


class _Pace:
    """How many guesses pay: by how often they were right, and by what calls of so many tokens took."""

    def __init__(self, most: int, right: float = _FIRST_GUESS, guess: float = 0.0) -> None:
        """``guess``: what one is taken to cost before any was made, of a single token's time."""
        self._most = most
        self.right = right
        self._first_guess = guess
        self._checked = _BELIEVED
        self._seconds: dict[int, float] = {}  # of a call, by its tokens
        self._calls: dict[int, int] = {}  # how many such calls there were
        self._guessing: float | None = None  # seconds a guess

    @property
    def single(self) -> float:
        """Seconds of a call of one token; 0 before there was one."""
        return self._seconds.get(1, 0.0)

    def called(self, tokens: int, seconds: float) -> None:
        """The lesser of the first two counts, for the first finds nothing in the caches; then the average."""
        calls = self._calls[tokens] = self._calls.get(tokens, 0) + 1
        known = self._seconds.get(tokens, seconds)
        self._seconds[tokens] = min(known, seconds) if calls <= 2 else _average(known, seconds)

    def guessed(self, n: int, seconds: float) -> None:
        self._guessing = _average(self._guessing, seconds / n)

    def checked(self, right: bool) -> None:
        self._checked += 1
        self.right += max(_MEMORY, 1 / self._checked) * (right - self.right)

    def best(self, most: int, worth: float = 1.0) -> int:
        """The number of guesses, 0 to ``most``, with the most tokens a second; 0 where that is not ``worth`` times."""
        n = max(range(min(most, self._most) + 1), key=self._rate)
        return n if self._rate(n) > worth * self._rate(0) else 0

    def saved(self, n: int) -> float:
        """Seconds a token that so many guesses save over single tokens."""
        return 1.0 / self._rate(0) - 1.0 / self._rate(n)

    def saved_at_most(self, most: int) -> float:
        """The same of the best number up to ``most`` where all guesses are right."""
        return 1.0 / self._rate(0) - 1.0 / max(self._rate(n, 1.0) for n in range(min(most, self._most) + 1))

    def prompt_token(self, seconds: float) -> float:
        """Of one in a prompt, by what was measured; it takes no longer than a further token of a small call."""
        return min(seconds, _MORE * self.single)

    def _rate(self, n: int, right: float | None = None) -> float:
        p = min(self.right if right is None else right, 0.99)
        tokens = (1.0 - p ** (n + 1)) / (1.0 - p)
        guessing = self._first_guess * self.single if self._guessing is None else self._guessing
        return tokens / (self._time(n + 1) + n * guessing)

    def _time(self, tokens: int) -> float:
        """Measured; else from the nearest fewer that were, and no less than what more of them took in proportion."""
        if tokens in self._seconds:
            return self._seconds[tokens]
        below = max(n for n in self._seconds if n < tokens)
        return self._seconds[below] + (tokens - below) * _MORE * self.single


def _average(old: float | None, new: float) -> float:
    return new if old is None else old + _MEMORY * (min(new, _HICCUP * old) - old)


@dataclass
class Guesses:
    """What came of speculation."""

    drafted: int = 0
    accepted: int = 0
    calls: int = 0
    """That evaluated guesses."""
    tokens: int = 0
    seconds: float = 0.0
    single_tokens: int = 0
    single_seconds: float = 0.0
    """Of the tokens that had a call of their own; the first of them is left out where there are others."""

    @property
    def speed_up(self) -> float | None:
        """Over single tokens, by the time of those that had a call of their own; None where no guess was evaluated."""
        if not self.calls or not self.seconds:
            return None
        return self.tokens * self.single_seconds / self.single_tokens / self.seconds

    def as_dict(self) -> dict[str, object]:
        return {"drafted": self.drafted, "accepted": self.accepted, "calls": self.calls, "speed_up": self.speed_up}

    def line(self) -> str:
        """For the summary."""
        share = f" ({self.accepted / self.drafted:.1%})" if self.drafted else ""
        speed_up = "" if self.speed_up is None else f", {self.speed_up:.2f} x the speed of single tokens"
        return f"{'speculation':>16}      = {self.accepted} of {self.drafted} guesses were right{share}{speed_up}"


class SpeculativeSession:
    """A session that evaluates guesses along; for :func:`q4engine.generate.generate` it is like any other.

    The session below may hold guesses behind ``tokens`` until :meth:`settle`.
    """

    def __init__(self, session: Session, drafter: Drafter, most: int) -> None:
        self.session = session
        self.guesses = Guesses()
        self.n_ctx = session.n_ctx
        self.may_follow = -1
        """Tokens that may be generated behind the next prompt; -1: until the context is full."""
        self._drafter = drafter
        self._cost = drafter.cost(session.engine)
        self._pace = _Pace(most) if self._cost is None else _Pace(most, _FIRST_DRAFT, self._cost.token)
        self._tokens: list[int] = list(session.tokens)
        self._guess: list[int] = []  # that was evaluated behind them
        self._rows: list[np.ndarray] = []  # logits behind the first, second, … of it
        self._shadow: int | None = None  # a guess that was not evaluated
        self._single_calls = 0
        self._end = session.n_ctx  # tokens of prompt and text at most
        self._prompt_token = 0.0  # seconds of one in the model's own prompt
        self._idle = 0  # tokens since a costly drafter was asked last
        self._lost = 0.0  # seconds that it took and did not save
        self._seen = 0  # tokens of the text that it knows
        self._catching_up: float | None = None  # seconds a token that it had not seen

    @property
    def tokens(self) -> Sequence[int]:
        return self._tokens

    def adopt(self) -> None:
        """What the session below holds is the text."""
        self._guess, self._rows, self._shadow = [], [], None
        self._tokens, self._seen = list(self.session.tokens), 0

    def settle(self) -> None:
        """Guesses that nobody has drawn are forgotten."""
        self._guess, self._rows = [], []
        if self.session.n_past > len(self._tokens):
            self.session.truncate(len(self._tokens))

    def held(self, tokens: Sequence[int]) -> int:
        self.settle()
        return self.session.held(tokens)

    def sync(self, tokens: Sequence[int], *, phase: Phase) -> np.ndarray:
        self.settle()
        self._seen = min(self._seen, self.session.in_common(tokens))
        start, new = time.perf_counter(), len(tokens) - self.session.held(tokens)
        logits = self.session.sync(tokens, phase=phase)
        self._prompt_token = (time.perf_counter() - start) / max(1, new)
        self._end = self.n_ctx if self.may_follow < 0 else min(self.n_ctx, len(tokens) + self.may_follow)
        self._tokens = list(tokens)
        self._shadow = None
        return logits

    def decode(self, tokens: Sequence[int], *, phase: Phase) -> np.ndarray:
        """One token, which may have been guessed before."""
        (token,) = tokens
        start = time.perf_counter()
        self.guesses.tokens += 1
        try:
            return self._accepted(token) if self._is_next(token) else self._evaluate(token, phase)
        finally:
            self.guesses.seconds += time.perf_counter() - start

    def _is_next(self, token: int) -> bool:
        """Whether it was guessed and evaluated; what is known of guesses learns of it."""
        guess = self._guess[0] if self._guess else self._shadow
        if guess is not None:
            self._pace.checked(guess == token)
        self._shadow = None
        return bool(self._guess) and guess == token

    def _accepted(self, token: int) -> np.ndarray:
        self.guesses.accepted += 1
        self._lost = max(self._lost - self._pace.single, 0.0)
        self._tokens.append(token)
        del self._guess[0]
        return self._rows.pop(0)

    def _evaluate(self, token: int, phase: Phase) -> np.ndarray:
        self.settle()
        guess = self._new_guess([*self._tokens, token])
        start = time.perf_counter()
        if guess:
            rows = list(self.session.decode([token, *guess], all_logits=True, phase="verify"))
            self.guesses.drafted += len(guess)
            self.guesses.calls += 1
            self._lost += time.perf_counter() - start - self._pace.single
        else:
            rows = [self.session.decode([token], phase=phase)]
            self._single(time.perf_counter() - start)
        self._pace.called(1 + len(guess), time.perf_counter() - start)
        self._tokens.append(token)
        self._guess, self._rows = guess, rows[1:]
        first: np.ndarray = rows[0]
        return first

    def _single(self, seconds: float) -> None:
        told, self._single_calls = self.guesses, self._single_calls + 1
        if self._single_calls == 2:
            told.single_tokens, told.single_seconds = 0, 0.0
        told.single_tokens += 1
        told.single_seconds += seconds

    def _new_guess(self, tokens: Sequence[int]) -> list[int]:
        """What to evaluate behind the last of the tokens, in one call with it."""
        room = min(self.n_ctx - len(tokens), self.session.n_batch - 1, MAX_GUESSES)
        if room <= 0 or self._single_calls < _PLAIN_FIRST:
            return []
        if self._cost is not None:
            n = self._paying(self._cost, len(tokens), room)
            if n:
                return self._asked(tokens, n)
            self._idle += 1
            return []
        n = self._pace.best(room)
        guess = self._drafter.guess(tokens, max(n, 1))
        if n == 0 and guess:
            self._shadow = guess[0]
        return guess[:n]

    def _paying(self, cost: Cost, held: int, room: int) -> int:
        """How many guesses of a costly drafter pay behind so many tokens, with what it has to evaluate before them.

        Where none do, 1 now and then, as far as that costs little beside the time so far and may be made good.
        """
        each = self._catching_up
        if each is None:
            each = cost.prompt * self._pace.prompt_token(self._prompt_token)
        unseen, left = held - self._seen, self._end - held
        before = unseen * each if unseen > _AT_ONCE else 0.0
        n = self._pace.best(room, _WORTH)
        if n and left * self._pace.saved(n) >= before:
            return n
        affordable = self._idle >= _RETRY and self._lost + before <= _LOSS * self.guesses.seconds
        return int(affordable and left * self._pace.saved_at_most(room) > before)

    def _asked(self, tokens: Sequence[int], n: int) -> list[int]:
        """Of a costly drafter."""
        start = time.perf_counter()
        self._drafter.prepare(tokens)
        ready = time.perf_counter()
        guess = self._drafter.guess(tokens, n)
        end = time.perf_counter()
        if guess:
            self._pace.guessed(len(guess), end - ready)
        if len(tokens) - self._seen > _AT_ONCE:
            self._catching_up = (ready - start) / (len(tokens) - self._seen)
        self._lost += end - start
        self._idle, self._seen = 0, len(tokens)
        return guess
