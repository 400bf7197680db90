"""The options of sampling, and the settings that they give."""

from __future__ import annotations

import argparse

from q4engine.cli import options
from q4engine.errors import shown
from q4engine.sampling.settings import BOUNDS, MAX_SEED, SAMPLERS, SamplerSettings

# Options, the setting of SamplerSettings, how the value is called, and what it does.
_SAMPLING = (
    (("--repeat-penalty",), "repeat_penalty", "X", "make recent tokens less likely (default: %(default)s, off)"),
    (("--frequency-penalty",), "frequency_penalty", "X", "less likely for each time they came (default: 0, off)"),
    (("--presence-penalty",), "presence_penalty", "X", "less likely once they came (default: 0, off)"),
    (("--repeat-last-n",), "repeat_last_n", "N", "how many tokens are recent; -1: all (default: %(default)s)"),
    (("--dry-multiplier",), "dry_multiplier", "X", "DRY: penalise what goes on with a repetition (default: 0, off)"),
    (("--dry-base",), "dry_base", "X", "DRY: times the penalty for each token it is longer (default: %(default)s)"),
    (("--dry-allowed-length",), "dry_allowed_length", "N", "DRY: tokens that may repeat (default: %(default)s)"),
    (("--dry-penalty-last-n",), "dry_penalty_last_n", "N", "DRY: how many tokens count; -1 (default): all"),
    (("--top-nsigma", "--top-n-sigma"), "top_n_sigma", "X", "keep logits within X standard deviations (default: off)"),
    (("--top-k",), "top_k", "N", "keep the N likeliest (default: %(default)s; 0: off)"),
    (("--typical", "--typical-p"), "typical_p", "X", "keep those of typical surprise that share X (default: 1, off)"),
    (("--top-p",), "top_p", "X", "keep the likeliest that share X of the probability (default: %(default)s; 1: off)"),
    (("--min-p",), "min_p", "X", "keep those X times as likely as the likeliest (default: %(default)s; 0: off)"),
    (("--xtc-probability",), "xtc_probability", "X", "XTC: how often likely tokens go but one (default: 0, off)"),
    (("--xtc-threshold",), "xtc_threshold", "X", "XTC: those of probability X are likely (default: %(default)s)"),
    (("--temp", "--temperature"), "temperature", "X", "0 takes the likeliest (default: %(default)s)"),
    (("--dynatemp-range",), "dynatemp_range", "X", "by how much the temperature follows the entropy (default: 0, off)"),
    (("--dynatemp-exp",), "dynatemp_exponent", "X", "exponent of the entropy's share (default: %(default)s)"),
    (("--mirostat",), "mirostat", "N", "1 or 2: keep surprise even, with temperature alone (default: 0, off)"),
    (("--mirostat-ent",), "mirostat_tau", "X", "Mirostat: bits of surprise to keep to (default: %(default)s)"),
    (("--mirostat-lr",), "mirostat_eta", "X", "Mirostat: how fast it learns (default: %(default)s)"),
)  # fmt: skip
_OTHER_NAMES = {"nucleus": "top_p", "temp": "temperature", "typical": "typ_p", "typical_p": "typ_p", "typ": "typ_p"}


def sampler_names(text: str) -> tuple[str, ...]:
    """An argparse type: names of samplers with semicolons between, as llama.cpp has them."""
    names = [word.strip().replace("-", "_") for word in text.split(";") if word.strip()]
    names = [_OTHER_NAMES.get(name, name) for name in names]
    for name in names:
        if name not in SAMPLERS:
            raise argparse.ArgumentTypeError(f"there is no sampler {shown(name)}, expected {';'.join(SAMPLERS)}")
    return tuple(names)


def sampler_letters(text: str) -> tuple[str, ...]:
    """An argparse type: a letter for each sampler."""
    by_letter = {letter: name for name, letter in SAMPLERS.items()}
    for letter in text:
        if letter not in by_letter:
            known = ", ".join(f"{letter} {name}" for letter, name in by_letter.items())
            raise argparse.ArgumentTypeError(f"there is no sampler {shown(letter)}, expected {known}")
    return tuple(by_letter[letter] for letter in text)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group("sampling, in this order where --samplers names no other")
    order = group.add_mutually_exclusive_group()
    order.add_argument(
        "--samplers",
        metavar="NAMES",
        type=sampler_names,
        default=tuple(SAMPLERS),
        help=f"the samplers that run, in their order (default: {';'.join(SAMPLERS)})",
    )
    order.add_argument(
        "--sampler-seq",
        "--sampling-seq",
        dest="samplers",
        metavar="LETTERS",
        type=sampler_letters,
        help=f"the same in letters (default: {''.join(SAMPLERS.values())})",
    )
    group.add_argument(
        "-l",
        "--logit-bias",
        metavar="ID±X",
        type=options.logit_bias,
        action="append",
        default=[],
        help="before all else, add X to the logit of a token: 15043+1.5; 15043-inf excludes it",
    )
    group.add_argument("--ignore-eos", action="store_true", help="exclude the tokens that end a text or a turn")
    for names, setting, value, text in _SAMPLING:
        default, kind = getattr(SamplerSettings, setting), options.integer if value == "N" else options.number
        group.add_argument(*names, dest=setting, metavar=value, type=kind(*BOUNDS[setting]), default=default, help=text)
    group.add_argument(
        "--dry-sequence-breaker",
        metavar="TEXT",
        action="append",
        help='DRY: repetitions do not go beyond this text; may be given several times (default: newline : " *; none)',
    )
    group.add_argument(
        "-s",
        "--seed",
        metavar="N",
        type=options.integer(-1, MAX_SEED),
        default=-1,
        help="-1 (default) draws one, which is shown",
    )


def settings_of(args: argparse.Namespace) -> SamplerSettings:
    """What the options ask for."""
    chosen = {setting: getattr(args, setting) for _, setting, _, _ in _SAMPLING}
    if args.dry_sequence_breaker is not None:
        texts = [text for text in args.dry_sequence_breaker if text not in ("none", "")]
        chosen["dry_sequence_breakers"] = tuple(options.unescape(text) if args.escape else text for text in texts)
    seed = None if args.seed < 0 else args.seed
    return SamplerSettings(**chosen, samplers=args.samplers, seed=seed, logit_bias=dict(args.logit_bias))
