"""The options of grammars, and the grammar that they ask for."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from q4engine.cli import options
from q4engine.errors import Q4Error

if TYPE_CHECKING:
    from q4engine.sampling.grammar import Grammar
    from q4engine.tokenizer import Tokenizer


def add_grammar(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group("grammar", "what the answer keeps to (pip install 'q4engine[grammar]')")
    given = group.add_mutually_exclusive_group()
    given.add_argument(
        "--grammar",
        metavar="GBNF",
        type=options.text,
        help="""a grammar in llama.cpp's notation, or a file with one: 'root ::= "yes" | "no"'""",
    )
    given.add_argument("--grammar-file", metavar="FILE", type=options.file, help="a file with such a grammar")
    given.add_argument(
        "-j", "--json-schema", metavar="SCHEMA", type=options.text, help="JSON that a schema describes; {}: any JSON"
    )
    given.add_argument(
        "-jf", "--json-schema-file", metavar="FILE", type=options.file, help="the same with the schema in a file"
    )


def read_grammar(args: argparse.Namespace) -> None:
    """Files are read, and a missing library is told of, before a model is loaded."""
    if args.grammar is not None and "::=" not in args.grammar:
        args.grammar, args.grammar_file = None, Path(args.grammar)
    args.grammar_name = str(args.grammar_file or args.json_schema_file or "")
    if args.grammar_file is not None:
        args.grammar = options.read_text(args.grammar_file)
    if args.json_schema_file is not None:
        args.json_schema = options.read_text(args.json_schema_file)
    if (args.grammar is not None or args.json_schema is not None) and find_spec("llguidance") is None:
        raise Q4Error("a grammar needs llguidance: pip install 'q4engine[grammar]'")


def grammar_of(args: argparse.Namespace, tokenizer: Tokenizer) -> Grammar | None:
    """What the options ask for; None where they ask for none."""
    if args.grammar is None and args.json_schema is None:
        return None
    from q4engine.sampling.grammar import Grammar

    if args.grammar is not None:
        return Grammar.from_gbnf(args.grammar, tokenizer, args.grammar_name or "--grammar")
    return Grammar.from_json_schema(args.json_schema, tokenizer, args.grammar_name or "--json-schema")
