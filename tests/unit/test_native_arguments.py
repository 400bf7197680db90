"""Whatever the native module is given, it answers with an exception or a result: never a crash, never a stray write.

Each test is a list of random mistakes in an otherwise right call, from a fixed seed; ``make sanitize`` runs them under
ASan and UBSan, where a stray access ends the process.
"""

from __future__ import annotations

import random
import re
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mistakes import ANYTHING, INTEGERS, NO_INTEGERS, REFUSALS, SPEC, model_arguments, with_a_mistake

from q4engine import _native


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return model_arguments(tmp_path_factory.mktemp("tiny"))


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except REFUSALS as error:
        return type(error).__name__
    return "done"


def test_models_and_sessions_of_a_wrong_plan(arguments: dict[str, Any]) -> None:
    """A plan that is taken is run, with another context and batch than it was made for."""
    rng, right = random.Random(1), {key: value for key, value in arguments.items() if key != "_engine"}

    def call() -> None:
        mistaken = right | {"kv_form": rng.choice(("f16", "q8_0"))}
        for _ in range(rng.choice([0, 1, 1, 2])):
            mistaken = with_a_mistake(mistaken, rng)
        model = _native.Model(**mistaken)
        n_ctx, n_batch = rng.choice([64, 600, 1, *INTEGERS]), rng.choice([8, 8, 1, *INTEGERS])
        session = _native.Session(model, n_ctx, n_batch)
        logits = np.empty(model.kernels()[-1][2], np.float32)
        for n in (5, 1, 8):
            tokens = np.array([rng.randrange(SPEC.vocab_size) for _ in range(n)], np.int32)
            session.decode(tokens, rng.choice([0, 3, 63, 550]), False, logits)

    outcomes = Counter(outcome(call) for _ in range(1500))
    assert outcomes["done"] > 20 and outcomes["ValueError"] > 200


@pytest.mark.parametrize("number", [-1, 4, 5, 1000])
def test_a_type_that_the_core_lacks_is_refused(number: int, arguments: dict[str, Any]) -> None:
    given = {key: value for key, value in arguments.items() if key != "_engine"}
    message = f"has the type number {number}, which the engine does not compute with"
    name, _, *rest = given["weights"][0]
    with pytest.raises(ValueError, match=f"^{re.escape(name)} {message}"):
        _native.Model(**given | {"weights": [(name, number, *rest), *given["weights"][1:]]})
    data, _, *shape = given["tables"][0]
    with pytest.raises(ValueError, match=f"^an embedding {message}"):
        _native.Model(**given | {"tables": [(data, number, *shape)]})


def test_decode_with_wrong_buffers(arguments: dict[str, Any]) -> None:
    rng = random.Random(2)
    session = _native.Session(arguments["_engine"].native, 64, 8)
    vocabulary = SPEC.vocab_size
    read_only = np.zeros(vocabulary, np.float32)
    read_only.flags.writeable = False
    logits = [np.zeros(vocabulary, np.float32)] * 3 + [np.zeros((3, vocabulary), np.float32), bytearray(4 * vocabulary)]
    logits += [read_only, bytes(4 * vocabulary), np.zeros(4 * vocabulary + 1, np.uint8)[1:], *ANYTHING]
    tokens = [np.array(ids, np.int32) for ids in ([1, 2, 3], [], range(9), [-1], [10**9], [319, 2**31 - 1])]
    tokens += [array("i", [5]), b"abc", np.zeros(13, np.uint8)[1:], np.arange(16, dtype=np.int32)[::2], *ANYTHING]
    wrong = [tokens, [1, 60, 63, 64, *ANYTHING], [True, *ANYTHING], logits]

    def call() -> None:
        call = [tokens[0], 0, False, logits[0]]
        for at in rng.choices(range(4), k=2):
            call[at] = rng.choice(wrong[at])
        session.decode(*call)

    outcomes = Counter(outcome(call) for _ in range(4000))
    assert outcomes["done"] > 20 and not read_only.any()


def test_functions_with_wrong_arguments(arguments: dict[str, Any]) -> None:
    rng = random.Random(3)
    rows = [
        np.zeros((2, 256), np.float32),
        np.full((2, 256), 3e38, np.float32),
        np.zeros(2049, np.uint8)[1:],
        *ANYTHING,
    ]
    packed = [np.zeros(288, np.uint8), np.zeros(544, np.uint8), np.zeros(420, np.uint8), b"x" * 288, *ANYTHING]
    calls: list[Callable[[], object]] = [
        lambda: _native.quantize_rows(
            rng.choice(rows), rng.choice(packed), rng.choice([2, 8, 14, 1, *ANYTHING]), rng.choice([2, 2, *ANYTHING]),
            rng.choice([256, 256, *ANYTHING]), rng.choice(["search", "reference", *ANYTHING]),
            *rng.choice([(), (None,), (np.ones(256, np.float32),), (rng.choice(ANYTHING),)]),
        ),
        lambda: _native.sample(
            rng.choice([*rows, np.ones(40, np.float32)]), rng.choice([array("i"), array("i", [3]), *ANYTHING]),
            *(rng.choice([usual, usual, usual, *ANYTHING]) for usual in (0.8, 40, 0.9, 0.05, 1.1, 0.5, 0.5, 7)),
        ),
        lambda: _native.tell_of_truncation(rng.choice([b"", bytes(5000), *ANYTHING])),
        lambda: _native.skip_strings(rng.choice([bytes(16), b"\xff" * 16, *ANYTHING]), *rng.choices(ANYTHING, k=2)),
        lambda: _native.cpu_features(rng.choice([*ANYTHING, "avx2," * 500])),
        lambda: _native.random_state(rng.choice(ANYTHING)),
        lambda: _native.Session(rng.choice([arguments["_engine"].native, *ANYTHING]), *rng.choices(ANYTHING, k=2)),
        lambda: _native.probe_int8(rng.choice([arguments["_engine"].native, *ANYTHING]), rng.choice(NO_INTEGERS)),
    ]  # fmt: skip
    outcomes = Counter(outcome(rng.choice(calls)) for _ in range(6000))
    assert outcomes["done"] > 100 and outcomes["ValueError"] > 100 and outcomes["TypeError"] > 100


def test_lists_that_change_while_they_are_read(arguments: dict[str, Any]) -> None:
    """Converting a number may run Python code."""
    weights = list(arguments["weights"])

    name, kind, columns, experts, sources = weights[0]

    class Emptying:
        def __index__(self) -> int:
            weights.clear()
            return columns

    weights[0] = (name, kind, Emptying(), experts, sources)
    given = {key: value for key, value in arguments.items() if key != "_engine"} | {"weights": weights}
    model = _native.Model(**given)
    assert not weights and model.kernels() == arguments["_engine"].native.kernels()


class Changing:
    """A number whose conversion changes the list that is being read."""

    def __init__(self, value: int, change: Callable[[], object]) -> None:
        self.value, self.change = value, change

    def __index__(self) -> int:
        self.change()
        return self.value


def test_lists_that_any_number_in_them_clears(arguments: dict[str, Any]) -> None:
    right = {key: value for key, value in arguments.items() if key != "_engine"}
    for name in ("tables", "vectors", "rope_tables", "weights", "buffers", "plan"):
        for at, row in enumerate(right[name][:3]):
            places = range(len(row)) if isinstance(row, tuple) else [None]
            for place in places:
                changed = list(right[name])
                value = row if place is None else row[place]
                if not isinstance(value, int):
                    continue
                number = Changing(value, changed.clear)
                changed[at] = number if place is None else (*row[:place], number, *row[place + 1 :])
                outcome(lambda changed=changed, name=name: _native.Model(**{**right, name: changed}))  # type: ignore[misc]
    sources = list(right["weights"][0][4])
    sources[0] = (sources[0][0], Changing(sources[0][1], sources.clear))
    weights = [(*right["weights"][0][:4], sources), *right["weights"][1:]]
    assert outcome(lambda: _native.Model(**{**right, "weights": weights})) in ("done", "ValueError")


def test_recording_that_changes_while_it_is_set_up(arguments: dict[str, Any]) -> None:
    session = _native.Session(_native.Model(**{k: v for k, v in arguments.items() if k != "_engine"}), 64, 8)
    events: list[Any] = []
    groups: list[Any] = [events]
    change = Changing(1, lambda: (groups.clear(), events.clear(), session.record(1, [])))
    events += [(change, change, False), (1, 0, False)]
    assert outcome(lambda: session.record(2, groups)) in ("ValueError", "IndexError", "TypeError")
    for wrong in ([[None]], [None], [[(1,)]], [[(1, 2, 3, 4)]], [[("x", 0, 0)]], [[[1, 0, 0]]], None, {}, [[]]):
        assert outcome(lambda wrong=wrong: session.record(2, wrong)) in ("ValueError", "TypeError")  # type: ignore[misc]
    logits = np.empty(SPEC.vocab_size, np.float32)
    session.decode(np.ones(1, np.int32), 0, False, logits)
