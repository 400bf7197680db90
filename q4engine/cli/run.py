"""``q4engine run``: text from a prompt, or a chat in the terminal. Takes the options that people type for llama-cli."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from q4engine.cli import options
from q4engine.cli.answer import finish, messages, print_json, stream, tell_prompt
from q4engine.cli.constraining import add_grammar, grammar_of, read_grammar
from q4engine.cli.llama_cpp import RUN_IGNORED
from q4engine.cli.loading import kernel_rows, load_engine, new_session
from q4engine.cli.observing import add_observing, check_observing, observed
from q4engine.cli.options import note
from q4engine.cli.placing import add_placing
from q4engine.cli.sampling_options import add_sampling, settings_of
from q4engine.cli.signals import Terminated
from q4engine.cli.speculating import add_speculation, check_speculation, speculation
from q4engine.conversation import Conversation, own_bos
from q4engine.errors import Q4Error
from q4engine.sampling.settings import SamplerSettings

if TYPE_CHECKING:
    from q4engine.engine import Engine
    from q4engine.generate import Generation
    from q4engine.tokenizer import ChatTemplate

_EXIT_INTERRUPTED = 130

_EPILOG = """\
examples:
  q4engine run model.gguf -p "What is the capital of France?"
  q4engine run model.gguf                              chat; Ctrl-D ends it
  q4engine run model.gguf -p "Once upon a time" --no-chat -n 100 --temp 0
  q4engine run -m model.gguf -f prompt.txt -t 4 -c 8192 --json > answer.json
  echo "Summarise: …" | q4engine run model.gguf -n 64 -s 42
  q4engine run model.gguf -f prompt.txt -n 64 --capture run.csv --per-op --trace run.json.gz

The model's chat template is applied unless --no-chat is given or the prompt starts with a chat token.
The same model, prompt and seed give the same text on every machine, for every number of threads.
What was generated is printed also where the context is full before -n tokens are there (an error, exit code 1) and
where a signal ends the run; with --json its stop_reason says why it ends.
"""


class _Ignored(argparse.Action):
    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: object, option_string: str | None = None
    ) -> None:
        namespace.ignored = [*namespace.ignored, option_string]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = options.add_command(
        subparsers,
        "run",
        run,
        help="generate text from a prompt, or chat",
        description="Generate text from a prompt, or chat in the terminal where no prompt is given.",
        epilog=_EPILOG,
    )
    options.add_model(parser)
    options.add_prompt(parser)
    parser.add_argument(
        "-n",
        "--predict",
        "--n-predict",
        metavar="N",
        type=options.integer(-1, options.MAX_COUNT),
        default=-1,
        help="tokens to generate at most; -1 (default): until the model ends its text or the context is full",
    )
    options.add_context(parser)
    options.add_engine(parser)
    options.add_kv_form(parser)
    options.add_no_tuned(parser)
    add_placing(parser)
    add_sampling(parser)
    _add_reverse_prompt(parser)
    add_grammar(parser)
    _add_chat(parser)
    add_speculation(parser)
    add_observing(parser)
    options.add_json(parser)
    _add_prompt_cache(parser)
    parser.add_argument(
        "--override-kv",
        metavar="KEY=TYPE:VALUE",
        type=options.override_kv,
        action="extend",
        default=[],
        help="take this for the file's metadata (TYPE: int, float, bool, str): tokenizer.ggml.add_bos_token=bool:false",
    )
    parser.add_argument("--verbose-prompt", action="store_true", help="show the prompt and its tokens one by one")
    parser.add_argument(
        "-v", "--verbose", "--log-verbose", action="store_true", help="say more about the model, kernels and tokens"
    )
    for kind in RUN_IGNORED:
        for names in kind:
            parser.add_argument(
                *names, nargs=kind.arity, dest="ignored", action=_Ignored, default=[], help=argparse.SUPPRESS
            )


def _add_reverse_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-r",
        "--reverse-prompt",
        metavar="TEXT",
        type=options.text,
        action="append",
        default=[],
        help="stop the answer behind this text; may be given several times",
    )


def _add_prompt_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt-cache",
        metavar="FILE",
        type=options.file,
        help="take up what the file holds of the prompt, evaluated, and save the prompt there; made where it is not",
    )
    parser.add_argument("--prompt-cache-ro", action="store_true", help="take up the prompt cache and never write it")


def _add_chat(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("chat")
    system = group.add_mutually_exclusive_group()
    system.add_argument("-sys", "--system-prompt", metavar="TEXT", help="the system message")
    system.add_argument("-sysf", "--system-prompt-file", metavar="FILE", type=options.file, help="the same from a file")
    group.add_argument(
        "--chat-template",
        "--chat-template-file",
        metavar="NAME",
        help="another template: chatml, gemma, llama3, phi3, zephyr, or a file with one in Jinja",
    )
    group.add_argument(
        "--in-prefix", metavar="TEXT", default="", help="put this before each question; no template is applied then"
    )
    group.add_argument("--in-suffix", metavar="TEXT", default="", help="put this behind each question, likewise")
    group.add_argument(
        "-no-cnv",
        "--no-chat",
        "--no-conversation",
        dest="chat",
        action="store_false",
        default=None,
        help="continue the prompt as it is, without the chat template",
    )
    group.add_argument(
        "-cnv",
        "--chat",
        "--conversation",
        dest="chat",
        action="store_true",
        help="apply the chat template in any case; in a terminal, go on with a chat after the prompt",
    )
    group.add_argument("-st", "--single-turn", action="store_true", help="end after the answer to the prompt")
    group.add_argument(
        "-mli",
        "--multiline-input",
        action="store_true",
        help="Enter begins another line; a question ends with Alt-Enter, or Enter behind a backslash",
    )
    group.add_argument(
        "--keep",
        metavar="N",
        type=options.integer(-1, options.MAX_COUNT),
        default=0,
        help="of a full context keep the turns within the first N tokens (-1: the first turn); the oldest others go",
    )


def run(args: argparse.Namespace) -> int:
    """Generate; the text goes to stdout, summary and notes to stderr."""
    path = options.model_path(args)
    _read_texts(args)
    settings = settings_of(args)
    read_grammar(args)
    check_speculation(args)
    check_observing(args)
    if args.ignored:
        note(f"note: without effect here: {', '.join(dict.fromkeys(args.ignored))}")
    prompt = options.read_prompt(args)
    if prompt is None and args.json:
        args.parser.error("--json needs a prompt: -p, -f or stdin")
    chatting = prompt is None or (args.chat and not args.single_turn and sys.stdin.isatty() and not args.json)
    if chatting and args.prompt_cache is not None:
        args.parser.error(
            "--prompt-cache needs a prompt (-p, -f or stdin) and no chat behind it: a chat keeps what it has evaluated"
        )
    if args.prompt_cache_ro and args.prompt_cache is None:
        args.parser.error("--prompt-cache-ro needs --prompt-cache")
    if prompt == "":
        raise Q4Error(f"the prompt is empty: {options.NO_PROMPT}; without any of them, in a terminal, a chat begins")
    start = time.perf_counter()
    engine = load_engine(args, path)
    conversation = _conversation(args, engine, settings, prompt)
    conversation.timings.load_seconds = time.perf_counter() - start
    if args.verbose:
        _describe(conversation)
    with observed(args, conversation.session):
        if prompt is None or chatting:
            from q4engine.cli.chat import chat

            return chat(args, conversation, prompt)
        return _answer(args, conversation, prompt)


def _read_texts(args: argparse.Namespace) -> None:
    """Texts of options, from their files and without their escapes."""
    if args.system_prompt_file is not None:
        args.system_prompt = options.read_text(args.system_prompt_file)
    elif args.system_prompt is not None and args.escape:
        args.system_prompt = options.unescape(args.system_prompt)
    if args.escape:
        args.in_prefix, args.in_suffix = options.unescape(args.in_prefix), options.unescape(args.in_suffix)
        args.reverse_prompt = [options.unescape(text) for text in args.reverse_prompt]


def _conversation(
    args: argparse.Namespace, engine: Engine, settings: SamplerSettings, prompt: str | None
) -> Conversation:
    from q4engine.sampling import Sampler

    tokenizer = engine.tokenizer
    for line in tokenizer.vocabulary.notes:
        note(f"note: {line}")
    wanted = args.chat is not False
    if wanted and args.chat is None and prompt is not None and tokenizer.starts_with_control_token(prompt):
        note(
            "note: the prompt starts with a chat token of its own, so it is used as it is (--chat applies the template)"
        )
        wanted = False
    if wanted and not args.chat and (args.in_prefix or args.in_suffix):
        note("note: with --in-prefix or --in-suffix no chat template is applied (--chat applies it)")
        wanted = False
    if args.ignore_eos:
        ends = dict.fromkeys(tokenizer.stop_ids, -math.inf)
        settings = replace(settings, logit_bias={**settings.logit_bias, **ends})
    template = _template(args, engine) if wanted else None
    session = new_session(args, engine)
    sampler = Sampler(settings, tokenizer, grammar_of(args, tokenizer))
    guessing = speculation(args, engine, session, sampler)
    return Conversation(engine, session, tokenizer, template, sampler, speculation=guessing)


def _template(args: argparse.Namespace, engine: Engine) -> ChatTemplate:
    from q4engine.tokenizer import ChatTemplate

    if args.chat_template is not None:
        return ChatTemplate.named(args.chat_template, engine.tokenizer)
    template = ChatTemplate.from_gguf(engine.gguf, engine.tokenizer)
    if template.note:
        note(f"note: {template.note}")
    return template


def _answer(args: argparse.Namespace, conversation: Conversation, prompt: str) -> int:
    """One prompt, one answer."""
    if conversation.template is not None:
        generation = conversation.answer(messages(args, prompt), args.predict)
    else:
        if args.system_prompt is not None:
            note("note: --system-prompt has no effect without a chat template")
        generation = conversation.complete(args.in_prefix + prompt + args.in_suffix, args.predict)
        if conversation.own_bos:
            note(f"note: {own_bos(conversation.tokenizer)}")
    if args.verbose:
        note(f"prompt: {len(generation.prompt)} tokens: {generation.prompt}")
    if args.verbose_prompt:
        tell_prompt(generation.prompt, conversation.tokenizer)
    if args.prompt_cache is not None:
        _use_prompt_cache(args, conversation, generation)
    parts: list[str] = []
    try:
        interrupted = stream(generation, conversation.tokenizer, parts, not args.json, args.reverse_prompt)
    except (Q4Error, Terminated) as error:
        if generation.tokens:  # an error in the prompt leaves nothing to sum up
            if args.json:
                print_json(args, conversation, generation, "".join(parts), error)
            finish(args, conversation, None)
        raise
    if args.json:
        print_json(args, conversation, generation, "".join(parts))
    finish(args, conversation, generation)
    return _EXIT_INTERRUPTED if interrupted else 0


def _use_prompt_cache(args: argparse.Namespace, conversation: Conversation, generation: Generation) -> None:
    """Takes up the file, and has the prompt saved where it was not whole in it."""
    from q4engine import prompt_cache

    session, prompt, path = conversation.session, generation.prompt, args.prompt_cache
    if path.exists():
        prompt_cache.load(path, session)
        if conversation.speculation is not None:
            conversation.speculation.adopt()
    elif args.prompt_cache_ro:
        raise Q4Error(f"{path}: no such prompt cache")
    held = session.in_common(prompt)
    note(f"note: {held} of {len(prompt)} tokens of the prompt are in {options.printable(path.name)}")
    if held < len(prompt) and not args.prompt_cache_ro:
        generation.behind_prompt = lambda: prompt_cache.save(path, session, len(prompt))


def _threads(engine: Engine) -> str:
    few, many = engine.n_threads, engine.n_threads_batch
    return f"{few} threads" if few == many else f"{few} threads ({many} for prompts)"


def _describe(conversation: Conversation) -> None:
    from q4engine.profiling.recording import kv_bytes_per_position

    engine, config = conversation.engine, conversation.engine.config
    note(f"model: {config.architecture}, {config.n_layers} layers, vocabulary of {config.vocab_size}")
    session = conversation.session
    kept = session.n_ctx * kv_bytes_per_position(engine)
    note(f"context: {session.n_ctx} tokens as {engine.kv_form}, {kept / 1e6:.1f} MB, batches of {session.n_batch}")
    note(f"backend: {engine.backend}, {_threads(engine)}, operations: {engine.variant}")
    for row in kernel_rows(engine):
        note(f"kernels: {row['weights']} weights {row['type']}: {row['gemv']} / {row['gemm']} ({row['layout']})")
