"""Prompt caches: the logits behind one are those of the run without it, and what is not one is refused in one line."""

from __future__ import annotations

import json
import os
import random
import zlib
from pathlib import Path

import bits
import numpy as np
import pytest
from cli_runs import Cli
from models.tiny import TINY_QWEN2, write_tiny

from q4engine import prompt_cache
from q4engine.engine import Engine
from q4engine.errors import ContextFullError, Q4Error
from q4engine.kv_forms import KV_FORMS, KVForm

WIDE = TINY_QWEN2.with_changes(head_dim=32, n_layers=1)
PROMPT = [(7 * i + 3) % 250 for i in range(150)]


@pytest.fixture(scope="module")
def engine(tiny: Path) -> Engine:
    return Engine.load(tiny, n_threads=1)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 150])
def test_logits_behind_a_reload_are_those_of_the_run_without_it(engine: Engine, tmp_path: Path, n: int) -> None:
    plain = engine.session(n_ctx=256)
    plain.decode(PROMPT[:n])
    prompt_cache.save(tmp_path / "p.cache", plain, n)
    wanted = plain.decode([9, 8, 7], all_logits=True)
    for n_ctx in (160, 256, 1000):  # another context lays the cache out anew
        again = engine.session(n_ctx=n_ctx, n_batch=7)
        prompt_cache.load(tmp_path / "p.cache", again)
        assert list(again.tokens) == PROMPT[:n]
        found = again.decode([9, 8, 7], all_logits=True)
        assert np.array_equal(found.view(np.uint32), wanted.view(np.uint32))


def test_a_cache_that_was_made_with_other_kernels_is_the_same_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for features in ("", "none"):
        monkeypatch.setenv("Q4_CPU_FEATURES", features) if features else None
        session = Engine.load(tiny, n_threads=2).session(n_ctx=200, n_batch=11)
        session.decode(PROMPT)
        prompt_cache.save(tmp_path / "p.cache", session, 128)
        files.append((tmp_path / "p.cache").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("form", KV_FORMS)
def test_a_cache_has_nothing_of_what_the_session_held_before(form: KVForm, tmp_path: Path) -> None:
    files = []
    with Engine.load(write_tiny(tmp_path / "m.gguf", WIDE), n_threads=1, kv_form=form) as engine:
        for before in (PROMPT[:70], PROMPT[::-1], [*PROMPT[:70], 1, 2, 3]):
            session = engine.session(n_ctx=256)
            session.decode(before)
            session.sync(PROMPT[:70])
            wanted = session.decode([9])
            prompt_cache.save(tmp_path / "p.cache", session, 70)
            files.append((tmp_path / "p.cache").read_bytes())
            assert session.tokens == [*PROMPT[:70], 9] and np.array_equal(session.sync([*PROMPT[:70], 9]), wanted)
        again = engine.session(n_ctx=100)
        prompt_cache.load(tmp_path / "p.cache", again)
        assert np.array_equal(again.decode([9]), wanted)
    assert files[0] == files[1] == files[2]


def test_a_longer_text_keeps_what_it_has_in_common(engine: Engine, tmp_path: Path) -> None:
    session = engine.session(n_ctx=256)
    session.decode(PROMPT)
    prompt_cache.save(tmp_path / "p.cache", session, 100)
    again = engine.session(n_ctx=256)
    prompt_cache.load(tmp_path / "p.cache", again)
    text = [*PROMPT[:80], 1, 2, 3]
    assert again.in_common(text) == 80
    assert np.array_equal(again.sync(text), engine.session(n_ctx=256).decode(text))


def test_a_changed_bit_is_noticed_wherever_it_is(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "p.cache"
    session = engine.session(n_ctx=256)
    session.decode(PROMPT[:70])
    prompt_cache.save(path, session, 70)
    whole = path.read_bytes()
    head = whole.index(b"\n")
    draw, victim = random.Random(5), engine.session(n_ctx=256)
    tokens = range(head + 1, head + 1 + 4 * 70)
    values = range(tokens.stop, len(whole))
    flips = [(place, bit) for place in range(head + 1) for bit in range(8)]  # the first line, to its end
    flips += [(place, draw.randrange(8)) for place in (*tokens, *draw.sample(values, 300), values[0], values[-1])]
    for place, bit in flips:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(Q4Error, match=r"p\.cache: [^\n]+$"):
            prompt_cache.load(path, victim)
        assert victim.n_past == 0
    for size in (0, 1, head, head + 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(Q4Error):
            prompt_cache.load(path, session)
    path.write_bytes(whole + b"\0")
    with pytest.raises(Q4Error, match="expected"):
        prompt_cache.load(path, session)


def test_what_is_not_this_models_is_refused(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "p.cache"
    session = engine.session(n_ctx=256)
    session.decode(PROMPT)
    prompt_cache.save(path, session, 150)
    other = Engine.load(bits.write_model("llama-mixed", tmp_path), n_threads=1)
    with pytest.raises(Q4Error, match="of another model than"):
        prompt_cache.load(path, other.session(n_ctx=256))
    with pytest.raises(Q4Error, match="150 tokens does not fit a context of 100"):
        prompt_cache.load(path, engine.session(n_ctx=100))
    head, _, rest = path.read_bytes().partition(b"\n")
    for name, value in (("version", 2), ("arithmetic", None), ("tokens", 0), ("bytes", -1), ("crc32", "x")):
        path.write_bytes(json.dumps({**json.loads(head), name: value}).encode() + b"\n" + rest)
        with pytest.raises(Q4Error):
            prompt_cache.load(path, session)
    tokens = np.full(150, 9999, "<i4").tobytes()
    crc = zlib.crc32(rest[4 * 150 :], zlib.crc32(tokens))
    path.write_bytes(json.dumps({**json.loads(head), "crc32": crc}).encode() + b"\n" + tokens + rest[4 * 150 :])
    with pytest.raises(Q4Error, match=r"p\.cache: token 9999 at position 0 is not in the vocabulary"):
        prompt_cache.load(path, session)
    with pytest.raises(Q4Error, match="native backend"):
        prompt_cache.save(path, Engine.load(bits.write_model("llama-mixed", tmp_path), backend="numpy").session(64), 0)


def test_the_native_border_checks_sizes(engine: Engine) -> None:
    session = engine.session(n_ctx=64)
    with pytest.raises(ContextFullError):
        session.restore([1] * 65, b"")
    with pytest.raises(Q4Error, match="bytes for 3 positions"):
        session.restore([1, 2, 3], b"too short")
    for call in (lambda: session.recorder.kv_bytes(65), lambda: session.recorder.save_kv(-1, bytearray())):  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="positions"):
            call()
    buffer = memoryview(bytearray(session.recorder.kv_bytes(3) + 1))[1:]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="at an odd address"):
        session.recorder.save_kv(3, buffer)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="does not match"):
        session.recorder.load_kv(2, b"x")  # type: ignore[union-attr]


def test_the_command_makes_and_takes_up_a_cache(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.cache"
    words = ["run", tiny, "-p", "the quick brown fox", "-n", 12, "--temp", 0, "--no-chat"]
    plain = q4(*words)
    first, second = q4(*words, "--prompt-cache", path), q4(*words, "--prompt-cache", path, "--lookup", 1)
    assert plain.out == first.out == second.out
    assert "note: 0 of " in first.err
    n = int(second.err.split(" of ")[1].split(" tokens")[0])
    assert f"note: {n} of {n} tokens of the prompt are in p.cache" in second.err
    before = path.read_bytes()
    other = [*words[:3], "the quick brown dog", *words[4:]]
    assert q4(*other, "--prompt-cache", path, "--prompt-cache-ro").out == q4(*other).out
    assert path.read_bytes() == before
    assert q4(*other, "--prompt-cache", path).code == 0 and path.read_bytes() != before


def test_mistakes_of_the_command(q4: Cli, tiny: Path, tmp_path: Path) -> None:
    words = ["run", tiny, "-p", "a", "-n", 2]
    missing = q4(*words, "--prompt-cache", tmp_path / "none", "--prompt-cache-ro")
    assert missing.code == 1 and "no such prompt cache" in missing.err
    assert q4(*words, "--prompt-cache", tiny).code == 2  # would replace the model
    alone = q4(*words, "--prompt-cache-ro")
    assert alone.code == 2 and "--prompt-cache-ro needs --prompt-cache" in alone.err
    (tmp_path / "text").write_text("text")
    wrong = q4(*words, "--prompt-cache", tmp_path / "text")
    assert wrong.code == 1 and "no prompt cache" in wrong.err and (tmp_path / "text").read_text() == "text"
    for prompt in ((), ("-p", "a", "--chat")):
        chat = q4("run", tiny, *prompt, "--prompt-cache", tmp_path / "p", typed="")
        assert chat.code == 2 and "a chat keeps what it has evaluated" in chat.err
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path / "pipe", "/dev/zero", tmp_path):
        refused = q4(*words, "--prompt-cache", other)
        assert refused.code == 1 and refused.err.endswith("no prompt cache: it is no regular file\n")
