"""A real checkpoint from prompt to text by our own parts: import, SPM tokenizer, engine, sampler, streaming."""

from __future__ import annotations

from pathlib import Path

import pytest
from stories import convert_stories

from q4engine.engine import Engine
from q4engine.generate import generate
from q4engine.gguf import TensorType
from q4engine.sampling import Sampler, SamplerSettings


@pytest.mark.parametrize("kind", [TensorType.F32, TensorType.F16], ids=["f32", "f16"])
def test_greedy_text(tmp_path: Path, shared_data: Path, kind: TensorType) -> None:
    folder = shared_data / "tinyllamas"
    path = convert_stories(folder, tmp_path / "stories.gguf", kind)
    engine = Engine.load(path, n_threads=1)
    prompt = engine.tokenizer.encode("")
    assert prompt == [1]  # the begin token alone
    decoder = engine.tokenizer.stream_decoder()
    sampler = Sampler(SamplerSettings(temperature=0.0, seed=0))
    generation = generate(engine.session(), prompt, sampler, 200, engine.tokenizer.stop_ids)
    text = "".join(decoder.push(token) for token in generation) + decoder.flush()
    assert text.removeprefix(" ") == (folder / "expected_greedy_200.txt").read_text().removesuffix("\n")


def test_round_trip_of_its_own_text(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "tinyllamas"
    path = convert_stories(folder, tmp_path / "s.gguf", TensorType.F16)
    tokenizer = Engine.load(path, n_threads=1).tokenizer
    text = (folder / "expected_greedy_200.txt").read_text()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert len(ids) < 0.5 * len(text)
