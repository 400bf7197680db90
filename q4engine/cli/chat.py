"""The chat loop of ``q4engine run`` in a terminal."""

from __future__ import annotations

import argparse
import contextlib
import sys

from q4engine.cli.options import note
from q4engine.cli.run import Conversation, finish, messages, stream
from q4engine.errors import Q4Error
from q4engine.generate import Generation, generate

_PROMPT = "> "


def chat(args: argparse.Namespace, conversation: Conversation, first: str | None) -> int:
    """Asks, answers, until the input ends or Ctrl-C. Returns the exit code."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives input() line editing)

    note("chat: Ctrl-D ends it, Ctrl-C stops it")
    log: list[dict[str, str]] = []
    held: list[int] = []  # the tokens in the session's cache
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
                log += [{"role": "user", "content": question}] if log else messages(args, question)
                generation = _turn(args, conversation, log, held)
                parts: list[str] = []
                interrupted = stream(generation, conversation.tokenizer, parts)
                held = generation.evaluated
                log.append({"role": "assistant", "content": "".join(parts)})
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


def _turn(
    args: argparse.Namespace, conversation: Conversation, log: list[dict[str, str]], held: list[int]
) -> Generation:
    """The answer to come: what the cache holds already of the whole conversation is not evaluated again."""
    template = conversation.template
    text = template.render(log) if template is not None else _plain(log)
    ids = conversation.tokenise(text, whole=True)
    common = 0
    while common < min(len(held), len(ids) - 1) and held[common] == ids[common]:
        common += 1
    conversation.session.truncate(common)
    return generate(
        conversation.session,
        ids[common:],
        conversation.sampler,
        args.predict,
        conversation.tokenizer.stop_ids,
        conversation.timings,
        history=ids[:common],
    )


def _plain(log: list[dict[str, str]]) -> str:
    """Without a template: the texts one after the other, as they were typed and answered."""
    return "".join(message["content"] for message in log)
