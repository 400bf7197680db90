"""The options of speculation, and what they ask for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from q4engine.cli import options
from q4engine.cli.loading import load_engine
from q4engine.errors import Q4Error
from q4engine.speculation import (
    MAX_GUESSES,
    Drafter,
    DraftModel,
    Lookup,
    SpeculativeSession,
    require_same_vocabulary,
)

if TYPE_CHECKING:
    from q4engine.engine import Engine, Session
    from q4engine.sampling import Sampler

_DEFAULT_GUESSES = 7  # with the token before them as many as GEMV kernels take at once
_LONGEST_NGRAM = 64
_DEAR = 0.5  # of the model's bytes a token, from which on a draft hardly pays


def add_speculation(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group(
        "speculation", "several guessed tokens are evaluated in one call; the text stays the same, bit for bit"
    )
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "--lookup",
        metavar="N",
        type=options.integer(1, _LONGEST_NGRAM),
        help="guess that what followed the last N tokens before follows them again: 3 suits most texts",
    )
    source.add_argument(
        "-md",
        "--draft",
        "--model-draft",
        dest="draft",
        metavar="MODEL",
        type=options.file,
        help="guess what this smaller model says, which must have the same vocabulary",
    )
    group.add_argument(
        "-td",
        "--threads-draft",
        metavar="N",
        type=options.thread_count,
        help="the draft model's threads (default, and -1: as -t)",
    )
    group.add_argument(
        "--draft-max",
        "--draft-n",
        metavar="N",
        type=options.integer(1, MAX_GUESSES),
        help=f"guesses a call at most (default: {_DEFAULT_GUESSES}); how many pay is measured",
    )


def check_speculation(args: argparse.Namespace) -> None:
    """Usage error where an option needs another."""
    if args.threads_draft is not None and args.draft is None:
        args.parser.error("--threads-draft needs --draft")
    if args.draft_max is not None and args.draft is None and args.lookup is None:
        args.parser.error("--draft-max needs --lookup or --draft")
    if args.backend == "numpy" and (args.draft is not None or args.lookup is not None):
        args.parser.error(
            "--lookup and --draft need the native backend: NumPy's bits are others for several tokens at once"
        )


def speculation(
    args: argparse.Namespace, engine: Engine, session: Session, sampler: Sampler
) -> SpeculativeSession | None:
    """What --lookup or --draft ask for; None where neither is given."""
    drafter: Drafter
    most = args.draft_max or _DEFAULT_GUESSES
    if args.lookup is not None:
        drafter = Lookup(args.lookup)
    elif args.draft is not None:
        draft = _draft_session(args, engine, session)
        _note_dear(draft.engine, engine, most)
        drafter = DraftModel(draft, sampler)
    else:
        return None
    return SpeculativeSession(session, drafter, most)


def _note_dear(draft: Engine, engine: Engine, guesses: int) -> None:
    """Says what a draft whose tokens read nearly as much as the model's may be worth."""
    from q4engine.draft_cost import cost_of

    cost = cost_of(draft, engine)
    if cost.token > _DEAR:
        name, of = (options.printable(each.gguf.path.name) for each in (draft, engine))
        options.note(
            f"note: a token of {name} reads {cost.token:.2f} of the bytes that one of {of} reads: {guesses} guesses a "
            f"call, all of them right, make it {cost.most_speed_up(guesses):.2f} x as fast at most"
        )


def _draft_session(args: argparse.Namespace, engine: Engine, session: Session) -> Session:
    if args.draft.name.isdecimal() and not args.draft.exists():
        raise Q4Error(f"--draft {args.draft}: there is no such model; how many tokens are guessed says --draft-max")
    draft = load_engine(args, args.draft, args.threads_draft, overrides=False)
    require_same_vocabulary(engine, draft)
    return draft.session(n_ctx=session.n_ctx, n_batch=session.n_batch)
