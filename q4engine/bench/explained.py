"""Captures of both engines on the same work, one after the other, for ``analysis.compare``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from q4engine.bench.captures import Plan, capture_all
from q4engine.bench.peer import Peer
from q4engine.bench.targets import random_tokens
from q4engine.engine import Engine
from q4engine.errors import Q4Error


def capture_both(engine: Engine, plan: Plan, python: str, tell: Callable[[str], None]) -> tuple[Path, Path]:
    """Our capture and the peer's, of the plan's one prompt. python: the interpreter that has llama-cpp-python.

    Q4Error where the peer cannot be started or nothing of it could be captured.
    """
    (n_prompt,) = plan.prompts
    (ours,) = capture_all(engine, plan, tell)
    theirs = ours.path.with_name(f"{ours.path.stem}.llama.cpp.csv")
    theirs.unlink(missing_ok=True)
    tell(theirs.name)
    vocab = engine.config.vocab_size
    prompt, generated = (random_tokens(n, vocab, seed) for n, seed in ((n_prompt, 1), (plan.n_gen, 2)))
    warm_up = generated[:1] if plan.warm_up else []
    n_warmup = -(-n_prompt // plan.n_batch) + len(warm_up) if plan.warm_up else 0
    watch = watching(theirs, plan.events, n_warmup)
    threads = engine.n_threads, engine.n_threads_batch
    with Peer(python, engine.gguf.path, plan.n_ctx, plan.n_batch, threads, watch, kv_form=engine.kv_form) as peer:
        peer.prepare([])
        if plan.warm_up:
            peer.run(prompt, warm_up)
        for _ in range(plan.repetitions):
            peer.run(prompt, generated)
    if not theirs.is_file():
        raise Q4Error(f"{theirs}: nothing of llama.cpp was captured ({python}: is it built with shared libraries?)")
    return ours.path, theirs


def watching(capture: Path, events: str, n_warmup: int) -> list[str]:
    """The command before the program's own."""
    options = ["--capture", str(capture), "--per-op", "--events", events, "--warmup-calls", str(n_warmup)]
    return [sys.executable, "-m", "q4engine", "watch", *options, "--annotate", "off", "--"]


def compared(ours: Path, theirs: Path) -> int:
    """Prints what makes the difference; returns the exit code."""
    from analysis import compare
    from analysis.command_line import run

    return run(compare.main, [str(ours), str(theirs)])
