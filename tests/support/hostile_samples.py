"""Files that are made to be slow to read: of samples, by perf script."""

from __future__ import annotations

import hostile_files as made
from hostile_files import FUNCTIONS, MEMORY, STALLS, Kind, filled

SAMPLES: dict[str, Kind] = {
    "script": (FUNCTIONS, lambda: filled(made.sample)),
    "script-names": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, f"function_{n}"))),
    "script-long-names": (
        FUNCTIONS,
        lambda: filled(lambda n, r: made.sample(n, r, f"std::vector<int, a{n}<b, {n}>>::push(int, char const*)")),
    ),
    "script-comms": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, comm=f"thread {n}"))),
    "script-images": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r).replace("x.so", f"x{n}.so"))),
    "script-events": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, name=f"r{n:x}"))),
    "script-some-events": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r, name=f"r{n % 4000:x}"))),
    "script-chains": (FUNCTIONS, lambda: filled(made.chain)),
    "script-deep-chains": (FUNCTIONS, lambda: filled(lambda n, r: made.chain(n, r, 1000, 10**6))),
    "script-short-chains": (FUNCTIONS, lambda: filled(lambda n, r: made.chain(n, r, 1, 10**6))),
    "script-source-lines": (
        FUNCTIONS,
        lambda: filled(lambda n, r: made.chain(n, r, 4).replace(")\n", f")\n  file{n}.c:{n}\n")),
    ),
    "script-instructions": (FUNCTIONS, lambda: filled(lambda n, r: made.sample(n, r)[:-1] + " insn: 20 00 80 52\n")),
    "script-task-events": (
        FUNCTIONS,
        lambda: filled(made.in_turn(made.sample, lambda n, r: f"a 1 {n}.000001: PERF_RECORD_COMM exec: a:1/1\n")),
    ),
    "script-wrong-lines": (f"{FUNCTIONS} --lenient", lambda: filled(made.in_turn(made.sample, made.prose))),
    "script-blank-lines": (FUNCTIONS, lambda: filled(lambda n, r: "\n", made.sample(0, made.random.Random(1)))),
    "script-colons": (
        FUNCTIONS,
        lambda: filled(lambda n, r: " 1.0: " * 600 + "\n", made.sample(0, made.random.Random(1))),
    ),
    "script-accesses": (MEMORY, lambda: filled(made.access)),
    "script-to-stalls": (STALLS, lambda: filled(made.sample)),
}
