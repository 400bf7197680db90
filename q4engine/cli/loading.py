"""From parsed arguments to an engine and a session."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from q4engine.cli import options
from q4engine.cli.options import note
from q4engine.cli.placing import place
from q4engine.cpus import choose_threads, without_crowd

if TYPE_CHECKING:
    from q4engine.engine import Engine, Session


def load_engine(args: argparse.Namespace, path: Path, threads: int | None = None, overrides: bool = True) -> Engine:
    """The engine that -t (or ``threads``), -C, --numa, --prio, --backend and, with ``overrides``, --override-kv say.

    Who looks on in a terminal is told why there are fewer threads than CPUs by default.
    """
    from q4engine.engine import Engine

    place(args)
    threads = threads or args.threads
    if threads:
        threads, crowded = without_crowd(threads, args.cpu_mask)
        if crowded:
            note(f"note: {crowded}")
    elif not args.cpu_mask and sys.stderr.isatty() and (chosen := choose_threads()).why:
        note(f"note: {chosen.n} {'thread' if chosen.n == 1 else 'threads'} (-t says otherwise): {chosen.why}")
    with spinner(f"loading {path.name}"):
        other = dict(getattr(args, "override_kv", ())) if overrides else {}
        return Engine.load(path, threads, args.cpu_mask, args.backend, other)


@contextmanager
def spinner(text: str, after: float = 0.3) -> Iterator[None]:
    """Something moves on stderr, if that is a terminal, while the block takes longer than `after` seconds."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def spin() -> None:
        if done.wait(after):
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(options.printable(text))):
            done.wait()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def new_session(args: argparse.Namespace, engine: Engine) -> Session:
    """A session of -c tokens (0: as many as the model was trained on) and -b tokens a batch."""
    trained = engine.config.n_ctx_train
    n_ctx = trained if args.ctx_size == 0 else args.ctx_size
    if n_ctx is not None:
        note_long_context(engine, n_ctx)
    return engine.session(n_ctx=n_ctx, n_batch=args.batch_size)


def note_long_context(engine: Engine, n_ctx: int) -> None:
    """Says where a context is longer than the model's."""
    trained = engine.config.n_ctx_train
    if n_ctx > trained:
        note(f"note: a context of {n_ctx} tokens is more than the {trained} that the model was trained on")


def kernel_rows(engine: Engine) -> list[dict[str, object]]:
    """The kernels of an engine, equal choices as one row with the number of weights that they serve."""
    rows: dict[tuple[str, ...], int] = {}
    for choice in engine.kernels:
        key = (choice.type, choice.layout, choice.gemv, choice.gemm)
        rows[key] = rows.get(key, 0) + 1
    return [dict(zip(("type", "layout", "gemv", "gemm"), key, strict=True)) | {"weights": n} for key, n in rows.items()]
