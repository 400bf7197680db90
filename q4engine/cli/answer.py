"""How an answer is shown: its text as it comes, the summary behind it, or all of it as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.terminal import holds_all
from q4engine.cli import options
from q4engine.cli.options import note
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.conversation import Conversation, Message
    from q4engine.generate import Generation
    from q4engine.tokenizer import Tokenizer


def messages(args: argparse.Namespace, prompt: str) -> list[Message]:
    """The messages that open a conversation."""
    question: Message = {"role": "user", "content": args.in_prefix + prompt + args.in_suffix}
    if args.system_prompt is None:
        return [question]
    return [{"role": "system", "content": args.system_prompt}, question]


def stream(
    generation: Generation, tokenizer: Tokenizer, parts: list[str], show: bool = True, ends: Sequence[str] = ()
) -> bool:
    """Writes the text as it comes, a newline at its end, and adds it to ``parts``; returns whether Ctrl-C ended it.

    The text also ends behind the first of the texts ``ends``.
    """
    decoder = tokenizer.stream_decoder()
    interrupted = False
    longest = max(map(len, ends), default=0)
    tail = ""

    def put(text: str) -> None:
        parts.append(text)
        if show and text:
            sys.stdout.write(text)
            sys.stdout.flush()

    try:
        for token in generation:
            text = decoder.push(token)
            put(text)
            if ends:
                tail = tail[-longest:] + text
                if any(end in tail for end in ends):
                    generation.stop_reason = "reverse prompt"
                    break
    except KeyboardInterrupt:
        interrupted = True
    finally:
        put(decoder.flush())
        if show and (text := "".join(parts)) and not text.endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()
    return interrupted


def tell_prompt(prompt: Sequence[int], tokenizer: Tokenizer) -> None:
    """Each token with its text, as llama.cpp has it."""
    note(f"prompt: {tokenizer.decode(prompt, special=True)!r}")
    note(f"number of tokens in prompt = {len(prompt)}")
    for token in prompt:
        note(f"{token:6d} -> {tokenizer.token_bytes(token).decode('utf-8', 'backslashreplace')!r}")


def finish(args: argparse.Namespace, conversation: Conversation, generation: Generation | None) -> None:
    """The summary on stderr."""
    sys.stdout.flush()
    note("")
    if generation is not None and generation.stop_reason in ("context full", "interrupted"):
        session = conversation.session
        note(f"{generation.stop_reason}: {session.n_past} of {session.n_ctx} tokens of context are used")
    if args.temperature > 0:
        note(f"{'seed':>16}      = {conversation.sampler.seed}")
    for line in conversation.timings.lines():
        note(line)
    if conversation.speculation is not None:
        note(conversation.speculation.guesses.line())


def print_json(
    args: argparse.Namespace,
    conversation: Conversation,
    generation: Generation,
    text: str,
    error: BaseException | None = None,
) -> None:
    """``stop_reason`` says why the text ends; ``error``, there where one ended it, is what stderr says too."""
    data = {
        "text": text,
        "model": str(options.model_path(args)),
        "n_prompt": conversation.timings.prompt.tokens,
        "n_generated": len(generation.tokens),
        "tokens": generation.tokens,
        "stop_reason": generation.stop_reason,
        **({"error": str(error)} if isinstance(error, Q4Error) else {}),
        "n_ctx": conversation.session.n_ctx,
        "threads": conversation.engine.n_threads,
        "threads_batch": conversation.engine.n_threads_batch,
        "backend": conversation.engine.backend,
        "seed": conversation.sampler.seed,
        "timings": conversation.timings.as_dict(),
        **({"speculation": conversation.speculation.guesses.as_dict()} if conversation.speculation else {}),
    }
    print(json.dumps(data, ensure_ascii=not holds_all(), indent=2))
