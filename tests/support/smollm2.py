"""SmolLM2's golden fingerprint, which every machine has to print."""

from __future__ import annotations

import json
from pathlib import Path

import bits

EXPECTED = Path(__file__).resolve().parents[1] / "golden" / "smollm2_fingerprint.json"


def expected() -> dict[str, str]:
    """sha256 of the model file as `make` quantises it, and of the logits of `q4engine fingerprint`."""
    loaded: dict[str, str] = json.loads(EXPECTED.read_text())
    return loaded


def outcome(model: Path, n_threads: int, n_batch: int) -> bits.Outcome:
    """What `q4engine fingerprint` computes: its prompt and 8 greedy steps."""
    from q4engine.cli.fingerprint import PROMPT
    from q4engine.engine import Engine

    engine = Engine.load(model, n_threads=n_threads)
    prompt = engine.tokenizer.encode(PROMPT)
    assert len(prompt) >= 40
    return bits.outcome(model, n_threads, n_batch, prompt, n_steps=8)
