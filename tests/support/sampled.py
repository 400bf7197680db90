"""Sampled tokens that must be the same on every machine: made once, equal here and on emulated Arm.

``python tests/support/sampled.py`` (with toolchains and the repository on PYTHONPATH) prints what this machine gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from models.tiny import write_tiny

from q4engine import cli
from q4engine.sampling import Sampler, SamplerSettings, elementary

SETTINGS = (
    SamplerSettings(seed=1),
    SamplerSettings(seed=2, top_k=0, top_p=1.0, min_p=0.0, temperature=1.7),
    SamplerSettings(seed=3, top_k=0, top_p=0.9, min_p=0.01, temperature=1.0, repeat_penalty=1.3),
    SamplerSettings(seed=(1 << 64) - 1, top_k=500, min_p=0.0, repeat_penalty=0.8, repeat_last_n=-1),
    SamplerSettings(seed=5, temperature=0.0, repeat_penalty=1.7),
)
CHAINS = (
    SamplerSettings(seed=1, typical_p=0.7, top_k=0),
    SamplerSettings(seed=2, xtc_probability=0.5, xtc_threshold=0.05, top_p=1.0),
    SamplerSettings(seed=3, mirostat=1, mirostat_tau=4.0),
    SamplerSettings(seed=4, mirostat=2, temperature=1.3),
    SamplerSettings(seed=5, dry_multiplier=0.9, dry_sequence_breakers=(), temperature=0.3, dry_allowed_length=1),
    SamplerSettings(seed=6, dynatemp_range=0.7, dynatemp_exponent=1.5, samplers=("temperature", "top_p", "min_p")),
    SamplerSettings(seed=7, top_n_sigma=1.5, top_k=0, repeat_penalty=1.2),
)
EXPECTED_CHAIN = "9facabd305d8526f7ffc47a33e18b91741d175a1ee33b0fe7e887b4d37c5f488"
EXPECTED_IDS = "904be341814655c6c21240fa977e1dc0e92efadacd98e7c8c2f64297350a8de6"
EXPECTED_TOKENS = [247, 130, 23, 183, 151, 79, 174, 235, 7, 316]  # then an end token


def sampled_ids_sha256(settings: Iterable[SamplerSettings] = SETTINGS) -> str:
    """40 tokens for each of the settings, from logits that are exact fractions."""
    ids: list[int] = []
    for one in settings:
        sampler, history = Sampler(one), [0]
        for step in range(40):
            mixed = (np.arange(3000, dtype=np.int64) * 7919 + step * 104729) % 4093
            logits = (mixed.astype(np.float32) - 2046) / np.float32(256)
            history.append(sampler.sample(logits, history))
        ids += history
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


def chain_sha256() -> str:
    """The same of CHAINS, with the bits of the elementary functions."""
    x = np.arange(-5000, 5001) / 16.0
    bits = hashlib.sha256(elementary.exp(x).tobytes() + elementary.log(np.arange(1, 9000) / 64.0).tobytes())
    return hashlib.sha256((sampled_ids_sha256(CHAINS) + bits.hexdigest()).encode()).hexdigest()


def generated_tokens(folder: Path) -> list[int]:
    """What ``q4engine run`` samples from the tiny random model."""
    path = write_tiny(folder / "synthetic-tiny.gguf")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main(["run", str(path), "-p", "héllo", "-n", "24", "-s", "7", "--temp", "1.2", "-t", "2", "--json"])
    assert code == 0
    tokens: list[int] = json.loads(out.getvalue())["tokens"]
    return tokens


if __name__ == "__main__":
    import tempfile

    print(sampled_ids_sha256(), chain_sha256())
    with tempfile.TemporaryDirectory() as folder:
        print(generated_tokens(Path(folder)))
