"""Every architecture against Hugging Face's transformers: its float32 logits for a tiny model, as they were recorded.

The text is longer than every window; the logits are those of the prompt's end and of the steps behind it, once in one
batch and once token by token.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from judged import CASES, N_PROMPT, STORED, TEXT
from models.tiny import write_tiny

from q4engine.engine import Backend, Engine
from q4engine.models import ARCHITECTURES


def test_every_architecture_is_judged() -> None:
    assert {spec.architecture for spec in CASES.values()} == set(ARCHITECTURES)
    assert {key.split("/")[0] for key in np.load(STORED)} == set(CASES)


@pytest.fixture(scope="module", params=CASES)
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """The model, and transformers' logits: [steps + 1, vocabulary]."""
    name = request.param
    stored = np.load(STORED)
    expected = stored[f"{name}/logits"].astype(np.float64) * stored[f"{name}/scale"][:, None]
    return write_tiny(tmp_path_factory.mktemp("judged") / "synthetic-tiny.gguf", CASES[name]), expected


def logits(path: Path, backend: Backend, stepwise: bool) -> np.ndarray:
    with Engine.load(path, n_threads=1, backend=backend) as engine:
        session = engine.session(n_batch=1 if stepwise else len(TEXT))
        return session.decode(TEXT, all_logits=True)[N_PROMPT - 1 :].astype(np.float64)


@pytest.mark.parametrize("stepwise", [False, True], ids=["whole", "stepwise"])
def test_the_reference(judged: tuple[Path, np.ndarray], stepwise: bool) -> None:
    path, expected = judged
    error = logits(path, "numpy", stepwise) - expected
    assert (np.linalg.norm(error, axis=1) <= 1e-3 * np.linalg.norm(expected, axis=1)).all()


@pytest.mark.parametrize("stepwise", [False, True], ids=["whole", "stepwise"])
def test_the_native_engine(judged: tuple[Path, np.ndarray], stepwise: bool) -> None:
    """It multiplies activations of 8 bits."""
    path, expected = judged
    p, q = (log_softmax(x) for x in (expected, logits(path, "native", stepwise)))
    divergence = (np.exp(p) * (p - q)).sum(axis=1)
    assert divergence.mean() <= 0.01


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=1, keepdims=True)
    y: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return y
