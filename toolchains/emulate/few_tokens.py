"""``PYTHONPATH=toolchains python -m emulate.few_tokens --model MODEL [-n 2,4,8] [-d 64]``: calls of a few tokens.

Instructions of a call of each number of tokens behind the same context, all their logits included, over those of a
single token, by kind of operation. Exact, for one thread; tests/bench/few_tokens.py measures the time of such calls.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from arm import DEFAULT_CPU, set_up
from cross import add_build_options, build_of
from host import ToolError, main

from emulate.__main__ import OUT, emulated_program
from emulate.instruction_shares import INSTRUCTIONS, counts_of
from emulate.plugin import Caches

# What the emulated Python runs: model, depth, numbers of tokens, capture.
GUEST = """
import sys
from pathlib import Path
from q4engine.engine import Engine
from q4engine.profiling.observer import Observation, observe
model, depth, numbers, capture = sys.argv[1], int(sys.argv[2]), [int(n) for n in sys.argv[3].split(",")], sys.argv[4]
with Engine.load(model, n_threads=1) as engine:
    session = engine.session(n_ctx=depth + max(numbers), n_batch=max(*numbers, depth, 1))
    if depth:
        session.decode([1] * depth)
    with observe(session, Observation(capture=Path(capture), per_op=True, events="none")):
        for number in numbers:
            session.decode([5 + each for each in range(number)], all_logits=True)
            session.truncate(depth)
"""
PRODUCTS = ("gemm", "gemv")
CACHES = Caches(l2=(0, 0), l3=(0, 0))  # nobody looks at refills here

Calls = Mapping[int, Counter[str]]
"""Instructions by kind of operation, and all of them as ``all``, by tokens of the call."""


def kinds(rows: pd.DataFrame) -> Calls:
    """Calls of a capture with instructions of operations. Products stand apart by the type of their weights."""
    found: dict[int, Counter[str]] = {}
    for _, call in rows.groupby("call", sort=False):
        whole = call[call["op"] == ""]
        counts = found.setdefault(int(whole["n_eval"].iloc[0]), Counter())
        counts["all"] = int(whole[INSTRUCTIONS].iloc[0])
        for _, row in call[call["op"] != ""].iterrows():
            kind = f"products, {row['type']}" if row["op"] in PRODUCTS else str(row["op"])
            counts[kind] += int(row[INSTRUCTIONS])
        counts["rest of the call"] = counts["all"] - sum(count for kind, count in counts.items() if kind != "all")
    return found


def render(calls: Calls) -> str:
    """A row a kind, most instructions of a single token first; behind the millions of several tokens the ratio."""
    one = calls[1]
    several = [number for number in calls if number != 1]
    lines = [f"{'M instructions, tokens:':24}{1:>9}" + "".join(f"{number:>16}" for number in several)]
    for kind in sorted(one, key=lambda kind: (kind == "all", -one[kind])):
        cells = [f"{calls[number][kind] / 1e6:9.3f}{_ratio(calls[number][kind], one[kind])}" for number in several]
        lines.append(f"{kind:24}{one[kind] / 1e6:9.3f}" + "".join(cells))
    return "\n".join(lines) + "\n"


def _ratio(count: int, one: int) -> str:
    return f" {count / one:6.3f}" if one else " " * 7


def numbers_of(text: str) -> Sequence[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 2:
        raise ValueError
    return [1, *numbers]


def few_tokens() -> int:
    parser = argparse.ArgumentParser(prog="emulate.few_tokens", description="Instructions of calls of a few tokens.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("-n", "--numbers", type=numbers_of, default=[1, 2, 4, 8], help="of tokens (2,4,8)")
    parser.add_argument("-d", "--depth", type=int, default=64, help="tokens before them (%(default)s)")
    parser.add_argument("--cpu", default=DEFAULT_CPU, help="qemu's name of a core (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    add_build_options(parser)
    options = parser.parse_args()
    build = build_of(options)
    if not options.model.is_file():
        raise ToolError(f"{options.model}: there is no such model")
    set_up(build)
    numbers = ",".join(map(str, options.numbers))
    capture = OUT.with_name("few-tokens.csv")
    program = ["-c", GUEST, str(options.model), str(options.depth), numbers]
    emulated_program(program, f"calls of {numbers} tokens", capture, options.cpu, CACHES)
    calls = kinds(counts_of(capture))
    sys.stdout.write(json.dumps(calls) + "\n" if options.json else render(calls))
    return 0


if __name__ == "__main__":
    main(few_tokens)
