"""What guessing is worth: answers with --lookup or --draft beside those of single tokens, in turns.

python tests/bench/speculation.py MODEL.gguf [--draft SMALLER.gguf] [-t 1] [-r 5]

Greedy answers to five requests, each by every way in turns; the ways' texts must be equal. What is shown are medians:
of the guesses that were evaluated, the share that was right, and the speed of generation over that of single tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from q4engine.conversation import Conversation
from q4engine.engine import Engine
from q4engine.generate import generate
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.speculation import Drafter, DraftModel, Lookup, SpeculativeSession, require_same_vocabulary
from q4engine.tokenizer import ChatTemplate

GREEDY = SamplerSettings(temperature=0.0)
N_CTX = 2048

_TEXT = (
    "The lighthouse at Cape Wren was built in 1871 of grey granite. Its lamp stood thirty metres above the sea and "
    "could be seen for eighteen miles. Three keepers lived there with their families, and every night one of them "
    "climbed the hundred and forty steps to trim the wick. In 1934 the lamp was made electric, and the last keeper "
    "left in the spring of 1986. Since then the tower has been a museum, which some nine thousand people visit a year."
)
_PARTS = [
    {"id": i, "name": name, "price": price, "stock": stock}
    for i, (name, price, stock) in enumerate(
        (("bolt", 0.12, 940), ("washer", 0.03, 5200), ("bracket", 1.75, 88), ("hinge", 2.4, 61), ("latch", 3.1, 35))
    )
]
_CODE = '''\
def moving_average(values, width):
    """Means of each run of `width` values."""
    if width < 1 or width > len(values):
        raise ValueError(f"width {width} does not fit {len(values)} values")
    total = sum(values[:width])
    result = [total / width]
    for i in range(width, len(values)):
        total += values[i] - values[i - width]
        result.append(total / width)
    return result
'''

REQUESTS = {
    "text with one change": f"Repeat this text word by word, but write 1872 where it says 1871.\n\n{_TEXT}",
    "JSON to be reordered": f"Print this JSON again, sorted by price.\n\n```json\n{json.dumps(_PARTS, indent=2)}\n```",
    "code with a rename": f"Print this function again with `values` renamed to `samples`.\n\n```python\n{_CODE}```",
    "summary with quotations": f"Summarise this text in three sentences, and quote its numbers.\n\n{_TEXT}",
    "free prose": "Write a short story about a fisherman who finds a clock in the belly of a fish.",
}


class Run(NamedTuple):
    tokens: list[int]
    seconds: float
    drafted: int
    accepted: int


def prompt_of(engine: Engine, request: str) -> list[int]:
    template = ChatTemplate.from_gguf(engine.gguf, engine.tokenizer)
    talk = Conversation(engine, engine.session(n_ctx=N_CTX), engine.tokenizer, template, Sampler(GREEDY))
    return list(talk.answer([{"role": "user", "content": request}], 1).prompt)


def run(engine: Engine, prompt: list[int], drafter: Drafter | None, n: int, most: int) -> Run:
    """One answer in a session of its own. Its seconds are those after the prompt."""
    session = engine.session(n_ctx=N_CTX)
    decoder = session if drafter is None else SpeculativeSession(session, drafter, most)
    if isinstance(decoder, SpeculativeSession):
        decoder.may_follow = n
    answer = generate(decoder, prompt, Sampler(GREEDY), n, engine.tokenizer.stop_ids)
    start = 0.0

    def begin() -> None:
        nonlocal start
        start = time.perf_counter()

    answer.behind_prompt = begin
    tokens = list(answer)
    seconds = time.perf_counter() - start
    if isinstance(decoder, SpeculativeSession):
        return Run(tokens, seconds, decoder.guesses.drafted, decoder.guesses.accepted)
    return Run(tokens, seconds, 0, 0)


def ways(args: argparse.Namespace, engine: Engine, draft: Engine | None) -> dict[str, Callable[[], Drafter | None]]:
    found: dict[str, Callable[[], Drafter | None]] = {
        "single tokens": lambda: None,
        f"--lookup {args.lookup}": lambda: Lookup(args.lookup),
    }
    if draft is not None:
        require_same_vocabulary(engine, draft)
        found["--draft"] = lambda: DraftModel(draft.session(n_ctx=N_CTX), Sampler(GREEDY))
    return found


def rows(args: argparse.Namespace, engine: Engine, draft: Engine | None) -> None:
    print("| text | tokens | way | tokens/s | guesses evaluated | right | speed-up |\n|---|--:|---|--:|--:|--:|--:|")
    for name, request in REQUESTS.items():
        prompt = prompt_of(engine, request)
        runs: dict[str, list[Run]] = {way: [] for way in ways(args, engine, draft)}
        for _ in range(args.rounds):
            for way, drafter in ways(args, engine, draft).items():
                runs[way].append(run(engine, prompt, drafter(), args.n_predict, args.draft_max))
        plain = runs["single tokens"]
        for way, found in runs.items():
            if any(each.tokens != plain[0].tokens for each in found):
                raise SystemExit(f"{name}: {way} gives another text")
            n = len(found[0].tokens)
            ratio = statistics.median(one.seconds / each.seconds for one, each in zip(plain, found, strict=True))
            drafted, accepted = (statistics.median(each[i] for each in found) for i in (2, 3))
            right = f"{accepted / drafted:.0%}" if drafted else ""
            rate = n / statistics.median(each.seconds for each in found)
            print(f"| {name} | {n} | {way} | {rate:.1f} | {drafted:.0f} | {right} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL", help="GGUF file with a chat template")
    parser.add_argument("--draft", type=Path, metavar="MODEL", help="a smaller model of the same vocabulary")
    parser.add_argument("--lookup", type=int, default=3, metavar="N", help="as of q4engine run (default: 3)")
    parser.add_argument("--draft-max", type=int, default=7, metavar="N", help="guesses a call at most (default: 7)")
    parser.add_argument("-t", "--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument("-n", "--n-predict", type=int, default=200, metavar="N", help="tokens at most (default: 200)")
    parser.add_argument("-r", "--rounds", type=int, default=5, metavar="N", help="rounds (default: 5)")
    args = parser.parse_args()
    with Engine.load(args.model, n_threads=args.threads) as engine:
        if args.draft is None:
            rows(args, engine, None)
        else:
            with Engine.load(args.draft, n_threads=args.threads) as draft:
                rows(args, engine, draft)


if __name__ == "__main__":
    main()
