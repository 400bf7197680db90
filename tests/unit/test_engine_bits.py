"""The arithmetic contract on this machine: one hash for every instruction set, thread count and batch size."""

from __future__ import annotations

import sys
from pathlib import Path

import bits
import pytest

from q4engine.profiling.recording import Facts, Level

KERNEL_SUFFIXES = {
    "none": {"portable", "lanes16"},
    "avx2": {"avx2", "lanes16"},
    "avx2,avxvnni": {"avxvnni", "lanes16"},
    "avx2,avx512,avx512vnni": {"avx512vnni", "lanes16"},
}
"""What the names of the kernels must end in for each list of features: who said to have run, ran."""


@pytest.fixture(scope="module", params=bits.SPECS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, bits.write_model(request.param, tmp_path_factory.mktemp("bits"))


@pytest.mark.parametrize("features", bits.feature_lists())
def test_same_bits_for_every_thread_count_and_batch(
    model: tuple[str, Path], features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path = model
    expected = bits.golden()[name]
    assert bits.file_sha256(path) == expected["model"], "the writer of tiny models changed: refresh the golden hashes"
    monkeypatch.setenv("Q4_CPU_FEATURES", features)
    for n_threads in (1, 2, 3):
        for n_batch in (1, 7, 512):
            found = bits.outcome(path, n_threads, n_batch)
            assert found.sha256 == expected["logits"], (features, n_threads, n_batch, sorted(found.kernels))
            if features in KERNEL_SUFFIXES:
                ran = {kernel.rsplit("_", 1)[1] for kernel in found.kernels}
                assert ran <= KERNEL_SUFFIXES[features]


@pytest.mark.parametrize("threads", [(1, 3), (3, 1), (2, 4), (4, 3)])
def test_other_threads_for_prompts_change_nothing(threads: tuple[int, int], tmp_path: Path) -> None:
    from q4engine.engine import Engine

    path = bits.write_model("qwen2", tmp_path)
    tokens = [(i * 131 + i // 7) % 300 for i in range(200)]
    expected = Engine.load(path, n_threads=1).session(n_ctx=200).decode(tokens, all_logits=True)
    with Engine.load(path, n_threads=threads[0], n_threads_batch=threads[1]) as engine:
        session = engine.session(n_ctx=200)
        session.recorder.record(int(Level.CALLS), [])  # type: ignore[union-attr]
        at = 0
        for n in (60, 1, 1, 8, 9, 1, 70, 2, 48):
            assert session.decode(tokens[at : at + n]).tobytes() == expected[at + n - 1].tobytes()
            at += n
        calls = session.recorder.recorded()  # type: ignore[union-attr]
        walked = [len(call["facts"]) // (8 * len(Facts._fields)) for call in calls]
        assert walked == [engine.threads_for(call["n_eval"]) for call in calls]
        assert set(walked) == set(threads) and (walked[0], walked[1]) == (threads[1], threads[0])


def test_golden_hashes_differ_between_models() -> None:
    hashes = [entry["logits"] for entry in bits.golden().values()]
    assert len(set(hashes)) == len(bits.SPECS)


def test_all_logits_equal_the_last_position_of_every_prefix(tmp_path: Path) -> None:
    from q4engine.engine import Engine

    engine = Engine.load(bits.write_model("llama", tmp_path), n_threads=2)
    every = engine.session().decode(bits.PROMPT, all_logits=True)
    for n in (1, 2, 63, 64, 65, len(bits.PROMPT)):
        assert engine.session().decode(bits.PROMPT[:n]).tobytes() == every[n - 1].tobytes()


@pytest.mark.parametrize("features", bits.feature_lists())
def test_long_contexts_by_tokens_and_by_spans(features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefill walks the cache's spans tile by tile, decode shares them between threads: the bits are the same."""
    from q4engine.engine import Engine

    monkeypatch.setenv("Q4_CPU_FEATURES", features)
    path = bits.write_model("qwen2", tmp_path)
    tokens = [(i * 131 + i // 7) % 300 for i in range(1100)]  # three spans of 512
    expected = Engine.load(path, n_threads=1).session(n_ctx=1100).decode(tokens, all_logits=True)
    for n_threads, n_batch in ((1, 1), (2, 1), (3, 100)):
        session = Engine.load(path, n_threads=n_threads).session(n_ctx=1100, n_batch=n_batch)
        session.decode(tokens[:1020])
        for position in (1020, 1021, 1022, 1023, 1024, 1025):
            assert session.decode(tokens[position : position + 1]).tobytes() == expected[position].tobytes()
        assert session.decode(tokens[1026:]).tobytes() == expected[-1].tobytes()


@pytest.mark.skipif(sys.platform != "linux", reason="the threads are Linux's")
def test_more_threads_than_cores(tmp_path: Path) -> None:
    assert bits.outcome(bits.write_model("qwen2", tmp_path), 9, 512).sha256 == bits.golden()["qwen2"]["logits"]
