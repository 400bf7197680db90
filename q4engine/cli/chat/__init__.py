"""The chat of ``q4engine run`` in a terminal: questions, commands, answers, and a context that fills up."""

from __future__ import annotations

import argparse

from q4engine.cli.answer import finish, stream
from q4engine.cli.chat.commands import Leave, obey
from q4engine.cli.chat.questions import Questions, questions
from q4engine.cli.chat.talk import Talk
from q4engine.cli.options import note
from q4engine.conversation import Conversation
from q4engine.errors import ContextFullError, Q4Error
from q4engine.generate import Generation

_EXIT_INTERRUPTED = 130
_NEARLY_FULL = 0.75  # of the context, from which on it is said


def chat(args: argparse.Namespace, conversation: Conversation, first: str | None) -> int:
    """Asks, answers, until the input ends, /quit, or a second Ctrl-C. Returns the exit code."""
    talk = Talk(conversation, args.predict, args.system_prompt, args.keep)
    return Chat(args, talk, questions(args.multiline_input)).run(first)


class Chat:
    """A talk, its reader of questions, and what was last answered."""

    def __init__(self, args: argparse.Namespace, talk: Talk, asked: Questions) -> None:
        self.args = args
        self.talk = talk
        self.conversation = talk.conversation
        self.generation: Generation | None = None
        self._asked = asked
        self._interrupted = False  # by the last thing that happened
        self._told_nearly_full = False

    def run(self, first: str | None) -> int:
        """The loop; a first question is no command, whatever it begins with."""
        note("chat: /help lists commands, Ctrl-C stops an answer, Ctrl-D ends the chat")
        code = 0
        try:
            if first is not None:
                self.say(first)
            while not (self.args.single_turn and self.talk.has_answer):
                self._next()
        except Leave as leave:
            code = leave.code
        finish(self.args, self.conversation, None)
        return code

    def _next(self) -> None:
        try:
            text = self._asked.ask()
        except EOFError:
            raise Leave(0) from None
        except KeyboardInterrupt:
            if self._interrupted:
                raise Leave(_EXIT_INTERRUPTED) from None
            self._interrupted = True
            note("(Ctrl-C once more, Ctrl-D or /quit ends the chat)")
            return
        if not text.strip():
            return
        self._interrupted = False
        if text.startswith("/"):
            obey(self, text)
        else:
            self.say(text.removeprefix(" ") if text.startswith(" /") else text)

    def say(self, text: str) -> None:
        """Asks what was typed."""
        self.ask(self.args.in_prefix + text + self.args.in_suffix)

    def ask(self, question: str) -> bool:
        """Shows the answer; False where there is none. What goes wrong costs this question alone, and is one line."""
        try:
            self.generation, forgotten = self.talk.ask(question)
        except Q4Error as error:
            note(f"error: {error}")
            return False
        if forgotten:
            self._told_nearly_full = False
            turns = "the oldest turn is" if forgotten == 1 else f"the {forgotten} oldest turns are"
            note(f"note: the context of {self.talk.n_ctx} tokens is full: {turns} forgotten (-c sets its size)")
        parts: list[str] = []
        try:
            ends = self.args.reverse_prompt
            self._interrupted = stream(self.generation, self.conversation.tokenizer, parts, ends=ends)
        except ContextFullError:
            pass  # said below
        except Q4Error as error:
            note(f"error: {error}")
        kept = self.talk.answered("".join(parts))
        if self._interrupted:
            # behind what was said there is a line end already, behind the terminal's ^C alone there is none
            note("(stopped; what was said stays)" if kept else "\n(stopped; the question is taken back)")
        elif not kept:
            note("(nothing was said; the question is taken back)")
        self._tell_of_context(self.generation.stop_reason == "context full")
        return kept

    def _tell_of_context(self, full: bool) -> None:
        """A full context is announced before it happens, and an answer that it cut short is said to be one."""
        used, n_ctx = len(self.conversation.session.tokens), self.talk.n_ctx
        if full:
            note(
                f"note: the answer ends here: the context of {n_ctx} tokens is full. The next question forgets the "
                "oldest turns; /new begins anew, -c sets the context's size"
            )
        elif used > _NEARLY_FULL * n_ctx and not self._told_nearly_full:
            self._told_nearly_full = True
            note(f"note: {used} of {n_ctx} tokens of context are used; once it is full, the oldest turns are forgotten")
