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
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.engine import Engine, Session
    from q4engine.tuned import Choice


def load_engine(args: argparse.Namespace, path: Path, threads: int | None = None, overrides: bool = True) -> Engine:
    """The engine that -t and -tb (or ``threads`` for both), -C, --numa, --prio, --backend and, with ``overrides``,
    --override-kv, -ctk and what q4engine tune has kept say.

    Who looks on in a terminal is told why there are fewer threads than CPUs by default.
    """
    from q4engine.engine import Engine

    form = options.kv_form(args) if overrides and hasattr(args, "cache_type_k") else "f16"
    place(args)
    if threads is None and overrides and args.backend == "native" and (found := tuned_for(args, path)):
        args.threads, args.threads_batch = found.threads, found.threads_batch
        args.cpu_mask = None if found.cpus is None else list(found.cpus)
    few, many = (threads, None) if threads else (args.threads, args.threads_batch)
    few, many = (uncrowded(asked, args.cpu_mask, "note") for asked in (few, many))
    if not few and not args.cpu_mask and sys.stderr.isatty() and (chosen := choose_threads()).why:
        note(f"note: {chosen.n} {'thread' if chosen.n == 1 else 'threads'} (-t says otherwise): {chosen.why}")
    with spinner(f"loading {path.name}"):
        other = dict(getattr(args, "override_kv", ())) if overrides else {}
        return Engine.load(path, few, args.cpu_mask, args.backend, other, many, form)


def tuned_for(args: argparse.Namespace, path: Path) -> Choice | None:
    """What q4engine tune has kept for this machine and model, where the command takes it up and no option says
    otherwise; a line says so."""
    given = (args.threads, args.threads_batch, args.cpu_mask)
    if not getattr(args, "tuned", False) or any(value is not None for value in given):
        return None
    from q4engine.tuned import find

    try:
        found = find(path)
    except Q4Error as error:
        note(f"note: {error}; it is left aside")
        return None
    if found is not None:
        note(f"note: {found.flags}, as q4engine tune found best here for {path.name} (--no-tuned: the default)")
    return found


def uncrowded(asked: int | None, cpu_mask: list[int] | None, kind: str) -> int | None:
    """The threads that are started for so many; a line of that kind says where they are fewer."""
    if asked is None:
        return None
    used, crowded = without_crowd(asked, cpu_mask)
    if crowded:
        note(f"{kind}: {crowded}")
    return used


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
