"""``q4engine perplexity``: how well a model predicts a text, and how far it is from another one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from q4engine.cli import options
from q4engine.cli.placing import add_placing
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.engine import Engine, Session
    from q4engine.scoring import Divergence, Mean, Progress, Score

_EPILOG = """\
examples:
  q4engine perplexity model-q4_0.gguf -f text.txt
  q4engine perplexity model-q4_0.gguf -f text.txt --kl-base model-f16.gguf
  q4engine perplexity model.gguf -f text.txt -c 2048 --windows 8 --json

As llama.cpp defines it: the text is cut into windows of -c tokens, each starts from an empty cache, and the
predictions of its second half are scored. After +/- stands one standard error. Lower is better, on one text and with
one vocabulary. Divergences are KL(base || model) in nats.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "perplexity",
        run,
        help="score a text: perplexity, and divergence from another model",
        description="Score how well a model predicts a text, and with --kl-base how far its predictions are from those "
        "of another model with the same vocabulary.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    options.add_prompt(parser)
    parser.add_argument(
        "--kl-base", metavar="GGUF", type=options.file, help="the model to compare the predictions with"
    )
    parser.add_argument(
        "-c",
        "--ctx-size",
        metavar="N",
        type=options.integer(4, options.MAX_CONTEXT),
        default=512,
        help="tokens of a window (default: %(default)s)",
    )
    parser.add_argument(
        "--windows", "--chunks", metavar="N", type=options.integer(1, options.MAX_COUNT), help="read no more than N"
    )
    options.add_engine(parser)
    options.add_kv_form(parser)
    add_placing(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print to stdout; progress goes to a terminal's stderr."""
    from q4engine.cli.loading import load_engine, note_long_context, spinner
    from q4engine.scoring import require_same_vocabulary, score, text_tokens

    path = options.model_path(args)
    text = options.read_prompt(args)
    if not text:
        raise Q4Error(f"there is no text: {options.NO_PROMPT}")
    with ExitStack() as opened:
        engine = opened.enter_context(load_engine(args, path))
        note_long_context(engine, args.ctx_size)
        with spinner(f"tokenising {len(text) / 1e6:.1f} million characters"):
            tokens = text_tokens(engine.tokenizer, text)
        base: Engine | None = None
        if args.kl_base is not None:
            base = opened.enter_context(load_engine(args, args.kl_base, overrides=False))
            require_same_vocabulary(engine, base)
        start = time.perf_counter()
        sessions = [_session(args, each) for each in (engine, base)]
        assert sessions[0] is not None
        progress = opened.enter_context(_Bar()).show if sys.stderr.isatty() else None
        found, divergence = score(sessions[0], tokens, args.ctx_size, sessions[1], args.windows, progress)
        seconds = time.perf_counter() - start
    if args.json:
        print(json.dumps(_as_data(args, path, found, divergence, seconds), indent=2))
    else:
        _print(args, found, divergence)
    return 0


def _session(args: argparse.Namespace, engine: Engine | None) -> Session | None:
    return None if engine is None else engine.session(n_ctx=args.ctx_size, n_batch=args.batch_size)


class _Bar:
    """A progress bar on stderr, with the perplexity so far."""

    def __enter__(self) -> _Bar:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("perplexity", total=None)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def show(self) -> Progress:
        def show(done: int, total: int, so_far: Score) -> None:
            text = f"perplexity {so_far.perplexity.value:.4f}"
            self._bar.update(self._task, completed=done, total=total, description=text)

        return show


def _as_data(
    args: argparse.Namespace, path: Path, found: Score, divergence: Divergence | None, seconds: float
) -> dict[str, object]:
    data: dict[str, object] = {
        "model": str(path),
        "ctx": args.ctx_size,
        **_score_as_data(found),
        "seconds": seconds,
    }
    if divergence is not None:
        data["base"] = {"model": str(args.kl_base), **_score_as_data(divergence.base)}
        data["kl"] = vars(divergence.kl) | {"largest": divergence.largest_kl}
        data["same_top"] = vars(divergence.same_top)
    return data


def _score_as_data(score: Score) -> dict[str, object]:
    return {
        "windows": score.n_windows,
        "tokens": score.n_tokens,
        "nll": vars(score.nll),
        "perplexity": vars(score.perplexity),
    }


def _print(args: argparse.Namespace, found: Score, divergence: Divergence | None) -> None:
    print(f"perplexity {_with_error(found.perplexity, 4)} ({found.n_tokens} tokens, {found.n_windows} windows)")
    if divergence is not None:
        print(f"of the base {_with_error(divergence.base.perplexity, 4)} ({options.printable(str(args.kl_base))})")
        print(f"KL divergence {_with_error(divergence.kl, 6)}, largest {divergence.largest_kl:.4f}")
        same = divergence.same_top
        print(f"same likeliest token {100 * same.value:.2f} % +/- {100 * same.error:.2f} %")


def _with_error(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} +/- {mean.error:.{digits}f}"
