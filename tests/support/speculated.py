"""Texts with guesses beside texts of single tokens, on any machine."""

from __future__ import annotations

import random
from pathlib import Path

from models.tiny import TINY_LLAMA, write_tiny

from q4engine.engine import Engine
from q4engine.generate import generate
from q4engine.sampling import Sampler, SamplerSettings
from q4engine.speculation import Drafter, DraftModel, Lookup, SpeculativeSession, _Pace

SETTINGS = (
    SamplerSettings(temperature=0.0),
    *(SamplerSettings(temperature=0.8, seed=seed) for seed in (1, 2, 3)),
)


class Eager(_Pace):
    """Guesses as much as it may, whatever that costs."""

    def best(self, most: int, worth: float = 1.0) -> int:
        return min(most, self._most)

    def saved(self, n: int) -> float:
        return 1e9


def models(folder: Path, n_threads: int) -> tuple[Engine, Engine]:
    """A model, and a smaller one of the same vocabulary that guesses for it."""
    path = write_tiny(folder / "synthetic-target.gguf")
    draft = write_tiny(folder / "synthetic-draft.gguf", TINY_LLAMA.with_changes(n_layers=1))
    return Engine.load(path, n_threads=n_threads), Engine.load(draft, n_threads=1)


def prompts(n: int) -> list[list[int]]:
    """Some that repeat themselves, some that do not."""
    rng = random.Random(7)
    found = []
    for at in range(n):
        part = [rng.randrange(3, 60) for _ in range(rng.randint(1, 12))]
        found.append(part * (1 + at % 4))
    return found


def differences(target: Engine, draft: Engine, prompt: list[int], n: int) -> tuple[list[str], int]:
    """Settings and ways of guessing whose text is not that of single tokens, and how many guesses were kept."""
    wrong, accepted = [], 0
    for settings in SETTINGS:
        wanted = list(generate(target.session(n_ctx=128), prompt, Sampler(settings), n))
        sampler = Sampler(settings)
        ways: dict[str, tuple[Drafter, Sampler]] = {
            "lookup": (Lookup(1), Sampler(settings)),
            "draft": (DraftModel(draft.session(n_ctx=128), sampler), sampler),
        }
        for name, (drafter, sampler) in ways.items():
            session = SpeculativeSession(target.session(n_ctx=128), drafter, 7)
            session._pace = Eager(7)
            if list(generate(session, prompt, sampler, n)) != wanted:
                wrong.append(f"{name}, {settings}")
            accepted += session.guesses.accepted
    return wrong, accepted
