"""Perplexity and divergence: the definition once more, written plainly, and what it is on models of known answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf_bytes import BOOL, pair
from models.tiny import TINY_LLAMA, write_tiny

from q4engine.engine import Engine
from q4engine.errors import Q4Error
from q4engine.scoring import Divergence, Score, require_same_vocabulary, score, text_tokens

TEXT = "The quick brown fox jumps over the lazy dog. " * 12


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    folder = tmp_path_factory.mktemp("scoring")
    one = write_tiny(folder / "one.gguf")
    other = write_tiny(folder / "other.gguf", TINY_LLAMA.with_changes(seed=7))
    with Engine.load(one, n_threads=1) as first, Engine.load(other, n_threads=1) as second:
        yield first, second


def log_probabilities(engine: Engine, tokens: list[int], n_ctx: int) -> list[np.ndarray]:
    """Of every scored position, by one call a token."""
    rows = []
    for start in range(0, len(tokens) - n_ctx + 1, n_ctx):
        session = engine.session(n_ctx=n_ctx)
        window = tokens[start : start + n_ctx]
        if engine.tokenizer.add_bos:
            window = [engine.tokenizer.vocabulary.bos_id, *window[1:]]
        for position, token in enumerate(window[:-1]):
            logits = session.decode([token]).astype(np.float64)
            if position >= n_ctx // 2:
                rows.append((logits - np.logaddexp.reduce(logits), window[position + 1]))
    return rows


def run(engines: tuple[Engine, Engine], n_ctx: int) -> tuple[Score, Divergence]:
    sessions = [engine.session(n_ctx=n_ctx) for engine in engines]
    found, divergence = score(sessions[0], text_tokens(engines[0].tokenizer, TEXT), n_ctx, sessions[1])
    assert divergence is not None
    return found, divergence


@pytest.mark.parametrize("n_ctx", [4, 33, 64, 200])
def test_the_definition(engines: tuple[Engine, Engine], n_ctx: int) -> None:
    tokens = text_tokens(engines[0].tokenizer, TEXT)
    rows, others = (log_probabilities(engine, tokens, n_ctx) for engine in engines)
    n_windows = len(tokens) // n_ctx
    found, divergence = run(engines, n_ctx)
    assert found.n_windows == n_windows and found.n_tokens == len(rows) == n_windows * (n_ctx - 1 - n_ctx // 2)
    nll = np.array([-log_q[token] for log_q, token in rows])
    assert found.nll.value == pytest.approx(nll.mean(), rel=1e-9)
    error = nll.std(ddof=1) / math.sqrt(len(nll))
    assert found.nll.error == pytest.approx(error, rel=1e-6)
    assert found.perplexity.value == pytest.approx(math.exp(nll.mean()), rel=1e-9)
    assert found.perplexity.error == pytest.approx(
        math.exp(nll.mean()) * nll.std(ddof=1) / math.sqrt(len(nll)), rel=1e-6
    )
    kl = np.array([(np.exp(p) * (p - q)).sum() for (q, _), (p, _) in zip(rows, others, strict=True)])
    assert divergence.kl.value == pytest.approx(kl.mean(), rel=1e-6) and kl.mean() > 0
    assert divergence.largest_kl == pytest.approx(kl.max(), rel=1e-6)
    same = np.array([p.argmax() == q.argmax() for (q, _), (p, _) in zip(rows, others, strict=True)])
    assert divergence.same_top.value == same.mean()
    assert divergence.base.nll.value == pytest.approx(-np.mean([p[token] for p, token in others]), rel=1e-9)


def test_a_model_does_not_differ_from_itself(engines: tuple[Engine, Engine]) -> None:
    found, divergence = run((engines[0], engines[0]), 64)
    assert divergence.kl.value == 0 and divergence.largest_kl == 0 and divergence.same_top.value == 1
    assert divergence.base == found


def test_the_begin_token_stands_first_in_every_window(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "bos.gguf")
    key, content = "tokenizer.ggml.add_bos_token", path.read_bytes()
    assert content.count(pair(key, BOOL, False)) == 1
    path.write_bytes(content.replace(pair(key, BOOL, False), pair(key, BOOL, True)))
    with Engine.load(path, n_threads=1) as engine:
        tokens = text_tokens(engine.tokenizer, TEXT)
        assert tokens[0] == engine.tokenizer.vocabulary.bos_id
        found, _ = score(engine.session(n_ctx=40), tokens, 40)
        rows = log_probabilities(engine, tokens, 40)
        assert found.nll.value == pytest.approx(-np.mean([log_q[token] for log_q, token in rows]), rel=1e-9)


def test_fewer_windows_and_what_progress_is_told(engines: tuple[Engine, Engine]) -> None:
    told = []
    tokens = text_tokens(engines[0].tokenizer, TEXT)
    session = engines[0].session(n_ctx=32)
    found, divergence = score(session, tokens, 32, n_windows=2, progress=lambda *words: told.append(words))
    assert divergence is None and [words[:2] for words in told] == [(1, 2), (2, 2)]
    assert told[-1][2] == found and found.n_windows == 2


def test_a_text_too_short(engines: tuple[Engine, Engine]) -> None:
    with pytest.raises(Q4Error, match="the text has 3 tokens, expected at least 512, one window"):
        score(engines[0].session(n_ctx=512), [1, 2, 3], 512)


def test_other_vocabularies(tmp_path: Path, engines: tuple[Engine, Engine]) -> None:
    path = write_tiny(tmp_path / "more.gguf", TINY_LLAMA.with_changes(vocab_size=352))
    with (
        Engine.load(path, n_threads=1) as other,
        pytest.raises(Q4Error, match="vocabulary of 352 tokens, expected 320"),
    ):
        require_same_vocabulary(engines[0], other)
    require_same_vocabulary(*engines)
