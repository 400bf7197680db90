"""``q4engine fingerprint``: a hash of the logits, which two machines can compare."""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from q4engine.cli import options
from q4engine.cli.placing import add_placing

if TYPE_CHECKING:
    from q4engine.engine import Session

PROMPT = (
    "The quick brown fox jumps over the lazy dog, then counts: 1, 2, 3, 5, 8, 13, 21, 34. Déjà vu? "
    "In 1905 a clerk in Bern wrote four papers; 北京 and Москва read them years later. def f(x): return x * 2"
)
"""Words, digits, several scripts and code: more than 40 tokens in every vocabulary."""

_EPILOG = """\
examples:
  q4engine fingerprint model.gguf
  q4engine fingerprint model.gguf -t 1 -b 7        the same hash: threads and batches change no bit
  Q4_CPU_FEATURES=none q4engine fingerprint model.gguf

The hash is the sha256 of the float32 logits (little-endian) after the prompt and after each of -n greedy steps.
Machines that print the same hash computed the same bits.
"""


@dataclass(frozen=True)
class Fingerprint:
    """``sha256`` of the logits, in hexadecimal; ``tokens``: the greedy steps' ids."""

    sha256: str
    n_prompt: int
    tokens: list[int]


def fingerprint(session: Session, prompt: list[int], n_steps: int) -> Fingerprint:
    """Evaluate a prompt and ``n_steps`` greedy steps, hashing the last position's logits of each call."""
    import numpy as np

    digest = hashlib.sha256()
    logits = session.decode(prompt)
    digest.update(logits.astype("<f4").tobytes())
    tokens: list[int] = []
    for _ in range(n_steps):
        tokens.append(int(np.argmax(logits)))
        logits = session.decode(tokens[-1:])
        digest.update(logits.astype("<f4").tobytes())
    return Fingerprint(digest.hexdigest(), len(prompt), tokens)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "fingerprint",
        run,
        help="hash the logits, to compare machines",
        description="Hash the logits of a prompt and some greedy steps, and show the kernels that computed them.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    options.add_prompt(parser)
    parser.add_argument(
        "-n",
        "--steps",
        metavar="N",
        type=options.integer(0, options.MAX_COUNT),
        default=8,
        help="greedy steps (default: %(default)s)",
    )
    options.add_context(parser)
    options.add_engine(parser)
    options.add_kv_form(parser)
    add_placing(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print to stdout. stdin is read with ``-f -`` only."""
    from q4engine.cli.loading import kernel_rows, load_engine, new_session

    path = options.model_path(args)
    text = PROMPT if args.prompt is None and args.file is None else options.read_prompt(args)
    engine = load_engine(args, path)
    prompt = engine.tokenizer.encode(text or "")
    result = fingerprint(new_session(args, engine), prompt, args.steps)
    rows = kernel_rows(engine)
    if args.json:
        data = {
            "sha256": result.sha256,
            "n_prompt": result.n_prompt,
            "tokens": result.tokens,
            "backend": engine.backend,
            "kv_form": engine.kv_form,
            "threads": engine.n_threads,
            "batch": args.batch_size,
            "operations": engine.variant,
            "kernels": rows,
        }
        print(json.dumps(data, indent=2))
        return 0
    print(f"{result.sha256}  {path}")
    print(f"prompt: {result.n_prompt} tokens, then {args.steps} greedy: {result.tokens}")
    print(f"operations: {engine.variant}, keys and values as {engine.kv_form}")
    for row in rows:
        print(f"kernels: {row['weights']} weights {row['type']}: {row['gemv']} / {row['gemm']} ({row['layout']})")
    return 0
