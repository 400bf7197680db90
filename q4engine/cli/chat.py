"""The chat loop of ``q4engine run`` in a terminal."""

from __future__ import annotations

import argparse
import contextlib
import sys

from q4engine.cli.answer import finish, messages, stream
from q4engine.cli.options import note
from q4engine.conversation import Conversation, Message
from q4engine.errors import Q4Error
from q4engine.generate import Generation

_PROMPT = "> "


def chat(args: argparse.Namespace, conversation: Conversation, first: str | None) -> int:
    """Asks, answers, until the input ends or Ctrl-C. Returns the exit code."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives input() line editing)

    note("chat: Ctrl-D ends it, Ctrl-C stops it")
    talk: list[Message] = []
    generation: Generation | None = None
    interrupted = False
    question = first
    try:
        while not interrupted:
            if question is None:
                question = _ask()
            if question is None:
                break
            if question.strip():
                talk += [{"role": "user", "content": question}] if talk else messages(args, question)
                generation = conversation.answer(talk, args.predict)
                parts: list[str] = []
                interrupted = stream(generation, conversation.tokenizer, parts)
                talk.append({"role": "assistant", "content": "".join(parts)})
                if args.single_turn:
                    break
            question = None
    except KeyboardInterrupt:
        interrupted = True
    except Q4Error:
        finish(args, conversation, None)
        raise
    finish(args, conversation, generation)
    return 130 if interrupted else 0


def _ask() -> str | None:
    """A line from the user; None at the end of the input. The mark goes to stderr where stdout is no terminal."""
    if sys.stdout.isatty():
        try:
            return input(_PROMPT)
        except EOFError:
            return None
    sys.stderr.write(_PROMPT)
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.removesuffix("\n") if line else None
