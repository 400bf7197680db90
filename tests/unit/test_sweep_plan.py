"""Plans of sweeps: axes, constraints, what engines are told of, the order, and what is wrong in one line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from swept import synthetic_plan

from q4engine.errors import Q4Error
from q4engine.sweep import estimate
from q4engine.sweep.combination import NAMES, Combination
from q4engine.sweep.constraint import Constraint
from q4engine.sweep.engines import engines_of
from q4engine.sweep.order import block_order
from q4engine.sweep.plan_file import crowded, plan_of, read_plan
from q4engine.sweep.results import Run
from q4engine.sweep.sweeping import planned

MODEL = {"model": ["a.gguf"]}
PROGRAM: dict[str, Any] = {"command": ["./run", "-n", "{generate}"], "decode": {"rate": "([0-9.]+) tok/s"}}


def plan(axes: dict[str, Any], **data: Any) -> Any:
    return plan_of({"axes": axes, **data}, "synthetic", Path())


# ---- axes ------------------------------------------------------------------------------------------------------------


def test_every_combination_is_there_once() -> None:
    found = plan({**MODEL, "threads": [1, 2, 2], "prompt": [16, 64], "type": ["", "q4_0"]}).combinations
    assert len(found) == len(set(found)) == 8
    assert {(each["threads"], each["prompt"], each["type"]) for each in found} == {
        (threads, prompt, kind) for threads in (1, 2) for prompt in (16, 64) for kind in ("", "q4_0")
    }
    assert all(each["generate"] == 32 and each["batch"] == 512 and each["build"] == "this" for each in found)


def test_what_an_engine_is_not_told_of_makes_no_further_runs() -> None:
    axes = {
        **MODEL,
        "engine": ["native", "llama.cpp", "mine"],
        "features": ["", "none"],
        "threads": [1, 2],
        "generate": [8],
    }
    found = plan(axes, engines={"mine": PROGRAM}).combinations
    by_engine = {name: [each for each in found if each["engine"] == name] for name in axes["engine"]}
    assert [len(each) for each in by_engine.values()] == [4, 2, 1]
    assert all(each["features"] is None and each["build"] is None for each in by_engine["llama.cpp"])
    assert by_engine["mine"][0].as_dict() == dict.fromkeys(NAMES) | {
        "engine": "mine",
        "mask": "",
        "generate": 8,
        "machine": "here",
    }


def test_a_type_is_known_by_any_spelling() -> None:
    assert plan({**MODEL, "type": ["Q4_0", "q4_0"]}).combinations[0]["type"] == "q4_0"


def test_constraints_take_combinations_out_and_are_counted() -> None:
    cpus = len(os.sched_getaffinity(0))
    axes = {**MODEL, "threads": [1, cpus, cpus + 1], "prompt": [16, 64]}
    skip = ["threads > cpus", "threads == 1 and prompt in [64]"]
    found = plan(axes, skip=skip)
    assert not crowded(found) and len(crowded(plan(axes))) == 2
    assert dict(found.skipped) == {"threads > cpus": 2, "threads == 1 and prompt in [64]": 1}
    assert len(found.combinations) == len(plan(axes).combinations) - 3


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("threads == 2", True),
        ("not threads == 2", False),
        ("1 < threads < 3 and engine == 'native'", True),
        ("threads > 2 or prompt % 3 == 1", True),
        ("engine in ['numpy', 'llama.cpp']", False),
        ("engine not in ['numpy']", True),
        ("prompt * threads // 2 - 16 == 0", True),
        ("depth > 0", False),  # the engine is not told of it
        ("depth != 0", True),
    ],
)
def test_constraints(text: str, holds: bool) -> None:
    values = {"threads": 2, "engine": "native", "prompt": 16, "depth": None}
    assert Constraint(text, tuple(values)).holds(values) is holds


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "threads.real", "(lambda: 1)()", "threads ** 9", "speed > 1", "[x for x in 'a']", "", "1 +",
     "threads if 1 else 2", "f'{threads}'", "None", "threads == b'x'", "(" * 500, "x" * 2000],
)  # fmt: skip
def test_what_is_no_constraint(text: str) -> None:
    with pytest.raises(Q4Error, match="is no constraint"):
        Constraint(text, ("threads",))


@pytest.mark.parametrize(
    "text", ["threads < 'a'", "threads % 0", "'a' * 5", "4611686018427387904 * threads", f"{'-' * 985}1 > threads"]
)
def test_constraints_that_cannot_be_evaluated(text: str) -> None:
    with pytest.raises(Q4Error, match="cannot be evaluated"):
        Constraint(text, ("threads",)).holds({"threads": 2})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "give model = [GGUF files], which native needs"),
        ({"axes": {"thread": [1]}}, "[axes]: there is no 'thread'"),
        ({"axes": {**MODEL, "threads": [0]}}, "[axes]: threads: found '0', expected a whole number from 1 to 256"),
        ({"axes": {**MODEL, "threads": [True]}}, "[axes]: threads: found 'True'"),
        ({"axes": {**MODEL, "prompt": [1.5]}}, "[axes]: prompt: found '1.5'"),
        ({"axes": {**MODEL, "prompt": []}}, "[axes]: prompt is empty"),
        ({"axes": {"model": [1]}}, "[axes]: model: found '1', expected a text"),
        ({"axes": {**MODEL, "type": ["q9_9"]}}, "[axes]: type: there is no 'q9_9'"),
        ({"axes": {**MODEL, "mask": ["0x0"]}}, "[axes]: mask: '0x0' names no CPUs"),
        ({"axes": {**MODEL, "engine": ["torch"]}}, "[axes]: engine: there is no 'torch'"),
        ({"axes": {**MODEL, "build": ["O3"]}}, "[axes]: build: there is no 'O3'"),
        ({"axes": {**MODEL, "prompt": [0], "generate": [0]}}, "the plan has no runs: prompt and generate are 0"),
        ({"axes": {**MODEL, "build": "matrix"}}, "is all of [matrix] that run here: there are none"),
        ({"axes": MODEL, "skip": ["threads > 0"]}, "the plan has no runs: every combination is skipped"),
        ({"axes": MODEL, "skip": 3}, "skip: found '3', expected constraints"),
        ({"axes": MODEL, "repetition": 3}, "there is no 'repetition'"),
        ({"axes": MODEL, "repetitions": 0}, "repetitions: found '0'"),
        ({"axes": MODEL, "target": float("nan")}, "target: found 'nan'"),
        ({"axes": MODEL, "warm_up": 1}, "warm_up: found '1', expected true or false"),
        ({"axes": MODEL, "name": 1}, "name: found '1'"),
        ({"axes": [1]}, "axes: found '[1]', expected a table"),
        (
            {"axes": {**MODEL, "prompt": list(range(400)), "generate": list(range(400))}},
            "the axes have 160000 combinations, expected at most 25000",
        ),
        (
            {"axes": {**MODEL, "prompt": list(range(500_000))}, "skip": "threads > 0"},
            "the axes have 500000 combinations",
        ),
        (
            {"axes": {**MODEL, "prompt": list(range(500))}, "skip": ["threads in [" + "9, " * 300 + "]"] * 20},
            "names, numbers and signs for 500 combinations, expected at most 4000",
        ),
        ({"axes": {**MODEL, "prompt": list(range(1, 100))}, "repetitions": 9000}, "99 combinations in 9000 blocks are"),
        ({"axes": {**MODEL, "mask": ["0x" + "f" * 900_000]}}, "[axes]: mask: '0xfff"),
        ({"axes": MODEL, "engines": {"mine": {"decode": "wall"}}}, "[engines.mine]: command is a list of words"),
        ({"axes": MODEL, "engines": {"mine": {"command": ["x"]}}}, "[engines.mine]: say where a time is told"),
        ({"axes": MODEL, "engines": {"mine": {"command": ["{speed}"], "decode": "wall"}}}, "there is no {speed}"),
        ({"axes": MODEL, "engines": {"mine": {"command": ["{"], "decode": "wall"}}}, "a brace is written twice"),
        ({"axes": MODEL, "engines": {"mine": {"command": ["x"], "decode": {"seconds": "("}}}}, "is no pattern"),
        ({"axes": MODEL, "engines": {"mine": {"command": ["x"], "decode": {"seconds": "x"}}}}, "has 0 groups"),
        ({"axes": MODEL, "engines": {"mine": {"command": ["x"], "decode": 3}}}, "decode = { seconds = PATTERN }"),
        ({"axes": MODEL, "engines": {"native": {"python": "x"}}}, "q4engine's own come with a build"),
        ({"axes": MODEL, "engines": {"a,b": PROGRAM}}, "'a,b' is no name for an engine"),
        ({"axes": MODEL, "builds": {"O3": {"pyton": "x"}}}, "[builds.O3]: there is no 'pyton'"),
        ({"axes": MODEL, "builds": {"O3": {"environment": {"A": 1}}}}, "environment: 'A' = '1'"),
    ],
)
def test_what_is_wrong_is_one_line(data: dict[str, Any], message: str) -> None:
    with pytest.raises(Q4Error) as error:
        plan_of(data, "synthetic", Path())
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    cases = {
        b"axes = [": "is no TOML", b"\xff": "is no TOML", b"a = 1": "there is no 'a'",
        b"\na" * 40_000: "is larger than 64 KiB",
        b"\na" + b".a" * 30_000 + b" = 1": "line 2 has more than 1000 dots",
    }  # fmt: skip
    for raw, message in cases.items():
        (tmp_path / "plan.toml").write_bytes(raw)
        with pytest.raises(Q4Error, match=rf"plan\.toml: {message}"):
            read_plan(tmp_path / "plan.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path, tmp_path / "pipe.toml", tmp_path / "nowhere.toml"):
        with pytest.raises(Q4Error, match="cannot be read"):
            read_plan(path)


def test_plans_of_the_documents_are_plans(repo_root: Path) -> None:
    found = sorted((repo_root / "docs" / "plans").glob("*.toml"))
    assert found and all(read_plan(path).combinations for path in found)


def test_a_command_is_filled_in() -> None:
    engine = engines_of({"mine": {**PROGRAM, "command": ["run", "{{x}}", "-n={generate}", "{model}"]}})["mine"]
    assert engine.axes == {"engine", "mask", "machine", "type", "generate", "model"}
    assert engine.words({"generate": 8, "model": Path("a.gguf")}) == ["run", "{x}", "-n=8", "a.gguf"]


def test_a_hash_depends_on_the_values_alone() -> None:
    one = Combination.of({"engine": "native", "threads": 2})
    assert one.hash == Combination.of({"threads": 2, "engine": "native", "type": None}).hash == "69cfe43be656525f"
    assert one.hash != Combination.of({"engine": "native", "threads": "2"}).hash


# ---- order -----------------------------------------------------------------------------------------------------------


def test_blocks_hold_each_combination_and_every_second_is_backwards() -> None:
    found = synthetic_plan({"threads": [1, 2, 4], "prompt": [1, 2, 3, 4]}, blocks=6)
    blocks = [block_order(found.combinations, 1, block) for block in range(6)]
    assert all(sorted(map(str, block)) == sorted(map(str, found.combinations)) for block in blocks)
    assert all(blocks[n] == blocks[n + 1][::-1] for n in (0, 2, 4))
    assert blocks[0] != blocks[2] != blocks[4] and blocks[0] != block_order(found.combinations, 2, 0)
    assert [combination for _, combination in planned(found)] == [each for block in blocks for each in block]


def test_the_order_of_some_is_that_of_all_without_the_others() -> None:
    found = synthetic_plan({"threads": [1, 2, 4], "prompt": [1, 2, 3, 4]}).combinations
    some = [each for each in found if each["threads"] != 2]
    assert block_order(some, 5, 2) == [each for each in block_order(found, 5, 2) if each["threads"] != 2]


# ---- time ------------------------------------------------------------------------------------------------------------


def test_time_that_is_left_follows_what_was_taken() -> None:
    found = synthetic_plan({"threads": [1, 2]})
    one, two = found.combinations
    assert estimate.seconds_of(found, [Run(one, 0, "done", seconds=4.0)])[one] == 4.0
    guess = estimate.seconds_of(found, [])[two]
    taken = [Run(one, block, "done", seconds=guess * 10) for block in range(2)]
    assert estimate.seconds_of(found, taken)[two] == pytest.approx(10 * guess)
    assert [estimate.in_words(seconds) for seconds in (0.1, 50, 720, 12000)] == ["1 s", "50 s", "12 min", "3 h 20 min"]
