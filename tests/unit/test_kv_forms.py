"""Keys and values as int8 with scales: half the bytes, the same bits on every path, other files than fp16's."""

from __future__ import annotations

import json
from pathlib import Path

import bits
import numpy as np
import pytest
from cli_runs import Cli
from models.tiny import TINY_LLAMA, TINY_QWEN2, write_tiny

from analysis import sweep_results
from q4engine import prompt_cache
from q4engine.engine import Backend, Engine
from q4engine.errors import Q4Error
from q4engine.generate import generate
from q4engine.gguf import TensorType
from q4engine.kv_forms import KV_FORMS, KVForm
from q4engine.profiling.recording import kv_bytes_by_window, kv_bytes_per_position, kv_bytes_read
from q4engine.reference.forward import in_8_bits
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.speculation import Lookup, SpeculativeSession
from q4engine.sweep.plan_file import plan_of
from q4engine.sweep.results import read_results

SPEC = TINY_QWEN2.with_changes(head_dim=32)
EIGHT_BITS = ("-ctk", "q8_0", "-ctv", "q8_0")
RAW = ("-n", "5", "--temp", "0", "--no-chat", "-t", "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("model") / "synthetic-wide.gguf", SPEC)


def test_a_position_takes_34_bytes_for_64(model: Path) -> None:
    sizes = [kv_bytes_per_position(Engine.load(model, n_threads=1, kv_form=form)) for form in KV_FORMS]
    assert sizes == [SPEC.n_layers * SPEC.n_kv_heads * 2 * each for each in (64, 34)]


@pytest.mark.parametrize("features", bits.feature_lists())
def test_contexts_of_two_spans(model: Path, features: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [(i * 131 + i // 7) % 300 for i in range(530)]  # a span is 512
    monkeypatch.setenv("Q4_CPU_FEATURES", "none")
    expected = Engine.load(model, n_threads=1, kv_form="q8_0").session(n_ctx=530).decode(tokens, all_logits=True)
    monkeypatch.setenv("Q4_CPU_FEATURES", features)
    session = Engine.load(model, n_threads=2, kv_form="q8_0").session(n_ctx=530, n_batch=100)
    assert session.decode(tokens[:510]).tobytes() == expected[509].tobytes()
    for position in (510, 511, 512, 513):
        assert session.decode(tokens[position : position + 1]).tobytes() == expected[position].tobytes()
    assert session.decode(tokens[514:]).tobytes() == expected[-1].tobytes()


def test_of_windows_the_bytes_are_exact(tmp_path: Path) -> None:
    spec = bits.SPECS["gemma3-kv8"]
    with Engine.load(write_tiny(tmp_path / "m.gguf", spec), n_threads=1, kv_form="q8_0") as engine:
        a_layer = spec.n_kv_heads * 2 * 3 * 34  # heads of 96
        seen = kv_bytes_by_window(engine)
        assert list(seen) == [40] and seen[40] % a_layer == 0
        assert kv_bytes_read(engine, 100) == 2 * 100 * a_layer - 60 * seen[40]


def test_what_was_truncated_is_forgotten(model: Path) -> None:
    with Engine.load(model, n_threads=2, kv_form="q8_0") as engine:
        session, other = engine.session(n_ctx=128, n_batch=16), engine.session(n_ctx=128, n_batch=5)
        session.decode(bits.PROMPT)
        session.truncate(37)  # within a block and a batch
        other.decode(bits.PROMPT[:37])
        assert session.decode([15, 16]).tobytes() == other.decode([15, 16]).tobytes()


def test_guesses_change_nothing(model: Path) -> None:
    prompt, sampler = [5, 9, 14, 5, 9, 14, 5, 9], SamplerSettings(temperature=0.8, seed=1)
    with Engine.load(model, n_threads=1, kv_form="q8_0") as engine:
        plain = list(generate(engine.session(n_ctx=128), prompt, Sampler(sampler), 60))
        guessing = SpeculativeSession(engine.session(n_ctx=128), Lookup(1), 7)
        assert list(generate(guessing, prompt, Sampler(sampler), 60)) == plain
        assert guessing.guesses.drafted > 0


def test_the_reference_keeps_8_bits_too(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.gguf", SPEC.with_changes(weight_type=TensorType.F16))  # int8 is in the cache alone

    def logits(backend: Backend, form: KVForm) -> np.ndarray:
        with Engine.load(path, n_threads=1, backend=backend, kv_form=form) as engine:
            return engine.session().decode(bits.PROMPT[:40], all_logits=True)

    fine, coarse, found = logits("numpy", "f16"), logits("numpy", "q8_0"), logits("native", "q8_0")
    assert 0 < np.abs(found - coarse).mean() < 0.2 * np.abs(found - fine).mean()


def test_8_bits_of_a_block() -> None:
    block = np.zeros((1, 2, 64), np.float32)
    block[0, 1, 40:43] = -254, 1, 3
    kept = in_8_bits(block)
    assert kept[0, 1, 40:43].tolist() == [-254, 0, 4]  # steps of 2, halves to even
    assert not kept[0, 0].any() and not kept[0, 1, :32].any()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_heads_of_half_a_block_are_one_line(backend: Backend, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.gguf", TINY_LLAMA)
    with pytest.raises(Q4Error) as caught:
        Engine.load(path, n_threads=1, backend=backend, kv_form="q8_0")
    assert str(caught.value) == f"{path}: heads of 16 dimensions; keys and values as q8_0 need a multiple of 32"


def test_another_form_is_one_line(model: Path) -> None:
    with pytest.raises(Q4Error, match=r"^keys and values as 'q4_0', expected f16 or q8_0$"):
        Engine.load(model, n_threads=1, kv_form="q4_0")  # type: ignore[arg-type]


def test_a_prompt_cache_knows_its_form(model: Path, tmp_path: Path) -> None:
    path, engines = tmp_path / "p.cache", {form: Engine.load(model, n_threads=1, kv_form=form) for form in KV_FORMS}
    for form, other in (("f16", "q8_0"), ("q8_0", "f16")):
        plain = engines[form].session(n_ctx=256)  # type: ignore[index]
        plain.decode(bits.PROMPT)
        prompt_cache.save(path, plain, 70)
        again = engines[form].session(n_ctx=100)  # type: ignore[index]
        prompt_cache.load(path, again)
        plain.truncate(70)
        assert again.decode([9, 8]).tobytes() == plain.decode([9, 8]).tobytes()
        with pytest.raises(Q4Error, match=f"keys and values as '{form}', expected '{other}'"):
            prompt_cache.load(path, engines[other].session(n_ctx=256))  # type: ignore[index]


def test_run_with_8_bits(model: Path, tmp_path: Path, q4: Cli) -> None:
    capture = tmp_path / "c.csv"
    result = q4("run", model, "-p", "abc", *RAW, *EIGHT_BITS, "-v", "--capture", capture, "--events", "none")
    a_position = SPEC.n_layers * SPEC.n_kv_heads * 68
    n_ctx = SPEC.n_ctx_train
    assert result.code == 0 and f"context: {n_ctx} tokens as q8_0, {n_ctx * a_position / 1e6:.1f} MB, " in result.err
    lines = capture.read_text().splitlines()
    assert "# kv_form: q8_0" in lines and f"# kv_bytes_per_token: {a_position}" in lines
    plain = q4("run", model, "-p", "abc", *RAW, "--capture", capture, "--events", "none")
    assert plain.code == 0 and "kv_form" not in capture.read_text()


@pytest.mark.parametrize("command", ["run", "bench", "perplexity", "fingerprint"])
def test_keys_and_values_of_two_forms_are_refused(command: str, model: Path, q4: Cli) -> None:
    prompt = () if command == "bench" else ("-p", "abc")
    result = q4(command, model, *prompt, "-ctk", "q8_0")
    assert (result.code, result.out) == (2, "")
    assert "error: keys and values have one form: give -ctk and -ctv the same" in result.err
    assert q4(command, model, *prompt, "-ctk", "f32").code == 2


def test_the_base_of_a_divergence_keeps_fp16(model: Path, tmp_path: Path, q4: Cli) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abc " * 200)
    wanted = ("perplexity", model, "-f", text, "-c", "32", "-t", "1", "--kl-base", model)
    plain, coarse = q4(*wanted), q4(*wanted, *EIGHT_BITS)
    assert plain.code == coarse.code == 0
    of_the_base = [
        next(line for line in result.out.splitlines() if "of the base" in line) for result in (plain, coarse)
    ]
    assert of_the_base[0] == of_the_base[1] and plain.out != coarse.out


# ---- measured and compared -------------------------------------------------------------------------------------------


def test_bench_says_which(model: Path, tmp_path: Path, q4: Cli) -> None:
    few = ("-p", "0", "-n", "2", "-d", "8", "-r", "1", "-t", "1")
    tests = [json.loads(q4("bench", model, *few, "-o", "json", *form).out)["results"][0] for form in ((), EIGHT_BITS)]
    assert [(test["type_k"], test["type_v"]) for test in tests] == [("f16", "f16"), ("q8_0", "q8_0")]
    positions = 9 + 10  # that the two tokens see
    a_position = SPEC.n_layers * SPEC.n_kv_heads * 2
    fewer = positions * a_position * (64 - 34)
    assert tests[0]["bytes_per_test"] - tests[1]["bytes_per_test"] == fewer
    captured = q4(
        "bench", model, "--capture", tmp_path, "-p", "3", "-n", "2", "-t", "1", "--events", "none", *EIGHT_BITS
    )
    assert captured.code == 0 and [path.name for path in tmp_path.glob("*.csv")] == [
        "synthetic-wide.t01.p0003.q8_0.csv"
    ]


def test_a_fingerprint_of_each(model: Path, q4: Cli) -> None:
    said = [
        json.loads(q4("fingerprint", model, "-p", "abc", "-t", "1", "--json", *form).out) for form in ((), EIGHT_BITS)
    ]
    assert [each["kv_form"] for each in said] == list(KV_FORMS)
    assert said[0]["sha256"] != said[1]["sha256"]


def test_a_sweep_over_both(model: Path, tmp_path: Path, q4: Cli) -> None:
    path = tmp_path / "r.sqlite"
    words = ("--kv", "f16,q8_0", "-p", "4", "-n", "2", "-t", "1", "-r", "1", "--samples", "1", "-o", path)
    assert q4("sweep", model, *words).code in (0, 1)
    runs = read_results(path)
    assert sorted(str(run.combination["kv"]) for run in runs) == ["f16", "q8_0"]
    assert all(run.state in ("done", "noisy") for run in runs), [run.reason for run in runs]
    found = sweep_results.read(path)
    assert found.varied() == ["kv"] and len(found.times["decode"].setups) == 2


def test_a_form_of_a_plan_that_is_none() -> None:
    with pytest.raises(Q4Error, match=r"^\[axes\]: kv: there is no 'q4_0', expected f16, q8_0$"):
        plan_of({"axes": {"model": ["a.gguf"], "kv": ["q4_0"]}}, "synthetic", Path())
