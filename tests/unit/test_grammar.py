"""Grammars at work: what is generated keeps to them, whatever the sampler, the model and the speculation."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_runs import Cli
from gbnf_texts import GRAMMARS, judged
from speculated import Eager

from q4engine.cli import constraining
from q4engine.conversation import Conversation
from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.generate import generate
from q4engine.sampling import Sampler, SamplerSettings, gbnf
from q4engine.sampling.grammar import Grammar, check_steps
from q4engine.speculation import DraftModel, Lookup, SpeculativeSession

pytest.importorskip("llguidance", reason="llguidance is not installed (the extra grammar)")

SEEDS = int(os.environ.get("Q4_GRAMMAR_SEEDS", "4"))
"""For each grammar: ``Q4_GRAMMAR_SEEDS=1000 pytest tests/unit/test_grammar.py``."""
SETTINGS = (
    SamplerSettings(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0),
    SamplerSettings(temperature=0.8),
    SamplerSettings(mirostat=2, mirostat_tau=3.0),
    SamplerSettings(typical_p=0.9, xtc_probability=0.5, repeat_penalty=1.3, temperature=2.0),
)
PROMPT = [5, 9, 14]
YES = 'root ::= "yes" | "no"'


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Iterator[Engine]:
    with Engine.load(tiny, n_threads=1) as loaded:
        yield loaded


def text_of(engine: Engine, sampler: Sampler, n: int) -> tuple[str, str]:
    """What is generated, and why it ends."""
    sampler.begin()
    answer = generate(engine.session(n_ctx=128), PROMPT, sampler, n, engine.tokenizer.stop_ids)
    found = b"".join(engine.tokenizer.token_bytes(token) for token in answer)
    return found.decode("utf-8", "replace" if answer.stop_reason == "length" else "strict"), answer.stop_reason


@pytest.mark.parametrize("name", GRAMMARS)
def test_what_is_generated_parses(engine: Engine, name: str) -> None:
    """All of it where it ended by itself, else as a beginning."""
    rules, numbers = gbnf.parse(GRAMMARS[name], name), random.Random(name)
    grammar = Grammar.from_gbnf(GRAMMARS[name], engine.tokenizer, name)
    ended = 0
    for seed in range(SEEDS):
        how = replace(SETTINGS[seed % len(SETTINGS)], seed=seed)
        text, reason = text_of(engine, Sampler(how, engine.tokenizer, grammar), numbers.choice([12, 24]))
        found = judged(rules, text.rstrip("\ufffd"))  # a character that was cut in two
        assert found.whole if reason == "stop token" else found.begins, (seed, text)
        ended += reason == "stop token"
    assert ended or name not in ("yes or no", "a date")  # others go on for as long as they may


def test_json_by_a_schema(engine: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 5},
            "n": {"type": "integer", "minimum": 0, "maximum": 99},
            "kind": {"enum": ["a", "b"]},
        },
        "required": ["name", "n", "kind"],
        "additionalProperties": False,
    }
    grammar = Grammar.from_json_schema(json.dumps(schema), engine.tokenizer)
    ended = 0
    for seed in range(12):
        text, reason = text_of(engine, Sampler(SamplerSettings(seed=seed), engine.tokenizer, grammar), 90)
        if reason == "stop token":
            found = json.loads(text)
            assert set(found) == {"name", "n", "kind"} and 0 <= found["n"] <= 99 and found["kind"] in ("a", "b")
            ended += 1
    assert ended


def test_schemas_that_ask_for_nothing(engine: Engine) -> None:
    logits = np.zeros(engine.config.vocab_size, np.float32)
    any_json, also = (Grammar.from_json_schema(text, engine.tokenizer).masked(logits) for text in ("{}", "true"))
    assert np.array_equal(any_json, also) and 0 < np.count_nonzero(any_json == 0) < len(logits)
    with pytest.raises(Q4Error, match="the JSON schema: "):
        Grammar.from_json_schema("false", engine.tokenizer)


def test_a_token_that_fits_is_drawn_as_without_a_grammar(engine: Engine) -> None:
    everything = Grammar.from_gbnf("root ::= .*", engine.tokenizer)
    plain, free = (Sampler(replace(SETTINGS[0], seed=3), engine.tokenizer, grammar) for grammar in (None, everything))
    logits = np.random.default_rng(1).normal(0, 2, engine.config.vocab_size).astype(np.float32)
    logits[[*engine.tokenizer.stop_ids]] = -30.0
    for token in range(engine.config.vocab_size):
        if not engine.tokenizer.token_bytes(token).isascii() or not everything.allows(token):
            logits[token] = -30.0  # control tokens, and pieces of characters
    assert [plain.sample(logits) for _ in range(40)] == [free.sample(logits) for _ in range(40)]


def test_the_share_of_what_fits_is_kept(engine: Engine) -> None:
    letters = [engine.tokenizer.encode(letter, add_bos=False)[0] for letter in "abc"]
    logits = np.full(engine.config.vocab_size, -40.0, np.float32)
    logits[letters] = np.log([0.5, 0.2, 0.3])
    how = SamplerSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)
    sampler = Sampler(how, engine.tokenizer, Grammar.from_gbnf("root ::= [bc]*", engine.tokenizer))
    drawn = [sampler.sample(logits) for _ in range(4000)]
    assert set(drawn) == set(letters[1:]) and abs(drawn.count(letters[1]) / 4000 - 0.4) < 0.03


def test_single_tokens(engine: Engine) -> None:
    """By their ids, whatever text they stand for."""
    tokenizer = engine.tokenizer
    first, last = (tokenizer.encode(letter, add_bos=False)[0] for letter in "ab")
    stop = next(iter(tokenizer.stop_ids))
    for text in (
        f"root ::= <[{first}]> inner <[{last}]>\ninner ::= !<[{last}]>{{2}} # any but that one",
        f"root ::= <[{first}]> (!<[{last}]> !<[{last}]>) <[{last}]>",
    ):
        grammar = Grammar.from_gbnf(text, tokenizer)
        for seed in range(6):
            sampler = Sampler(replace(SETTINGS[0], seed=seed), tokenizer, grammar)
            sampler.begin()
            answer = generate(engine.session(n_ctx=64), PROMPT, sampler, 9, tokenizer.stop_ids)
            tokens = list(answer)
            assert answer.stop_reason == "stop token" and (tokens[0], tokens[-1]) == (first, last)
            assert len(tokens) == 4 and last not in tokens[:-1] and stop not in tokens


@pytest.mark.parametrize("settings", [replace(how, seed=7) for how in SETTINGS])
@pytest.mark.parametrize("name", ["JSON", "sums", "a list"])
def test_speculation_changes_nothing(engine: Engine, name: str, settings: SamplerSettings) -> None:
    def tokens(drafted: bool | None) -> list[int]:
        sampler = Sampler(settings, engine.tokenizer, Grammar.from_gbnf(GRAMMARS[name], engine.tokenizer))
        session: Any = engine.session(n_ctx=128)
        if drafted is not None:
            drafter = DraftModel(engine.session(n_ctx=128), sampler) if drafted else Lookup(1)
            session = SpeculativeSession(session, drafter, 5)
            session._pace = Eager(5)
        return list(generate(session, PROMPT, sampler, 30, engine.tokenizer.stop_ids))

    assert tokens(None) == tokens(True) == tokens(False)


def test_every_answer_begins_anew(engine: Engine) -> None:
    sampler = Sampler(SamplerSettings(seed=1), engine.tokenizer, Grammar.from_gbnf(YES, engine.tokenizer))
    talk = Conversation(engine, engine.session(n_ctx=128), engine.tokenizer, None, sampler)
    for _ in range(3):
        answer = talk.complete("abc", 9)
        assert engine.tokenizer.decode(list(answer)) in ("yes", "no") and answer.stop_reason == "stop token"


def test_a_grammar_at_its_end_ends_the_text_also_where_ends_are_excluded(engine: Engine) -> None:
    excluded = dict.fromkeys(engine.tokenizer.stop_ids, -np.inf)
    for how in (SamplerSettings(seed=1, logit_bias=excluded), SamplerSettings(mirostat=2, seed=1, logit_bias=excluded)):
        sampler = Sampler(how, engine.tokenizer, Grammar.from_gbnf(YES, engine.tokenizer))
        assert text_of(engine, sampler, 9)[1] == "stop token"


def test_grammars_that_lead_nowhere(engine: Engine) -> None:
    with pytest.raises(Q4Error) as caught:
        grammar = Grammar.from_gbnf('root ::= root "a"', engine.tokenizer, "g.gbnf")
        text_of(engine, Sampler(SamplerSettings(seed=1), engine.tokenizer, grammar), 9)
    assert str(caught.value).startswith("g.gbnf: ") and "\n" not in str(caught.value)
    for text in ('{"$ref": "#"}', '{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}'):
        with pytest.raises(Q4Error, match=r"^the JSON schema: no text fits it, as where it refers to itself before"):
            Grammar.from_json_schema(text, engine.tokenizer)
    with pytest.raises(Q4Error, match=r"expected an object or true, found false, which no JSON fits$"):
        Grammar.from_json_schema("false", engine.tokenizer)
    for text in ("[", "1", "[]", '{"type": "nothing"}'):
        with pytest.raises(Q4Error, match=r"^the JSON schema: .+$"):
            Grammar.from_json_schema(text, engine.tokenizer)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_a_long_chain_of_definitions(engine: Engine) -> None:
    """Which llguidance follows on the stack, and on the main thread's to its end."""
    chain = {f"a{i}": {"type": "object", "properties": {"x": {"$ref": f"#/$defs/a{i + 1}"}}} for i in range(1500)}
    schema = json.dumps({"$defs": {**chain, "a1500": {"type": "string"}}, "$ref": "#/$defs/a0"})
    grammar = Grammar.from_json_schema(schema, engine.tokenizer)
    assert grammar.allows(engine.tokenizer.encode("{", add_bos=False)[0])
    with pytest.raises(Q4Error, match="has 300000 characters, expected at most 262144"):
        Grammar.from_json_schema(" " * 300_000, engine.tokenizer)


@pytest.mark.parametrize(
    "schema",
    [
        {"multipleOf": 999_983},
        {"multipleOf": 10**300},
        {"type": "array", "items": [{"multipleOf": 7000 + index} for index in range(8)]},
        {"multipleOf": 997, "allOf": [{"multipleOf": 991}]},
        {"multipleOf": 4001, "anyOf": [{"multipleOf": 0.01}]},
    ],
)
def test_multiples_that_take_too_many_states(schema: Any, engine: Engine) -> None:
    with pytest.raises(Q4Error, match="multipleOf takes more than 50000 states"):
        Grammar.from_json_schema(json.dumps({"type": "number", **schema}), engine.tokenizer)


def test_multiples() -> None:
    """Those of everyday; what is no number is left to the library."""
    for step in (5, 0.01, 0.25, 1e-06, 1000, 1.0, float("nan"), True, "5", None, 0):
        check_steps({"properties": {"a": {"multipleOf": step}, "b": {"multipleOf": 12}}}, "the schema")


def test_the_command(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = q4("run", tiny, "-p", "abc", "-n", "24", "-t", "1", "-s", "5", "--no-chat", *words)
        assert result.code == 0, result.err
        return result.out.removesuffix("\n")

    file = tmp_path / "g.gbnf"
    file.write_text(YES + "\n")
    assert (
        run("--grammar", YES)
        == run("--grammar", file)
        == run("--grammar-file", file)
        == run("--grammar", YES, "--lookup", 2)
    )
    assert run("--grammar", YES) in ("yes", "no")
    schema = tmp_path / "s.json"
    schema.write_text('{"enum": [1, 22]}')
    assert run("-jf", schema) == run("-j", '{"enum": [1, 22]}') in ("1", "22")


def test_mistakes_of_the_command(q4: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "g.gbnf"
    file.write_text("\nroot ::= a")
    for words, message in (
        (("--grammar-file", file), f"error: {file}: line 2: there is no rule 'a', at 'a'\n"),
        (("--grammar", "root ::= ("), "error: --grammar: line 1: expected )"),
        (("--grammar", "nowhere.gbnf"), "error: nowhere.gbnf: cannot be read: No such file or directory\n"),
        (("--json-schema", "{"), "error: --json-schema: is no JSON schema: "),
        (
            ("--json-schema", '{"type": "string", "pattern": "(a"}'),
            "error: --json-schema: regex parse error: '(a': unclosed group\n",
        ),
    ):
        result = q4("run", tiny, "-p", "abc", *words)
        assert result.code == 1 and result.err.startswith(message) and result.err.count("\n") == 1
    result = q4("run", tiny, "-p", "abc", "--grammar", YES, "-j", "{}")
    assert result.code == 2 and "not allowed with" in result.err
    monkeypatch.setattr(constraining, "find_spec", lambda _: None)
    result = q4("run", tiny, "-p", "abc", "--grammar", YES)
    assert result.err == "error: a grammar needs llguidance: pip install 'q4engine[grammar]'\n"
