"""``q4engine tokenize``: the token ids of a text."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.terminal import holds_all
from q4engine.cli import options
from q4engine.conversation import own_bos
from q4engine.errors import Q4Error, shown

if TYPE_CHECKING:
    from q4engine.tokenizer import Tokenizer

_EPILOG = """\
examples:
  q4engine tokenize model.gguf -p "Hello world"
  q4engine tokenize model.gguf -p "<|im_start|>user\\nHi" --ids
  q4engine tokenize model.gguf -f book.txt --count

Works for every file with a vocabulary, also where the engine cannot run the model.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "tokenize",
        run,
        help="show the tokens of a text",
        description="Show the token ids of a text and the piece that each stands for.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    options.add_prompt(parser)
    parser.add_argument("--no-bos", action="store_true", help="no begin token, whatever the model asks for")
    parser.add_argument("--no-parse-special", action="store_true", help="take <|…|> and the like as plain text")
    parser.add_argument("--stdin", action="store_true", help="read the text from stdin, as -f - does")
    parser.add_argument("--show-count", action="store_true", help="print the number of tokens behind them")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--ids", action="store_true", help="print the ids alone, as a list")
    form.add_argument("--count", action="store_true", help="print the number of tokens alone")
    options.add_json(form)


def run(args: argparse.Namespace) -> int:
    """Print to stdout."""
    from q4engine.cli.loading import spinner
    from q4engine.gguf import GGUFFile
    from q4engine.tokenizer import Tokenizer

    path = options.model_path(args)
    if args.stdin:
        if args.prompt is not None or args.file is not None:
            args.parser.error("--stdin excludes -p and -f")
        args.file = Path("-")
    text = options.read_prompt(args)
    if text is None:
        raise Q4Error(f"there is no text: {options.NO_PROMPT}")
    if not text:
        options.note(f"note: the text is empty: {options.NO_PROMPT}")
    with GGUFFile.open(path) as file:
        tokenizer = Tokenizer.from_gguf(file)
    for line in tokenizer.vocabulary.notes:
        options.note(f"note: {line}")
    with spinner(f"tokenising {len(text) / 1e6:.1f} million characters"):
        ids = tokenizer.encode(text, add_bos=False if args.no_bos else None, parse_special=not args.no_parse_special)
    bos = tokenizer.vocabulary.bos_id
    if tokenizer.add_bos and not args.no_bos and ids[:2] == [bos, bos]:  # as run has it
        options.note(f"note: {own_bos(tokenizer)}")
        del ids[0]
    if args.count:
        print(len(ids))
    elif args.ids:
        print(ids)
    elif args.json:
        pieces = [_piece(tokenizer, token) for token in ids]
        print(json.dumps({"count": len(ids), "ids": ids, "pieces": pieces}, ensure_ascii=not holds_all()))
    else:
        for token in ids:
            print(f"{token:6} -> {shown(_piece(tokenizer, token))}")
    if args.show_count and not args.json and not args.count:
        print(f"Total number of tokens: {len(ids)}")
    return 0


def _piece(tokenizer: Tokenizer, token: int) -> str:
    """A token's text; bytes that are no whole characters as \\xHH."""
    return tokenizer.token_bytes(token).decode("utf-8", "backslashreplace")
